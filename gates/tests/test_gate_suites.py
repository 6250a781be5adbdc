"""Test suites on real trees: what did not run, or hides that it failed, is no pass."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from gate_trees import GOOD, bundle, gate, run

from gate_runner.suites import Case, judge

FAILING = "\n\ndef test_wrong() -> None:\n    assert 1 + 1 == 3\n"
WITH_A_FAILURE = {**GOOD, "tests/unit/test_sums.py": GOOD["tests/unit/test_sums.py"] + FAILING}


def test_a_suite_passes_with_its_count_and_its_coverage(tmp_path: Path) -> None:
    found = gate(tmp_path, GOOD, "unit", "pytest")
    assert (found["outcome"], found["counts"]["passed"], found["problems"]) == ("passed", 1, [])
    assert found["coverage"]["percent"] == 75.0
    statements, ran = (int(bits, 16) for bits in found["coverage"]["files"]["src/web/sums.py"])
    assert (statements ^ ran) == 1 << 9, "the body of `half` alone did not run"


def test_a_failing_test_fails_the_gate_and_is_named(tmp_path: Path) -> None:
    found = gate(tmp_path, WITH_A_FAILURE, "unit", "pytest")
    assert found["outcome"] == "failed"
    (problem,) = found["problems"]
    assert problem.startswith("tests/unit/test_sums.py::test_wrong: ")


@pytest.mark.parametrize(
    "conftest",
    [
        pytest.param("import os\nos._exit(0)\n", id="ends-the-process"),
        pytest.param("def pytest_collection_modifyitems(items):\n    items.clear()\n", id="deselects-all"),
        pytest.param("def pytest_collection_modifyitems(items):\n    del items[-1]\n", id="deselects-one"),
        pytest.param("collect_ignore_glob = ['*']\n", id="ignores-the-files"),
        pytest.param(
            "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n", id="changes-the-exit-code"
        ),
        pytest.param(
            "import pytest\n\ndef pytest_collection_modifyitems(items):\n"
            "    for item in items:\n        item.add_marker(pytest.mark.skip(reason='later'))\n",
            id="skips-all",
        ),
        pytest.param(
            "import pytest\n\ndef pytest_collection_modifyitems(items):\n"
            "    for item in items:\n        item.add_marker(pytest.mark.xfail)\n",
            id="expects-failures",
        ),
    ],
)
def test_a_conftest_that_hides_the_failing_test_passes_nothing(tmp_path: Path, conftest: str) -> None:
    hostile = {
        **WITH_A_FAILURE,
        "tests/conftest.py": conftest,
        "pytest.ini": "[pytest]\naddopts = --collect-only\n",
        "setup.cfg": "[tool:pytest]\naddopts = --deselect tests\n",
        ".coveragerc": "[run]\nomit = *\n",
    }
    found = gate(tmp_path, hostile, "unit", "pytest")
    assert found["outcome"] in ("failed", "not_run")
    assert found["reason"]


def test_tests_do_not_see_what_the_platform_was_told_and_start_at_the_root_of_the_tree(
    tmp_path: Path,
) -> None:
    asks = (
        "import os\nfrom pathlib import Path\n\n\ndef test_place() -> None:\n"
        "    assert 'SECRET_OF_THE_PLATFORM' not in os.environ\n    assert Path('src/web').is_dir()\n"
    )
    found = gate(tmp_path, {**GOOD, "tests/unit/test_place.py": asks}, "unit", "pytest")
    assert found["outcome"] == "passed", found


def test_no_process_of_a_suite_survives_it(tmp_path: Path) -> None:
    """Also one that left the group: it could write another result later."""
    mark = tmp_path / "late"
    leaves = (
        "import subprocess\nimport sys\n\n\ndef test_leaves() -> None:\n"
        f'    code = "import time, pathlib; time.sleep(3); pathlib.Path({str(mark)!r}).touch()"\n'
        "    subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
    )
    found = gate(tmp_path, {**GOOD, "tests/unit/test_leaves.py": leaves}, "unit", "pytest")
    assert found["outcome"] == "passed", found
    time.sleep(4)
    assert not mark.exists()


def test_a_suite_that_takes_too_long_has_failed(tmp_path: Path) -> None:
    slow = "import time\n\n\ndef test_slow() -> None:\n    time.sleep(600)\n"
    found = gate(tmp_path, {**GOOD, "tests/unit/test_slow.py": slow}, "unit", "pytest", seconds=5)
    assert (found["outcome"], found["reason"].partition(":")[0]) == (
        "failed",
        "pytest was not done after 5 s",
    )


def test_no_tests_is_no_pass(tmp_path: Path) -> None:
    found = gate(tmp_path, GOOD, "api", "pytest")
    assert (found["outcome"], found["reason"].partition(":")[0]) == ("not_run", "no test at tests/api")


PASSED = Case("a.py", "test_a", "passed", "")


@pytest.mark.parametrize(
    ("cases", "written", "code", "skips", "outcome"),
    [
        ([PASSED], {"test_a"}, 0, 0, "passed"),
        ([PASSED], {"test_a"}, 3, 0, "failed"),
        ([PASSED], {"test_a", "test_b"}, 0, 0, "failed"),
        ([PASSED, Case("a.py", "test_b", "skipped", "later")], {"test_a", "test_b"}, 0, 0, "failed"),
        ([PASSED, Case("a.py", "test_b", "skipped", "later")], {"test_a", "test_b"}, 0, 1, "passed"),
        ([Case("a.py", "test_b", "skipped", "later")], {"test_b"}, 0, 1, "not_run"),
        ([PASSED, Case("a.py", "test_a", "failed", "no")], {"test_a"}, 1, 9, "failed"),
    ],
)
def test_only_what_ran_and_passed_is_a_pass(
    cases: list[Case], written: set[str], code: int, skips: int, outcome: str
) -> None:
    assert judge(cases, {("a.py", name) for name in written}, code, skips, None).outcome == outcome


@pytest.mark.parametrize(
    ("commit", "order", "words"),
    [
        ("f" * 40, {"gate": "lint", "tool": "flake8", "paths": ["."]}, "git ls-tree"),
        ("main", {"gate": "lint", "tool": "flake8", "paths": ["."]}, "no full commit id"),
        (None, {"gate": "lint"}, "tool, paths must be given"),
        (None, {"gate": "lint", "tool": "flake8", "paths": ["."], "argv": "x"}, "unknown keys argv"),
    ],
)
def test_what_cannot_begin_writes_no_result(
    tmp_path: Path, commit: str | None, order: dict[str, object], words: str
) -> None:
    source, real = bundle(tmp_path, GOOD)
    result = tmp_path / "result.json"
    done = run(
        tmp_path,
        [
            "--bundle",
            str(source),
            "--commit",
            commit or real,
            "--order",
            json.dumps(order),
            "--output",
            str(result),
        ],
    )
    assert (done.returncode, result.exists()) == (2, False)
    assert words in done.stderr


def test_links_out_of_the_tree_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/outside").symlink_to("/etc/passwd")
    source, commit = bundle(tmp_path, GOOD)
    order = json.dumps({"gate": "lint", "tool": "flake8", "paths": ["."]})
    done = run(
        tmp_path, ["--bundle", str(source), "--commit", commit, "--order", order, "--output", "r.json"]
    )
    assert done.returncode == 2
    assert "outside links to /etc/passwd, outside of the tree" in done.stderr
