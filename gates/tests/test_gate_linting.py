"""Formatter, linter and types on real trees: what the tree says about itself switches nothing off."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_trees import GOOD, gate

UNUSED = '"""Unused."""\n\nimport json\n'
TURNED = '"""Turned."""\n\nimport sys\nimport os\n\nprint(os, sys)\n'
WIDE = '"""Wide."""\n\nx = {  "a":1 }\n'
UNTYPED = '"""Wrong."""\n\n\ndef text() -> str:\n    return 1\n'
TOOLS = [
    ("format", "black", WIDE, "bad.py"),
    ("format", "ruff", WIDE, "bad.py:3:6: unformatted"),
    ("imports", "isort", TURNED, "bad.py"),
    ("imports", "ruff", TURNED, "bad.py:3:1: I001"),
    ("lint", "flake8", UNUSED, "bad.py:3:1: F401"),
    ("lint", "ruff", UNUSED, "bad.py:3:8: F401"),
    ("types", "mypy", UNTYPED, "bad.py:5:12: error: Incompatible return value type"),
]
RING = "import pathlib; pathlib.Path(__file__).with_name('rang').touch(); raise SystemExit(0)\n"
HOSTILE = {
    "setup.cfg": (
        "[flake8]\nexclude = *\nextend-ignore = F,E\nper-file-ignores = *:F401\n"
        "[flake8:local-plugins]\nextension =\n  X1 = evil:Plugin\npaths = .\n"
        "[isort]\nskip_glob = *\n[mypy]\nignore_errors = True\nplugins = evil.py\n"
    ),
    "tox.ini": "[flake8]\nexclude = *\n",
    "mypy.ini": "[mypy]\nignore_errors = True\nplugins = evil.py\n",
    ".isort.cfg": "[settings]\nskip_glob = *\n",
    "pyproject.toml": (
        "[tool.black]\nexclude = '.*'\nforce-exclude = '.*'\n[tool.isort]\nskip_glob = ['*']\n[tool.ruff]\n"
        "exclude = ['*']\nforce-exclude = true\n[tool.ruff.lint]\nignore = ['ALL']\n"
        "[tool.mypy]\nignore_errors = true\n"
    ),
    "ruff.toml": "exclude = ['*']\nforce-exclude = true\n",
    ".gitignore": "*\n",
    ".ignore": "*\n",
    **{f"{name}.py": RING for name in ("evil", "black", "isort", "flake8", "mypy", "ruff", "sitecustomize")},
}


@pytest.mark.parametrize(("name", "tool", "bad", "words"), TOOLS)
def test_a_good_tree_passes_and_a_problem_fails(
    tmp_path: Path, name: str, tool: str, bad: str, words: str
) -> None:
    (tmp_path / "good").mkdir()
    good = gate(tmp_path / "good", GOOD, name, tool)
    assert (good["outcome"], good["problems"], good["counts"]["files"]) == ("passed", [], 3)
    (tmp_path / "bad").mkdir()
    found = gate(tmp_path / "bad", {**GOOD, "src/web/bad.py": bad}, name, tool)
    assert found["outcome"] == "failed"
    assert [problem for problem in found["problems"] if f"src/web/{words}" in problem]


@pytest.mark.parametrize(("name", "tool", "bad", "words"), TOOLS)
def test_the_trees_own_configuration_switches_nothing_off_and_runs_nothing(
    tmp_path: Path, name: str, tool: str, bad: str, words: str
) -> None:
    lines = bad.splitlines(keepends=True)
    excused = "".join([*lines[:-1], lines[-1].rstrip("\n") + "  # noqa\n", "# flake8: noqa\n# ruff: noqa\n"])
    text = bad if tool in ("black", "ruff", "isort", "mypy") and name != "lint" else excused
    found = gate(tmp_path, {**GOOD, **HOSTILE, "src/web/bad.py": text}, name, tool, paths=["src"])
    assert found["outcome"] == "failed"
    assert [problem for problem in found["problems"] if f"src/web/{words}" in problem], found
    assert list(tmp_path.rglob("rang")) == []


@pytest.mark.parametrize(
    ("name", "tool", "comment"),
    [
        ("format", "black", "# fmt: off"),
        ("format", "ruff", "# fmt: off"),
        ("imports", "isort", "# isort: skip_file"),
        ("types", "mypy", "# mypy: ignore-errors"),
        ("types", "mypy", "# type: ignore"),
    ],
)
def test_a_comment_that_hides_a_whole_file_is_itself_a_problem(
    tmp_path: Path, name: str, tool: str, comment: str
) -> None:
    bad = {"format": WIDE, "imports": TURNED, "types": UNTYPED}[name]
    found = gate(tmp_path, {**GOOD, "src/web/bad.py": f"{comment}\n{bad}"}, name, tool)
    assert found["outcome"] == "failed"
    assert found["problems"][0].startswith(f"src/web/bad.py:1: `{comment}`")


def test_a_tree_without_a_file_to_look_at_was_not_looked_at(tmp_path: Path) -> None:
    found = gate(tmp_path, {"README": "nothing\n"}, "lint", "flake8")
    assert (found["outcome"], found["reason"].partition(":")[0]) == ("not_run", "no Python file at .")


def test_what_no_formatter_can_read_is_no_pass(tmp_path: Path) -> None:
    found = gate(tmp_path, {"a.py": "def (:\n"}, "format", "black")
    assert (found["outcome"], found["reason"].partition(":")[0]) == ("failed", "black broke down")
