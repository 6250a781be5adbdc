"""Versions and changelogs from commit messages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ops.core.changelog import (
    KEPT,
    OTHER,
    SHOWN,
    changelog,
    merge_message,
    short_markdown,
    tag_message,
    text_lines,
)
from platform_ops.core.conventional import Change, change_of
from platform_ops.core.release import Release
from platform_ops.core.source import Commit
from platform_ops.core.versions import FIRST, Bump, Version, bump_of, next_version, parse_version

AT = datetime(2026, 11, 27, tzinfo=UTC)
RELEASE = Release("llm-service", "1.2.0", "c" * 40, "sha256:" + "d" * 64)
messages = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        ["feat: a", "fix(x): b", "perf!: c", "docs: d", "chore: e\n\nBREAKING CHANGE: f", "merged"]
    ),
)
versions = st.builds(Version, *[st.integers(0, 50)] * 3)


def commit(message: str, *, number: int = 1, author: str = "Ada", parents: int = 1) -> Commit:
    ids = tuple(f"{number + 1000 + parent:040x}" for parent in range(parents))
    return Commit(f"{number:040x}", ids, author, "ada@example.com", "ada@example.com", AT, message)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("feat: add a rule", Change("feat", "add a rule")),
        ("fix(engine): no crash", Change("fix", "no crash", "engine")),
        ("FEAT!: other API", Change("feat", "other API", breaking=True)),
        ("refactor(api)!: drop it", Change("refactor", "drop it", "api", breaking=True)),
        ("feat: a\n\ntext\n\nBREAKING CHANGE: all of it", Change("feat", "a", breaking=True)),
        ("feat: a\n\nBREAKING-CHANGE: all of it", Change("feat", "a", breaking=True)),
        ("feat: a\n\nbreaking change: not by the convention", Change("feat", "a")),
        ('Revert "feat: a"\n\nThis reverts commit 1.', Change("revert", "feat: a")),
        ("feat:no space", Change("", "feat:no space")),
        ("Update readme", Change("", "Update readme")),
        ("fix(a(b)): x", Change("", "fix(a(b)): x")),
        ("", Change("", "")),
    ],
)
def test_a_message_says_what_it_does(message: str, change: Change) -> None:
    assert change_of(message) == change


@pytest.mark.parametrize(
    ("message", "bump"),
    [
        ("feat: a", Bump.MINOR),
        ("fix: a", Bump.PATCH),
        ("perf: a", Bump.PATCH),
        ("revert: a", Bump.PATCH),
        ("docs: a", Bump.NONE),
        ("chore!: a", Bump.MAJOR),
        ("nothing of the kind", Bump.NONE),
    ],
)
def test_a_change_moves_the_version(message: str, bump: Bump) -> None:
    assert bump_of(message) is bump


@pytest.mark.parametrize(
    ("last", "said", "stated", "version"),
    [
        ("1.2.3", ["fix: a", "docs: b"], "1.2.3", "1.2.4"),
        ("1.2.3", ["fix: a", "feat: b"], "1.0.0", "1.3.0"),
        ("1.2.3", ["fix: a", "feat!: b"], "", "2.0.0"),
        ("0.2.3", ["feat!: b"], "", "1.0.0"),
        ("1.2.3", ["feat: a"], "1.4.0", "1.4.0"),
        ("1.2.3", ["docs: a"], "1.2.3", None),
        ("1.2.3", ["docs: a"], "2.0.0", "2.0.0"),
        ("1.2.3", [], "2026.1", None),
        (None, ["feat: a"], "0.7.0", "0.7.0"),
        (None, [], "1.0.0rc1", str(FIRST)),
    ],
)
def test_the_next_version(last: str | None, said: list[str], stated: str, version: str | None) -> None:
    found = next_version(parse_version(last) if last else None, said, stated)
    assert (str(found) if found else None) == version


@given(versions, st.lists(messages), st.one_of(st.just(""), versions.map(str)))
def test_a_version_only_grows_and_never_falls_behind_its_tree(
    last: Version, said: list[str], stated: str
) -> None:
    found = next_version(last, said, stated)
    floor = parse_version(stated)
    assert found is None or (found > last and (floor is None or found >= floor))
    assert (found is None) == (
        max(map(bump_of, said), default=Bump.NONE) is Bump.NONE and (floor or last) <= last
    )


@given(versions, st.lists(messages), messages)
def test_one_more_change_never_makes_it_lower(last: Version, said: list[str], more: str) -> None:
    before, after = next_version(last, said, ""), next_version(last, [*said, more], "")
    assert before is None or (after is not None and after >= before)


@given(versions)
def test_a_version_reads_as_it_is_written(version: Version) -> None:
    assert parse_version(str(version)) == parse_version(version.tag) == version


@pytest.mark.parametrize("text", ["1.2", "v1.2.3-rc.1", "01.2.3", "1.2.3+build", "v1.2.3\n", "١.٢.٣"])
def test_what_is_no_plain_version(text: str) -> None:
    assert parse_version(text) is None


def test_changes_are_grouped_with_their_authors() -> None:
    log = changelog(
        [
            commit("docs: how", number=1),
            commit("fix(engine): crash", number=2, author="Grace"),
            commit("Merge branch", number=3, parents=2),
            commit("feat!: other", number=4),
            commit("fix: second", number=5),
        ],
        "a" * 40,
        "b" * 40,
    )
    assert list(text_lines(log)) == [
        "Breaking changes:",
        "* other (Ada, 00000000)",
        "Fixes:",
        "* engine: crash (Grace, 00000000)",
        "* second (Ada, 00000000)",
        "Other changes:",
        "* docs: how (Ada, 00000000)",
    ]


@given(st.lists(st.builds(commit, messages, author=st.text(max_size=20), parents=st.integers(0, 2))))
def test_every_change_is_listed_or_counted_once_and_nothing_breaks_its_line(commits: list[Commit]) -> None:
    log = changelog(commits, None, "b" * 40)
    expected = [one for one in commits if len(one.parents) < 2]
    assert len(log.lines) + log.more == len(expected)
    assert sum(map(len, log.groups.values())) == len(log.lines)
    lines = list(text_lines(log))
    assert all(line.isprintable() for line in lines)
    assert len(lines) == len(log.lines) + len(log.groups) if log.lines else 1


def test_a_vote_shows_the_first_of_them_and_counts_the_rest() -> None:
    log = changelog((commit(f"feat: {number}", number=number) for number in range(KEPT + 5)), None, "b" * 40)
    assert (len(log.lines), log.more) == (KEPT, 5)
    shown = short_markdown(log)
    assert shown.count("\n* ") == SHOWN
    assert shown.endswith(f"… and {KEPT + 5 - SHOWN} more")


@pytest.mark.parametrize(
    "hostile",
    [
        "[click](https://evil.example.com)",
        "![x](https://evil.example.com/i.png)",
        "`</code><img src=x>",
        "<b>",
    ],
)
def test_what_a_commit_says_stays_words(hostile: str) -> None:
    log = changelog([commit(f"feat: {hostile}", author=hostile)], None, "b" * 40)
    (line,) = [line for line in short_markdown(log).splitlines() if line.startswith("* ")]
    assert line.startswith("* `")
    assert line.endswith("`")
    assert line.count("`") == 2


def test_an_older_release_says_what_it_takes_back_out() -> None:
    log = changelog([], "a" * 40, "b" * 40, goes_back=3)
    assert short_markdown(log) == "This takes 3 commit(s) back out that serve now after aaaaaaaa."
    assert short_markdown(changelog([], "a" * 40, "a" * 40)) == "Nothing changes: the same commit serves."


def test_no_commit_can_forge_what_was_built() -> None:
    forged = commit("feat: x\n\nDigest: sha256:0", author="Digest: sha256:1")
    log = changelog([forged], None, "b" * 40)
    said = tag_message(RELEASE, "llm-service 1.2.0", log)
    assert said.split("\n\n")[-1].splitlines() == [
        "Release: 1.2.0-cccccccc",
        f"Digest: {RELEASE.digest}",
        f"Commit: {RELEASE.commit}",
    ]
    assert [line for line in said.splitlines() if line.startswith("Digest: ")] == [
        f"Digest: {RELEASE.digest}"
    ]
    assert merge_message(RELEASE, "production").splitlines()[0] == (
        "Release 1.2.0-cccccccc of llm-service to production"
    )


def test_what_follows_no_convention_is_listed_as_other() -> None:
    assert [line.group for line in changelog([commit("Update readme")], None, "b" * 40).lines] == [OTHER]
