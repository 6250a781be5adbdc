"""Test suites: they run the tree, under our pytest and coverage settings.

What ran is compared with what stands in the files: a conftest that leaves tests out, or ends the process, is
no pass.
"""

from __future__ import annotations

import ast
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .order import Order
from .places import PYTHON, environment
from .result import Result
from .running import Runner
from .tree import Tree

_COVERAGE = """\
[run]
branch = False
disable_warnings = no-data-collected, module-not-imported, module-not-measured, couldnt-parse
source =
{sources}
[report]
# No comment in the tree takes a line out of the count.
exclude_lines = ^a line that is excluded$
ignore_errors = True
"""
_PYTEST = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
junit_family = xunit1
pythonpath = {places}
"""


@dataclass(frozen=True)
class Case:
    file: str
    name: str
    """Of the function, without parameters."""
    outcome: str
    words: str


def run(order: Order, tree: Tree, runner: Runner) -> Result:
    """The outcome of a suite: every test that stands in its files ran, and passed."""
    files = [path for path in tree.python_files(order.paths) if _holds_tests(path)]
    written = {(str(path.relative_to(tree.root)), name) for path in files for name in test_functions(path)}
    if not written:
        return Result(
            "not_run", f"no test at {', '.join(order.paths)}: write one, or name the paths in the catalog"
        )
    report, data = runner.work / "junit.xml", runner.work / "coverage.data"
    settings = _settings(order, tree, runner)
    covering = [*PYTHON, "coverage", "run", f"--rcfile={settings / 'coveragerc'}", f"--data-file={data}"]
    asked = [
        "-m",
        "pytest",
        f"-c={settings / 'pytest.ini'}",
        f"--rootdir={tree.root}",
        "-p",
        "no:cacheprovider",
    ]
    said = ["-p", "gate_runner.session", f"--junit-xml={report}", "-q", "--no-header", "--tb=short", "-ra"]
    env = environment() | {"GATE_TREE": str(tree.root)}
    ended = runner.run([*covering, *asked, *said, "--", *map(str, files)], env)
    if not report.is_file():
        return Result("failed", f"pytest ended with exit code {ended.code} and wrote no report")
    cases = list(_cases(report))
    if not cases:
        return Result("not_run", "pytest ran none of the tests; see the log", {"tests": 0})
    measured = tree.places(order.covered)
    coverage = _coverage(settings / "coveragerc", data, tree, runner) if measured else None
    return judge(cases, written, ended.code, order.skips_allowed, coverage)


def judge(
    cases: Sequence[Case],
    written: set[tuple[str, str]],
    code: int,
    skips_allowed: int,
    coverage: Mapping[str, Any] | None,
) -> Result:
    """`written` are file and function of the tests in the files; `code` is pytest's exit code."""
    by_outcome = {
        outcome: [case for case in cases if case.outcome == outcome]
        for outcome in ("passed", "failed", "skipped")
    }
    failed, skipped = by_outcome["failed"], by_outcome["skipped"]
    missing = sorted(written - {(case.file, case.name) for case in cases})
    problems = [f"{case.file}::{case.name}: {case.words}" for case in failed]
    problems += [f"{file}::{name}: stands in the file and did not run" for file, name in missing]
    if len(skipped) > skips_allowed:
        problems += [f"{case.file}::{case.name}: skipped: {case.words}" for case in skipped]
    counts = {"tests": len(cases), "not_run": len(missing)}
    counts |= {outcome: len(found) for outcome, found in by_outcome.items()}
    words = ", ".join(f"{len(found)} {outcome}" for outcome, found in by_outcome.items())
    words += f", {len(missing)} left out"
    if problems:
        return Result("failed", words, counts, problems, coverage)
    if code:
        return Result("failed", f"pytest ended with exit code {code}: {words}", counts, (), coverage)
    if not by_outcome["passed"]:
        return Result("not_run", f"no test passed: {words}", counts, (), coverage)
    return Result("passed", words, counts, (), coverage)


def test_functions(path: Path) -> Iterator[str]:
    """The names of the tests in a file, as pytest finds them: functions, and methods of classes `Test…`."""
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        yield "the file cannot be parsed"
        return
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from (inner.name for inner in node.body if _is_test(inner))
        elif _is_test(node):
            yield node.name


test_functions.__test__ = False  # type: ignore[attr-defined]


def _is_test(node: ast.stmt) -> Any:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test"):
        return False
    return not any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)


def _holds_tests(path: Path) -> bool:
    return path.name.endswith(".py") and (path.name.startswith("test_") or path.stem.endswith("_test"))


def _settings(order: Order, tree: Tree, runner: Runner) -> Path:
    places = tree.places((*order.import_paths, *(str(Path(path).parent) for path in order.paths)))
    folders = dict.fromkeys(str(place) for place in places if place.is_dir())
    sources = "\n".join(f"    {place}" for place in tree.places(order.covered))
    (runner.work / "coveragerc").write_text(_COVERAGE.format(sources=sources))
    (runner.work / "pytest.ini").write_text(_PYTEST.format(places=" ".join(folders)))
    return runner.work


def _cases(report: Path) -> Iterator[Case]:
    for case in ElementTree.parse(report).iter("testcase"):
        outcome, words = "passed", ""
        for kind, meaning in (("skipped", "skipped"), ("error", "failed"), ("failure", "failed")):
            if (found := case.find(kind)) is not None:
                outcome = meaning
                words = (found.get("message") or "").strip().partition("\n")[0]
        yield Case(case.get("file") or "", (case.get("name") or "").partition("[")[0], outcome, words)


def _coverage(rcfile: Path, data: Path, tree: Tree, runner: Runner) -> dict[str, Any] | None:
    """Bit n of a set stands for line n. None: nothing was measured."""
    report = runner.work / "coverage.json"
    command = [
        *PYTHON,
        "coverage",
        "json",
        f"--rcfile={rcfile}",
        f"--data-file={data}",
        "-o",
        str(report),
        "-q",
    ]
    if runner.run(command, environment()).code or not report.is_file():
        return None
    files: dict[str, list[str]] = {}
    ran = there = 0
    for name, lines in sorted(json.loads(report.read_text())["files"].items()):
        executed, missing = lines["executed_lines"], lines["missing_lines"]
        ran, there = ran + len(executed), there + len(executed) + len(missing)
        files[tree.shown(str(Path(runner.work, name)))] = [_bits([*executed, *missing]), _bits(executed)]
    if not there:
        return None
    return {"percent": round(100 * ran / there, 2), "files": files}


def _bits(lines: Sequence[int]) -> str:
    return f"{sum(1 << line for line in lines):x}"
