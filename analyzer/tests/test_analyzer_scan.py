"""The batch scan: what it finds, what it says it did not see, and that the scanned tree has no say."""

from __future__ import annotations

import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import analyzer_shapes as shapes
import pytest
from analyzer_scanning import commit, git, new_repository, scan

from analyzer.cli import main


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "repository")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "xcom" / "return.json"


def test_a_clean_tree_is_clean(repository: Path, report: Path) -> None:
    code, result = scan(repository, output=report)
    assert (code, result["outcome"]) == (0, "clean")


def test_findings_name_path_and_line_and_never_the_value(
    repository: Path, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = shapes.with_checksum("ghp")
    (repository / "with space.py").write_text(f"\nTOKEN = '{token}'\n")
    code, result = scan(repository, output=report)
    (finding,) = result["findings"]
    assert code == 1
    assert (finding["path"], finding["line"], finding["rule"]) == ("with space.py", 2, "github-token")
    printed = capsys.readouterr().out + report.read_text()
    assert token not in printed
    assert token[4:14] not in printed


def test_exit_zero_leaves_the_verdict_to_the_result(repository: Path, report: Path) -> None:
    (repository / "a").write_text(shapes.with_checksum("ghp"))
    code, result = scan(repository, "--exit-zero", output=report)
    assert (code, result["outcome"], result["exit_code"]) == (0, "findings", 1)


class TestCommit:
    def test_the_tree_of_the_commit_is_scanned_and_not_the_files_on_disk(
        self, repository: Path, report: Path
    ) -> None:
        (repository / "a").write_text(shapes.with_checksum("ghp"))
        bad = commit(repository)
        (repository / "a").unlink()
        commit(repository)
        assert scan(repository, "--commit", bad, output=report)[0] == 1
        assert scan(repository, "--commit", "main", output=report)[0] == 0

    def test_a_secret_in_a_deleted_commit_is_found_with_since(self, repository: Path, report: Path) -> None:
        base = git(repository, "rev-parse", "HEAD")
        (repository / "a b").write_text(shapes.with_checksum("ghp"))
        bad = commit(repository)
        (repository / "a b").unlink()
        head = commit(repository)
        code, result = scan(repository, "--commit", head, "--since", base, output=report)
        assert (code, result["findings"][0]["commit"], result["findings"][0]["path"]) == (1, bad, "a b")
        assert scan(repository, "--commit", head, "--since", bad, output=report)[0] == 0
        assert scan(repository, "--commit", head, "--history", output=report)[0] == 1

    def test_a_secret_that_came_with_a_merge_is_found(self, repository: Path, report: Path) -> None:
        base = git(repository, "rev-parse", "HEAD")
        git(repository, "checkout", "-q", "-b", "side")
        commit(repository, "side")
        git(repository, "checkout", "-q", "main")
        commit(repository, "main")
        git(repository, "merge", "-q", "--no-ff", "--no-commit", "side")
        (repository / "evil").write_text(shapes.with_checksum("ghp"))
        commit(repository, "merge")
        (repository / "evil").unlink()
        head = commit(repository)
        assert scan(repository, "--commit", head, "--since", base, output=report)[0] == 1

    def test_an_unknown_commit_is_incomplete(self, repository: Path, report: Path) -> None:
        code, result = scan(repository, "--commit", "0" * 40, output=report)
        assert (code, result["outcome"]) == (2, "incomplete")
        assert "no commit" in result["not_scanned"][0]

    def test_an_option_instead_of_a_commit_is_not_an_option(self, repository: Path, report: Path) -> None:
        code, result = scan(repository, "--commit=--output=/dev/null", output=report)
        assert (code, result["outcome"]) == (2, "incomplete")

    def test_history_of_a_shallow_clone_is_refused(
        self, repository: Path, tmp_path: Path, report: Path
    ) -> None:
        commit(repository)
        shallow = tmp_path / "shallow"
        git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(shallow))
        code, result = scan(shallow, "--commit", "HEAD", "--history", output=report)
        assert code == 2
        assert "shallow" in result["not_scanned"][0]

    def test_a_broken_object_is_incomplete(self, repository: Path, report: Path) -> None:
        blob = git(repository, "rev-parse", "HEAD:readme")
        file = repository / ".git/objects" / blob[:2] / blob[2:]
        file.chmod(0o600)
        file.write_bytes(b"no object")
        code, result = scan(repository, "--commit", "HEAD", output=report)
        assert (code, result["outcome"]) == (2, "incomplete")


