"""Exit codes of the command: 1 says "findings" and nothing else."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import analyzer
from analyzer.cli import main


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "plain").write_text("nothing\n")
    return path


@pytest.fixture(params=["torn", "too new"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a copy of the distribution stands whose model cannot be read."""
    package = Path(analyzer.__file__).parent
    copy = tmp_path / "copy" / "analyzer"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    model = copy / "engine" / "model.json"
    whole = model.read_text()
    model.write_text(
        whole[:1000] if request.param == "torn" else json.dumps(json.loads(whole) | {"format": 2})
    )
    return copy.parent


@pytest.mark.parametrize("command", [["scan", "."], ["serve", "--port", "0"]], ids=["scan", "serve"])
def test_a_model_that_cannot_be_read_is_2_and_a_sentence(broken: Path, command: list[str]) -> None:
    argv = [sys.executable, "-m", "analyzer", *command]
    env = os.environ | {"PYTHONPATH": str(broken)}
    done = subprocess.run(argv, cwd=broken, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "its own model cannot be used" in done.stderr
    assert "install the analyzer again" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--output", "--write-baseline"])
def test_a_file_that_cannot_be_written_is_2_and_costs_no_result(
    option: str, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANALYZER_FINGERPRINT_KEY", "a key of these tests")
    assert main(["scan", str(tree), option, str(tree), "--exit-zero"]) == 2
    told = capsys.readouterr()
    assert told.out.startswith("clean: ")
    assert told.err.startswith(f"analyzer scan: {tree} cannot be written: ")


def test_an_unforeseen_error_is_2_and_tells_its_place_and_not_its_text(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> int:
        raise RuntimeError("what was read")

    monkeypatch.setattr("analyzer.scan.command.run", fails)
    assert main(["scan", str(tree)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("analyzer: it failed with RuntimeError\n")
    assert told.rstrip().endswith(" fails")
    assert "what was read" not in told


def test_standard_input_that_is_closed_is_2_and_a_sentence() -> None:
    command = f"exec {shlex.quote(sys.executable)} -m analyzer scan - <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("analyzer scan: standard input is closed")


def test_suppressions_that_are_nested_without_end_are_2_and_a_sentence(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "suppressions.yaml"
    path.write_text("[" * 10_000)
    assert main(["scan", str(tree), "--suppressions", str(path)]) == 2
    assert "nested too deeply" in capsys.readouterr().err
