"""The reference pages of `ops` and of the settings, made from the program itself."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import typer

from platform_ops.settings import Settings, variable

from .main import app
from .output import MEANINGS

_OPTION = "option"
_CLI_HEAD = """# `ops`

Written from the program by `python -m platform_ops.cli.reference cli`. Every command that reads takes
`--json`; shell completion: `ops --install-completion`.

## Exit codes

| Code | Meaning |
|---|---|
"""
_SETTINGS_HEAD = """# Settings

Written from the program by `python -m platform_ops.cli.reference settings`. All are environment variables;
what is empty counts as not set. Secrets come from the environment or a secrets backend, never from Airflow's
Connections.

| Variable | Meaning | Default |
|---|---|---|
"""


def cli_page() -> str:
    """docs/reference/cli.md"""
    parts = [
        _CLI_HEAD,
        *(f"| {int(code)} | {meaning} |\n" for code, meaning in MEANINGS.items()),
    ]
    root = typer.main.get_command(app)
    parts += [_command(path, command) for path, command in _commands(("ops",), root)]
    return "".join(parts)


def settings_page() -> str:
    """docs/reference/settings.md"""
    rows = [
        f"| `{variable(name)}` | {text} | {_shown(name)} |\n" for name, text in _attribute_texts(Settings)
    ]
    return _SETTINGS_HEAD + "".join(rows)


def _shown(name: str) -> str:
    default = Settings.__dataclass_fields__[name].default
    if name in ("catalog", "manifests", "gate_policy"):
        return f"`include/config/{str(default).rsplit('/', 1)[-1]}` of the checkout"
    return f"`{default}`" if default else ""


def _commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from _commands((*path, name), inner)
        else:
            yield (*path, name), inner


def _command(path: tuple[str, ...], command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name != _OPTION]
    options = [one for one in command.params if one.param_type_name == _OPTION and one.name != "help"]
    usage = " ".join([*path, *(_usage(one) for one in arguments), *(["[OPTIONS]"] if options else [])])
    rows = [
        *(f"| `{one.name.upper()}` | {one.help or ''} |\n" for one in arguments),
        *(f"| {', '.join(f'`{flag}`' for flag in one.opts)} | {_help(one)} |\n" for one in options),
    ]
    table = "\n| | |\n|---|---|\n" + "".join(rows) if rows else ""
    return f"\n## `{usage}`\n\n{inspect.cleandoc(command.help or '')}\n{table}"


def _usage(argument: Any) -> str:
    return argument.name.upper() if argument.required else f"[{argument.name.upper()}]"


def _help(option: Any) -> str:
    shown = option.default not in (None, "", False) and not callable(option.default)
    return (option.help or "") + (f" Default: `{option.default}`." if shown else "")


def _attribute_texts(model: type) -> Iterator[tuple[str, str]]:
    """The attributes of a class, each with the text below it."""
    body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(below, ast.Expr)
            and isinstance(node.target, ast.Name)
        ):
            yield node.target.id, " ".join(ast.literal_eval(below.value).split())


if __name__ == "__main__":
    import sys

    print({"cli": cli_page, "settings": settings_page}[sys.argv[1]](), end="")