class TestBundle:
    @pytest.fixture
    def bundle(self, repository: Path, tmp_path: Path) -> tuple[Path, str]:
        (repository / "a").write_text(shapes.with_checksum("ghp"))
        bad = commit(repository)
        folder = tmp_path / "served"
        folder.mkdir()
        git(repository, "bundle", "create", "-q", str(folder / "source.bundle"), "main")
        return folder / "source.bundle", bad

    def test_a_commit_of_a_bundle_is_scanned(self, bundle: tuple[Path, str], report: Path) -> None:
        path, bad = bundle
        code, result = scan("--bundle", path, "--commit", bad, output=report)
        assert (code, result["commit"]) == (1, bad)

    def test_an_address_is_fetched_and_its_signature_is_not_repeated(
        self, bundle: tuple[Path, str], report: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path, bad = bundle
        handler = partial(SimpleHTTPRequestHandler, directory=str(path.parent))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            base = f"http://127.0.0.1:{server.server_port}"
            found, _ = scan(
                "--bundle", f"{base}/source.bundle?signature=abc123", "--commit", bad, output=report
            )
            missing, result = scan(
                "--bundle", f"{base}/none?signature=abc123", "--commit", bad, output=report
            )
            server.shutdown()
            thread.join()
        assert (found, missing) == (1, 2)
        assert "404" in str(result["not_scanned"])
        written = "".join(capsys.readouterr().out)
        assert "abc123" not in written + report.read_text()

    def test_a_truncated_bundle_is_incomplete(self, bundle: tuple[Path, str], report: Path) -> None:
        path, bad = bundle
        path.write_bytes(path.read_bytes()[:-40])
        code, result = scan("--bundle", path, "--commit", bad, output=report)
        assert (code, result["outcome"]) == (2, "incomplete")


class TestHostileTree:
    def test_the_trees_own_configuration_silences_nothing(self, repository: Path, report: Path) -> None:
        (repository / ".gitignore").write_text("*\n")
        (repository / ".gitattributes").write_text("* -diff binary\n")
        (repository / ".gitleaks.toml").write_text("[allowlist]\npaths = ['.*']\n")
        (repository / "a").write_text(shapes.with_checksum("ghp") + " # gitleaks:allow nosec\n")
        assert scan(repository, output=report)[0] == 1

    def test_the_repositorys_git_configuration_runs_nothing(
        self, repository: Path, tmp_path: Path, report: Path
    ) -> None:
        mark = tmp_path / "executed"
        script = tmp_path / "script"
        script.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
        script.chmod(0o755)
        (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
        (repository / "a").write_text("x\n")
        head = commit(repository)
        for name in (
            "core.fsmonitor",
            "diff.evil.textconv",
            "diff.external",
            "filter.evil.smudge",
            "core.sshCommand",
        ):
            git(repository, "config", name, str(script))
        hook = repository / ".git/hooks/post-checkout"
        hook.write_text(script.read_text())
        hook.chmod(0o755)
        assert scan(repository, "--commit", head, "--history", output=report)[0] == 0
        assert not mark.exists()

    def test_links_and_special_files_are_counted_and_not_followed(
        self, repository: Path, tmp_path: Path, report: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_text(shapes.with_checksum("ghp"))
        (repository / "folder").symlink_to(outside)
        (repository / "file").symlink_to(outside / "secret")
        (repository / "loop").symlink_to(repository)
        os.mkfifo(repository / "fifo")
        code, result = scan(repository, output=report)
        assert code == 0
        assert result["counts"]["skipped"] == {".git folder": 1, "special file": 1, "symbolic link": 3}

    def test_a_file_that_is_too_large_makes_the_scan_incomplete(self, repository: Path, report: Path) -> None:
        (repository / "large").write_text("x" * 101)
        code, result = scan(repository, "--max-file-bytes", 100, output=report)
        assert code == 2
        assert result["not_scanned"] == ["large: larger than 100 bytes"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        pytest.param([], "say what to scan", id="nothing"),
        pytest.param(["/no/such/path"], "there is no", id="missing-path"),
        pytest.param(["--bundle", "x"], "needs --commit", id="bundle-without-commit"),
        pytest.param([".", "--bundle", "x", "--commit", "y"], "either", id="path-and-bundle"),
        pytest.param(["-", "--history"], "no commits", id="history-of-standard-input"),
        pytest.param(["--staged", "--history"], "stands alone", id="staged-and-history"),
        pytest.param(["--since", "x", "--history"], "either --since", id="since-and-history"),
        pytest.param([".", "--baseline", "x"], "ANALYZER_FINGERPRINT_KEY", id="baseline-without-key"),
        pytest.param([".", "--suppressions", "/none"], "cannot be read", id="no-suppressions"),
    ],
)
def test_usage_is_explained_in_one_sentence(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANALYZER_FINGERPRINT_KEY", raising=False)
    assert main(["scan", *arguments]) == 2
    assert word in capsys.readouterr().err


def test_a_git_question_outside_a_repository_is_incomplete(tmp_path: Path, report: Path) -> None:
    code, result = scan(tmp_path, "--since", "main", output=report)
    assert (code, result["outcome"]) == (2, "incomplete")
    assert "not a git repository" in result["not_scanned"][0]
