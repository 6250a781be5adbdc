"""Source repositories: one contract for the fake and for git itself; then what a hostile tree may not do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes_outside import FakeCommit, MemoryRepository

from platform_ops.adapters.git import GitRepositories, GitSignatures, Mirrors
from platform_ops.core.errors import NotFound, Refused, Unavailable
from platform_ops.core.ports import SourceRepository

SERVICE = "llm-service"
COMMITTED = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORS = ("first@example.com", "second@example.com", "third@example.com")


@dataclass
class Origin:
    """A work tree and the bare repository it pushes to."""

    tree: Path
    bare: Path

    def git(self, *words: str, author: str = AUTHORS[0]) -> str:
        who = ("-c", "user.name=Somebody", "-c", f"user.email={author}")
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_COMMITTER_DATE": COMMITTED.isoformat(),
        }
        done = subprocess.run(
            ["git", *who, *words],
            cwd=self.tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, author: str = AUTHORS[0], branch: str = "development") -> str:
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change", author=author)
        self.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "tree", tmp_path / "origin.git")
    made.tree.mkdir()
    made.git("init", "--quiet", "--initial-branch=development")
    made.git("init", "--quiet", "--bare", str(made.bare))
    made.git("remote", "add", "origin", str(made.bare))
    return made


def reading(url: str, state: Path) -> GitRepositories:
    mirrors = Mirrors({SERVICE: url}, state)
    return GitRepositories(mirrors, GitSignatures(mirrors, ()), "platform-ops@example.com")


@pytest.fixture
def repository(origin: Origin, tmp_path: Path) -> GitRepositories:
    return reading(str(origin.bare), tmp_path / "state")


@dataclass
class History:
    source: SourceRepository
    commits: tuple[str, ...]


@pytest.fixture(params=["fake", "git"])
def history(request: pytest.FixtureRequest) -> History:
    """Three commits of three authors on `development`; the tree states version 1.0.0, 1.1.0, 1.2.0."""
    if request.param == "fake":
        ids = tuple(character * 40 for character in "abc")
        commits = [
            FakeCommit(commit, author, {"version": f"1.{number}.0"})
            for number, (commit, author) in enumerate(zip(ids, AUTHORS, strict=True))
        ]
        return History(MemoryRepository({"development": commits}), ids)
    origin: Origin = request.getfixturevalue("origin")
    pushed = []
    for number, author in enumerate(AUTHORS):
        (origin.tree / "pyproject.toml").write_text(f'[project]\nversion = "1.{number}.0"\n')
        pushed.append(origin.commit(author))
    return History(request.getfixturevalue("repository"), tuple(pushed))


async def test_the_head_is_the_newest_commit(history: History) -> None:
    assert await history.source.head(SERVICE, "development") == history.commits[-1]


async def test_a_branch_that_is_not_there_is_named_with_those_that_are(history: History) -> None:
    with pytest.raises(NotFound, match=r"no branch 'main'; it has development"):
        await history.source.head(SERVICE, "main")


async def test_the_version_is_what_the_tree_of_that_commit_states(history: History) -> None:
    versions = [await history.source.version_at(SERVICE, commit) for commit in history.commits]
    assert versions == ["1.0.0", "1.1.0", "1.2.0"]


async def test_a_commit_was_made_when_its_committer_says(history: History) -> None:
    assert await history.source.committed_at(SERVICE, history.commits[0]) == COMMITTED


async def test_authors_are_those_of_the_commits_since_the_last_release(history: History) -> None:
    first, _, last = history.commits
    assert await history.source.authors(SERVICE, last, first) == frozenset(AUTHORS[1:])
    assert await history.source.authors(SERVICE, last, None) == frozenset(AUTHORS[2:])


async def test_the_history_goes_back_to_what_is_known_newest_first(history: History) -> None:
    first, second, last = history.commits
    newer = await history.source.history(SERVICE, last, first)
    assert [(one.id, one.parents, one.author) for one in newer] == [
        (last, (second,), AUTHORS[2]),
        (second, (first,), AUTHORS[1]),
    ]
    assert [one.subject for one in await history.source.history(SERVICE, last, None)] == ["change"] * 3
    assert await history.source.history(SERVICE, first, last) in ((), [])


async def test_a_commit_comes_of_those_before_it_and_of_itself(history: History) -> None:
    first, second, last = history.commits
    asked = ((first, last), (second, second), (last, second), ("d" * 40, last))
    answers = [await history.source.is_ancestor(SERVICE, *pair) for pair in asked]
    assert answers == [True, True, False, False]


async def test_equal_sources_have_one_tree_whatever_their_history_is(
    repository: GitRepositories, origin: Origin
) -> None:
    (origin.tree / "file").write_text("1")
    first = origin.commit()
    (origin.tree / "file").write_text("2")
    other = origin.commit()
    (origin.tree / "file").write_text("1")
    again = origin.commit()
    trees = [await repository.tree_of(SERVICE, commit) for commit in (first, other, again)]
    assert trees[0] == trees[2] != trees[1]
    assert trees[0] == origin.git("rev-parse", f"{first}^{{tree}}").strip()


async def test_a_commit_that_nobody_pushed_is_not_found(history: History, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="was it pushed"):
        await history.source.checkout(SERVICE, "d" * 40, tmp_path / "out")


async def test_a_checkout_is_the_tree_byte_by_byte(
    repository: GitRepositories, origin: Origin, tmp_path: Path
) -> None:
    (origin.tree / "bin").mkdir()
    (origin.tree / "bin" / "run").write_text("#!/bin/sh\n")
    (origin.tree / "bin" / "run").chmod(0o755)
    (origin.tree / "crlf.txt").write_bytes(b"one\r\ntwo\n")
    (origin.tree / "empty").write_bytes(b"")
    (origin.tree / "ünï cødé").write_bytes(bytes(range(256)))
    (origin.tree / "link").symlink_to("bin/run")
    (origin.tree / ".gitattributes").write_text("*.txt text eol=lf\ncrlf.txt export-ignore\n")
    commit = origin.commit()
    out = tmp_path / "out"
    await repository.checkout(SERVICE, commit, out)
    assert (out / "crlf.txt").read_bytes() == b"one\ntwo\n"  # as git stores it, not as it smudges it
    assert (out / "empty").read_bytes() == b""
    assert (out / "ünï cødé").read_bytes() == bytes(range(256))
    assert os.readlink(out / "link") == "bin/run"
    assert (out / "bin" / "run").stat().st_mode & 0o777 == 0o755


async def test_a_bundle_holds_the_commit_and_its_history(
    repository: GitRepositories, origin: Origin, tmp_path: Path
) -> None:
    (origin.tree / "file").write_text("1")
    first = origin.commit()
    (origin.tree / "file").write_text("2")
    second = origin.commit()
    await repository.bundle(SERVICE, first, tmp_path / "first.bundle")
    await repository.bundle(SERVICE, second, tmp_path / "second.bundle")
    clone = tmp_path / "clone.git"
    origin.git("clone", "--quiet", "--bare", str(tmp_path / "second.bundle"), str(clone))
    assert origin.git("-C", str(clone), "rev-list", second).split() == [second, first]


async def test_a_commit_that_was_rewritten_away_is_no_ancestor_and_in_no_bundle(
    repository: GitRepositories, origin: Origin, tmp_path: Path
) -> None:
    (origin.tree / "file").write_text("1")
    kept = origin.commit()
    (origin.tree / "file").write_text("2")
    gone = origin.commit()
    assert await repository.is_ancestor(SERVICE, kept, gone)
    origin.git("reset", "--quiet", "--hard", kept)
    (origin.tree / "file").write_text("3")
    rewritten = origin.commit()
    assert not await repository.is_ancestor(SERVICE, gone, rewritten)
    await repository.bundle(SERVICE, rewritten, tmp_path / "rewritten.bundle")
    clone = tmp_path / "clone.git"
    origin.git("clone", "--quiet", "--bare", str(tmp_path / "rewritten.bundle"), str(clone))
    assert origin.git("-C", str(clone), "rev-list", "--all").split() == [rewritten, kept]


async def test_a_mirror_that_was_made_earlier_learns_of_later_pushes(
    repository: GitRepositories, origin: Origin, tmp_path: Path
) -> None:
    (origin.tree / "pyproject.toml").write_text('[project]\nversion = "1.0.0"\n')
    await repository.version_at(SERVICE, origin.commit())
    (origin.tree / "pyproject.toml").write_text('[project]\nversion = "2.0.0"\n')
    assert await repository.version_at(SERVICE, origin.commit()) == "2.0.0"


def link_out(tree: Path) -> None:
    (tree / "passwords").symlink_to("../../../etc/passwd")


def link_absolute(tree: Path) -> None:
    (tree / "passwords").symlink_to("/etc/passwd")


@pytest.mark.parametrize("hostile", [link_out, link_absolute], ids=["relative", "absolute"])
async def test_a_link_that_leaves_the_tree_is_refused(
    repository: GitRepositories, origin: Origin, tmp_path: Path, hostile: Callable[[Path], None]
) -> None:
    hostile(origin.tree)
    with pytest.raises(Refused, match="outside of the tree"):
        await repository.checkout(SERVICE, origin.commit(), tmp_path / "out")


async def test_filters_that_a_tree_asks_for_do_not_run(
    repository: GitRepositories, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (origin.tree / ".gitattributes").write_text("* filter=evil\n")
    (origin.tree / "file").write_text("content\n")
    commit = origin.commit()
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "filter.evil.smudge")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {tmp_path / 'executed'}; cat")
    await repository.checkout(SERVICE, commit, tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "content\n"
    assert not (tmp_path / "executed").exists()


async def test_a_commit_that_is_no_full_id_is_refused(repository: GitRepositories) -> None:
    with pytest.raises(Refused, match="full commit id"):
        await repository.version_at(SERVICE, "--upload-pack=touch /tmp/x")


async def test_a_tree_without_a_version_says_what_to_add(repository: GitRepositories, origin: Origin) -> None:
    with pytest.raises(Refused, match=r"project\.version"):
        await repository.version_at(SERVICE, origin.commit())


async def test_a_server_that_is_away_is_a_temporary_error(tmp_path: Path) -> None:
    source = reading("https://127.0.0.1:1/llm-service.git", tmp_path)
    with pytest.raises(Unavailable):
        await source.head(SERVICE, "development")


async def test_a_repository_that_is_not_there_is_refused(tmp_path: Path) -> None:
    source = reading(str(tmp_path / "nothing.git"), tmp_path)
    with pytest.raises(Refused, match=r"does not exist|does not appear"):
        await source.head(SERVICE, "development")
