"""How the scan reaches people: the image's Dockerfile, and the hook of pre-commit."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import analyzer_shapes as shapes
import pytest
import yaml
from analyzer_scanning import commit, git, new_repository, scan

from analyzer.scan.git import Repository

ANALYZER = Path(__file__).parents[1]
HOOKS = ANALYZER.parent / ".pre-commit-hooks.yaml"
PROGRAMS = Path(sys.executable).parent
ONLY_IN_HISTORY = "only the history has it"


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    argv = [PROGRAMS / "hadolint", "--failure-threshold", "style", ANALYZER / "Dockerfile"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_dockerfile_takes_nothing_from_python_without_its_hash() -> None:
    text = (ANALYZER / "Dockerfile").read_text(encoding="utf-8")
    (installs,) = (line for line in text.splitlines() if line.startswith("RUN pip install"))
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(shlex.split(installs))
    assert text.count("\nFROM ") == 2
    assert "\nUSER 10001:10001\n" in text


def test_this_repository_is_clean_in_all_its_history(tmp_path: Path) -> None:
    root = ANALYZER.parent
    if not Repository(root).has_commits():
        assert not os.environ.get("CI"), "CI checks a repository out; these sources are in none"
        pytest.skip("these sources are not in a repository")
    known = root / ".analyzer-suppressions.yaml"
    arguments = (root, "--commit", "HEAD", "--history", "--allow-shallow", "--suppressions", known)
    code, result = scan(*arguments, "--list", 0, output=tmp_path / "result.json")
    assert result["findings"] == []
    entries = yaml.safe_load(known.read_text(encoding="utf-8"))["suppressions"]
    # A shallow clone, or one whose history was rewritten, has no need of these.
    of_the_past = {_named(entry) for entry in entries if entry["reason"].endswith(ONLY_IN_HISTORY)}
    assert set(result["unused_suppressions"]) <= of_the_past
    assert (code, result["not_scanned"]) == (0, [])


def _named(entry: dict[str, str]) -> str:
    return f"path {entry['path']}, rule {entry['rule']}"


class TestHook:
    """pre-commit itself fetches the hook from a repository and runs it for a commit."""

    @pytest.fixture
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        hooks = new_repository(tmp_path / "hooks")
        (hooks / ".pre-commit-hooks.yaml").write_bytes(HOOKS.read_bytes())
        revision = commit(hooks)
        project = new_repository(tmp_path / "project")
        wanted = {"repo": str(hooks), "rev": revision, "hooks": [{"id": "analyzer-scan"}]}
        (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [wanted]}))
        programs = tmp_path / "bin"
        programs.mkdir()
        command = programs / "analyzer"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m analyzer "$@"\n')
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
        argv = [sys.executable, "-m", "pre_commit", "install"]
        subprocess.run(argv, cwd=project, check=True, capture_output=True, timeout=60)
        git(project, "add", ".pre-commit-config.yaml")
        return project

    def test_a_commit_with_a_secret_is_stopped(self, project: Path) -> None:
        value = shapes.with_checksum("ghp")
        (project / "a.py").write_text(f"TOKEN = '{value}'\n")
        with pytest.raises(subprocess.CalledProcessError) as stopped:
            commit(project)
        said = stopped.value.stdout + stopped.value.stderr
        assert "a.py:1: critical: GitHub Token" in said
        assert value not in said
        assert git(project, "rev-list", "--count", "HEAD") == "1"

    def test_a_clean_commit_passes(self, project: Path) -> None:
        (project / "a.py").write_text("TOKEN = os.environ['TOKEN']\n")
        commit(project)
        assert git(project, "rev-list", "--count", "HEAD") == "2"

    def test_a_commit_of_some_files_is_judged_by_them(self, project: Path) -> None:
        (project / "clean.py").write_text("x = 1\n")
        (project / "a.py").write_text(f"TOKEN = '{shapes.with_checksum('ghp')}'\n")
        git(project, "add", "clean.py", "a.py")
        git(project, "commit", "-q", "-m", "part", "clean.py", ".pre-commit-config.yaml")
        with pytest.raises(subprocess.CalledProcessError):
            git(project, "commit", "-q", "-m", "rest", "a.py")
