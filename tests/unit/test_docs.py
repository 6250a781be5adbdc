"""The pages keep up with the project: what they name is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from platform_ops.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "include/**/*.md", "analyzer/*.md", "astro/**/*.md")
    for page in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
PROJECTS = (
    "pyproject.toml",
    "analyzer/pyproject.toml",
    "gates/pyproject.toml",
    "astro/local/stand_in/fm_llm_solver/pyproject.toml",
)

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
MAKE = re.compile(r"(?:^|[\s(`])make ([a-z][a-z-]*)\b")
PLATFORM = re.compile(r"-m local_platform ([a-z]+)")
OPS = re.compile(r"(?:^|[\s(`:])ops ((?:[a-z]+)(?: [a-z][a-z-]*)*)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def code_of(page: Path) -> Iterator[str]:
    """The lines of code on a page: what stands in fences, and what stands between backticks."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        yield from block.splitlines()[1:-1]
    yield from INLINE.findall(FENCE.sub("", text))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code forges make them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@every_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)

    assert not broken


@every_page
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    named = {target for code in code_of(page) for target in MAKE.findall(code)}

    assert named <= targets


def test_every_command_of_the_local_platform_on_a_page_exists() -> None:
    argv = [sys.executable, "-m", "local_platform", "--help"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    commands = set(re.findall(r"^    ([a-z]+)\b", shown, re.MULTILINE))

    named = {command for page in PAGES for code in code_of(page) for command in PLATFORM.findall(code)}

    assert "up" in named
    assert named <= commands


@every_page
def test_every_ops_command_on_a_page_exists_with_its_options(page: Path) -> None:
    wrong = [
        code
        for code in code_of(page)
        for said in OPS.finditer(code)
        if not _understood(_words(code[said.start(1) :]))
    ]

    assert not wrong


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def _understood(words: list[str]) -> bool:
    """Whether the words begin with a command of `ops`, and their long options are among its own."""
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        name = words.pop(0).strip(".,;:") if words else ""
        if name not in command.commands:
            return False
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return {word.partition("=")[0] for word in words if word.startswith("--") and len(word) > 2} <= options


def test_every_dag_file_has_a_row_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    missing = [file.name for file in (ROOT / "dags").glob("*.py") if f"(dags/{file.name})" not in readme]

    assert not missing


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")

    missing = [page.name for page in (DOCS / "decisions").glob("0*.md") if f"({page.name})" not in index]

    assert not missing


def test_every_page_of_the_documentation_can_be_reached_from_its_index() -> None:
    seen, ahead = set(), [DOCS / "README.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link.partition("#")[0]).resolve()
            pages = target.glob("*.md") if target.is_dir() else [target]
            ahead += (p for p in pages if p.suffix == ".md" and p.is_file() and p not in seen)

    assert {name_of(page) for page in DOCS.rglob("*.md")} <= {name_of(page) for page in seen}


@pytest.mark.parametrize("project", PROJECTS)
def test_every_direct_dependency_has_its_reason_and_licence(project: str) -> None:
    table = tomllib.loads((ROOT / project).read_text(encoding="utf-8"))["project"]
    extras = [line for lines in table.get("optional-dependencies", {}).values() for line in lines]
    names = [re.split(r"[\[<>=! ]", line)[0] for line in [*table["dependencies"], *extras]]
    rows = (DOCS / "reference" / "dependencies.md").read_text(encoding="utf-8").splitlines()

    missing = [name for name in names if not any(row.startswith(f"| `{name}` |") for row in rows)]

    assert not missing
