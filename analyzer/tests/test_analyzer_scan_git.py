"""What git holds: every blob once, pushes, what is staged; shallow clones and damage are never clean."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import analyzer_shapes as shapes
import pytest
from analyzer_scanning import commit, git, new_repository, run, scan


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "repository")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


def token() -> str:
    return f"TOKEN = '{shapes.with_checksum('ghp')}'\n"


class TestHistory:
    def test_a_secret_of_a_deleted_branch_tip_is_found_by_every_ref(
        self, repository: Path, report: Path
    ) -> None:
        git(repository, "checkout", "-q", "-b", "side")
        (repository / "a").write_text(token())
        bad = commit(repository)
        git(repository, "tag", "kept")
        git(repository, "checkout", "-q", "main")
        git(repository, "branch", "-D", "side")
        code, result = scan(repository, "--history", output=report)
        assert (code, result["findings"][0]["commit"]) == (1, bad)
        assert scan(repository, "--history", "--commit", "main", output=report)[0] == 0

    def test_a_detached_head_is_part_of_the_history(self, repository: Path, report: Path) -> None:
        git(repository, "checkout", "-q", "--detach")
        (repository / "a").write_text(token())
        commit(repository)
        assert scan(repository, "--history", output=report)[0] == 1

    def test_the_commit_that_is_named_is_the_one_that_brought_the_value(
        self, repository: Path, report: Path
    ) -> None:
        (repository / "a").write_text(token())
        bad = commit(repository)
        (repository / "b").write_text("other\n")
        commit(repository)
        (repository / "a").unlink()
        commit(repository)
        (repository / "c").write_text("other again\n")
        commit(repository)
        _, result = scan(repository, "--history", output=report)
        (finding,) = result["findings"]
        assert (finding["commit"], finding["path"], result["counts"]["commits"]) == (bad, "a", 5)

    def test_a_value_that_moved_in_its_file_is_one_finding_of_its_first_commit(
        self, repository: Path, report: Path
    ) -> None:
        line = token()
        (repository / "a").write_text(line)
        bad = commit(repository)
        for n in range(1, 5):
            (repository / "a").write_text("\n" * n + line)
            commit(repository)
        _, result = scan(repository, "--history", output=report)
        assert [(f["commit"], f["line"]) for f in result["findings"]] == [(bad, 1)]
        _, result = scan(repository, "--commit", "HEAD", "--history", output=report)
        assert [(f["commit"], f["line"]) for f in result["findings"]] == [(None, 5)]

    def test_every_blob_is_read_once(self, repository: Path, report: Path) -> None:
        for n in range(5):
            (repository / "changing").write_text(f"{n}\n")
            (repository / f"copy-{n}").write_text("the same everywhere\n")
            commit(repository)
        _, result = scan(repository, "--history", output=report)
        assert result["counts"]["files"] == len(["readme", "changing 0…4", *range(4), "copy"])

    def test_a_path_whose_bytes_are_no_text_is_reported(self, repository: Path, report: Path) -> None:
        (repository / os.fsdecode(b"caf\xe9\x1b[2J")).write_text(token())
        commit(repository)
        for arguments in (["--history"], ["--commit", "HEAD"], []):
            code, result = scan(repository, *arguments, output=report)
            assert (code, result["findings"][0]["path"]) == (1, "caf\ufffd\x1b[2J")
        assert b"\x1b" not in run(repository, "--history").stdout

    def test_a_shallow_clone_is_scanned_only_when_that_is_asked_for(
        self, repository: Path, tmp_path: Path, report: Path
    ) -> None:
        (repository / "a").write_text(token())
        commit(repository)
        shallow = tmp_path / "shallow"
        git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(shallow))
        code, result = scan(shallow, "--history", output=report)
        assert (code, result["outcome"]) == (2, "incomplete")
        assert "--allow-shallow" in result["not_scanned"][0]
        assert scan(shallow, "--history", "--allow-shallow", output=report)[0] == 1

    def test_a_history_without_commits_is_incomplete(self, tmp_path: Path, report: Path) -> None:
        git(tmp_path, "init", "-q", "empty")
        assert scan(tmp_path / "empty", "--history", output=report)[0] == 2

    def test_exclusions_are_counted(self, repository: Path, report: Path) -> None:
        (repository / "vendor").mkdir()
        (repository / "vendor/a").write_text(token())
        commit(repository)
        for arguments in (["--history"], ["--commit", "HEAD"], []):
            code, result = scan(repository, *arguments, "--exclude", "vendor/*", output=report)
            assert (code, result["counts"]["skipped"]["excluded"]) == (0, 1)


class TestSince:
    def test_a_push_is_scanned_without_what_was_there_before(self, repository: Path, report: Path) -> None:
        (repository / "old").write_text(token())
        before = commit(repository)
        (repository / "new").write_text("harmless\n")
        commit(repository)
        code, result = scan(repository, "--since", before, output=report)
        assert (code, result["counts"]["files"]) == (0, 1)
        (repository / "new").write_text(token())
        bad = commit(repository)
        code, result = scan(repository, "--since", before, output=report)
        assert (code, [f["commit"] for f in result["findings"]]) == (1, [bad])

    def test_nothing_new_is_clean(self, repository: Path, report: Path) -> None:
        code, result = scan(repository, "--since", "HEAD", output=report)
        assert (code, result["counts"]["files"]) == (0, 0)

    def test_an_unknown_ref_is_incomplete(self, repository: Path, report: Path) -> None:
        assert scan(repository, "--since=--all", output=report)[0] == 2


class TestStaged:
    def test_the_index_counts_and_not_the_file_on_disk(self, repository: Path, report: Path) -> None:
        (repository / "a").write_text(token())
        git(repository, "add", "a")
        (repository / "a").write_text("changed since\n")
        code, result = scan(repository, "--staged", output=report)
        assert (code, result["findings"][0]["path"], result["counts"]["files"]) == (1, "a", 1)
        git(repository, "add", "a")
        assert scan(repository, "--staged", output=report)[0] == 0

    def test_what_is_committed_already_is_not_asked_again(self, repository: Path, report: Path) -> None:
        (repository / "a").write_text(token())
        commit(repository)
        code, result = scan(repository, "--staged", output=report)
        assert (code, result["counts"]["files"]) == (0, 0)

    def test_the_first_commit_of_a_repository_is_scanned(self, tmp_path: Path, report: Path) -> None:
        git(tmp_path, "init", "-q", "fresh")
        (tmp_path / "fresh/a").write_text(token())
        git(tmp_path / "fresh", "add", "a")
        assert scan(tmp_path / "fresh", "--staged", output=report)[0] == 1

    def test_the_index_of_a_partial_commit_is_the_one_that_git_names(
        self, repository: Path, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (repository / "a").write_text(token())
        other = tmp_path / "other-index"
        other.write_bytes((repository / ".git/index").read_bytes())
        git(repository, "add", "a")
        monkeypatch.setenv("GIT_INDEX_FILE", str(other))
        assert scan(repository, "--staged", output=report)[0] == 0

    def test_outside_a_repository_it_is_incomplete(self, tmp_path: Path, report: Path) -> None:
        assert scan(tmp_path, "--staged", output=report)[0] == 2


class TestDamage:
    def damaged(self, repository: Path, path: str, content: bytes) -> None:
        blob = git(repository, "rev-parse", f"HEAD:{path}")
        file = repository / ".git/objects" / blob[:2] / blob[2:]
        file.chmod(0o600)
        file.write_bytes(content)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"no object", id="garbage"),
            pytest.param(b"", id="empty"),
            pytest.param(zlib.compress(b"blob 5000000\0short"), id="shorter-than-it-says"),
            pytest.param(zlib.compress(b"blob 8\0nothing\n")[:-6], id="truncated"),
            pytest.param(zlib.compress(b"gift 8\0nothing\n"), id="unknown-type"),
        ],
    )
    def test_one_broken_object_costs_itself_and_no_other(
        self, repository: Path, report: Path, content: bytes
    ) -> None:
        for name in ("a", "z"):
            (repository / name).write_text(token())
        (repository / "m").write_text("middle\n")
        commit(repository)
        self.damaged(repository, "m", content)
        for arguments in (["--history"], ["--commit", "HEAD"]):
            code, result = scan(repository, *arguments, output=report)
            assert (code, {f["path"] for f in result["findings"]}) == (2, {"a", "z"})
            assert [gap for gap in result["not_scanned"] if gap.startswith("m: object")]

    def test_a_missing_blob_is_named(self, repository: Path, report: Path) -> None:
        blob = git(repository, "rev-parse", "HEAD:readme")
        (repository / "a").write_text(token())
        commit(repository)
        (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
        code, result = scan(repository, "--history", output=report)
        assert (code, len(result["findings"])) == (2, 1)
        assert blob in result["not_scanned"][0]

    def test_a_missing_tree_is_incomplete(self, repository: Path, report: Path) -> None:
        tree = git(repository, "rev-parse", "HEAD^{tree}")
        (repository / ".git/objects" / tree[:2] / tree[2:]).unlink()
        code, result = scan(repository, "--history", output=report)
        assert (code, result["outcome"]) == (2, "incomplete")
