"""Formatters, linters and the type checker: they read the tree and run nothing of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .order import Order
from .places import PYTHON, environment
from .result import Result
from .running import Ended, Runner
from .tree import Tree

_AT_ONCE = 1000
"""Files on one command line."""
_RUFF = ("--isolated", "--no-cache", "--no-respect-gitignore", "--target-version=py311")
_RULES = "E,F,W"
_FORMAT_OFF = re.compile(r"^\s*#\s*(?:fmt:\s*off|yapf:\s*disable)")
_IMPORTS_OFF = re.compile(r"#?\s*isort:\s*skip_file|^\s*#\s*isort:\s*off")
_TYPES_OFF = re.compile(r"^\s*#\s*mypy:.*|^\s*#\s*type:\s*ignore.*")
_MYPY = """\
[mypy]
check_untyped_defs = True
warn_redundant_casts = True
enable_error_code = ignore-without-code
ignore_missing_imports = True
namespace_packages = True
explicit_package_bases = True
"""


@dataclass(frozen=True)
class Tool:
    """How a tool is asked, and how its answer reads."""

    command: Callable[[Order, Tree, Runner], Sequence[str]]
    problem: re.Pattern[str]
    """A line of the output that states a problem."""
    off: re.Pattern[str] | None = None
    """Comments that would switch it off for a whole file, where no option of the tool disregards them."""
    together: bool = False
    """All files at once: their types depend on each other."""


def look(order: Order, tree: Tree, runner: Runner) -> Result:
    """The outcome of a gate that reads. A tool that crashed, or was given no file, is no pass."""
    tool = TOOLS[order.gate, order.tool]
    files = tree.python_files(order.paths)
    if not files:
        return Result("not_run", f"no Python file at {', '.join(order.paths)}: name the paths in the catalog")
    counts = {"files": len(files)}
    problems = list(tree.switches(files, tool.off)) if tool.off else []
    crashed = ""
    for chunk in _chunks(files, len(files) if tool.together else _AT_ONCE):
        ended = runner.run([*tool.command(order, tree, runner), *map(str, chunk)], _environment(order, tree))
        said = [tree.shown(line) for line in ended.output.splitlines() if tool.problem.search(line)]
        problems += said
        if ended.code not in (0, 1) or (ended.code == 1 and not said):
            crashed = _last_words(ended, tree)
    if crashed:
        return Result("failed", f"{order.tool} broke down: {crashed}", counts, problems)
    if problems:
        return Result("failed", f"{order.tool} found {len(problems)} problem(s)", counts, problems)
    return Result("passed", f"{order.tool} found nothing in {len(files)} files", counts)


def _black(order: Order, tree: Tree, runner: Runner) -> list[str]:
    config = runner.work / "black.toml"
    config.write_text("[tool.black]\n")
    return [*PYTHON, "black", "--check", f"--config={config}", f"--line-length={order.line_length}", "--"]


def _isort(order: Order, tree: Tree, runner: Runner) -> list[str]:
    config = runner.work / "isort.cfg"
    config.write_text("[isort]\nprofile = black\n")
    sources = [f"--src={place}" for place in _import_places(order, tree)]
    options = ["--check-only", f"--settings-file={config}", f"--line-length={order.line_length}"]
    return [*PYTHON, "isort", *options, *sources, "--"]


def _flake8(order: Order, tree: Tree, runner: Runner) -> list[str]:
    # Black writes what pycodestyle's E203 and E701 refuse; W503 and W504 contradict each other.
    options = ["--isolated", "--disable-noqa", "--jobs=1", "--exclude=", "--ignore=E203,E701,W503,W504"]
    return [*PYTHON, "flake8", *options, f"--max-line-length={order.line_length}", "--"]


def _ruff_format(order: Order, tree: Tree, runner: Runner) -> list[str]:
    return [
        *PYTHON,
        "ruff",
        "format",
        "--check",
        "--output-format=concise",
        *_RUFF,
        f"--line-length={order.line_length}",
        "--",
    ]


def _ruff_check(rules: str) -> Callable[[Order, Tree, Runner], list[str]]:
    def command(order: Order, tree: Tree, runner: Runner) -> list[str]:
        src = ", ".join(f"'{place}'" for place in _import_places(order, tree))
        options = ["--ignore-noqa", "--output-format=concise", f"--line-length={order.line_length}"]
        return [
            *PYTHON,
            "ruff",
            "check",
            *_RUFF,
            *options,
            f"--select={rules}",
            f"--config=src=[{src}]",
            "--",
        ]

    return command


def _mypy(order: Order, tree: Tree, runner: Runner) -> list[str]:
    config = runner.work / "mypy.ini"
    config.write_text(_MYPY + ("strict = True\n" if order.strict else ""))
    options = [f"--config-file={config}", f"--cache-dir={runner.work / 'mypy'}", "--no-error-summary"]
    return [*PYTHON, "mypy", *options, "--show-column-numbers", "--hide-error-context", "--"]


_PLACE = re.compile(r"^\S.*:\d+:\d+: ")
TOOLS: Mapping[tuple[str, str], Tool] = {
    ("format", "black"): Tool(_black, re.compile(r"^(?:would reformat|error: cannot format) "), _FORMAT_OFF),
    ("format", "ruff"): Tool(_ruff_format, _PLACE, _FORMAT_OFF),
    ("imports", "isort"): Tool(_isort, re.compile(r"^ERROR: "), _IMPORTS_OFF),
    ("imports", "ruff"): Tool(_ruff_check("I"), _PLACE, _IMPORTS_OFF),
    ("lint", "flake8"): Tool(_flake8, _PLACE),
    ("lint", "ruff"): Tool(_ruff_check(_RULES), _PLACE),
    ("types", "mypy"): Tool(_mypy, re.compile(r": error: "), _TYPES_OFF, together=True),
}


def _environment(order: Order, tree: Tree) -> dict[str, str]:
    return environment() | {"MYPYPATH": ":".join(map(str, _import_places(order, tree)))}


def _import_places(order: Order, tree: Tree) -> list[Path]:
    return [place for place in tree.places(order.import_paths or (".",)) if place.is_dir()]


def _chunks(files: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(files), size):
        yield files[start : start + size]


def _last_words(ended: Ended, tree: Tree) -> str:
    lines = ended.output.strip().splitlines()
    return f"exit code {ended.code}: {tree.shown(lines[-1]) if lines else 'it printed nothing'}"
