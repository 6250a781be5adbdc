"""Signatures against git and ssh-keygen themselves: who signed what, and what nobody may get around."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from signed_git import PLATFORM_ADDRESS, SERVICE, SignedGit

from local_platform.layout import Layout
from local_platform.signing import Keys
from platform_ops.adapters.git import listed_signers
from platform_ops.core.errors import PermanentError
from platform_ops.core.signatures import key_of

NOW = datetime.now(UTC) + timedelta(minutes=5)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    made = Keys(tmp_path_factory.mktemp("keys"), Layout.from_environment())
    made.complete()
    return made


@pytest.fixture
def world(tmp_path: Path, keys: Keys) -> SignedGit:
    return SignedGit(tmp_path, keys).create()


async def sentences(world: SignedGit, commit: str, since: str | None = None) -> tuple[str, ...]:
    return (await world.signatures().problems(SERVICE, commit, since, NOW))[1]


async def test_signed_commits_pass_and_are_counted_since_the_last_release(world: SignedGit) -> None:
    first = world.commit("feat: one")
    world.commit("feat: two", who="oncall")
    last = world.commit("feat: three")
    assert await world.signatures().problems(SERVICE, last, None, NOW) == (3, ())
    assert await world.signatures().problems(SERVICE, last, first, NOW) == (2, ())


def unsigned(world: SignedGit) -> str:
    return world.commit("feat: bad", "--no-gpg-sign")


def with_somebody_elses_key(world: SignedGit) -> str:
    return world.commit("feat: bad", GIT_COMMITTER_EMAIL="oncall@example.com")


def as_the_service_with_a_developers_key(world: SignedGit) -> str:
    return world.commit("feat: bad", GIT_COMMITTER_EMAIL=PLATFORM_ADDRESS)


def with_an_unlisted_key(world: SignedGit) -> str:
    stranger = world.folder / "stranger"
    shutil.copytree(world.keys.folder, stranger)
    for path in (stranger / "developer", stranger / "developer.pub"):
        path.unlink()
    other = Keys(stranger, world.keys.layout)
    other.complete()
    return SignedGit(world.folder, other).commit("feat: bad")


def changed_after_signing(world: SignedGit) -> str:
    signed = world.commit("feat: good")
    raw = world.git("cat-file", "commit", signed).replace("feat: good", "feat: evil")
    forged = world.git("hash-object", "-t", "commit", "-w", "--stdin", given=f"{raw}\n")
    world.push(forged, "development")
    return forged


def of_another_kind(world: SignedGit) -> str:
    signed = world.commit("feat: good")
    raw = world.git("cat-file", "commit", signed).replace("SSH SIGNATURE", "PGP SIGNATURE")
    forged = world.git("hash-object", "-t", "commit", "-w", "--stdin", given=f"{raw}\n")
    world.push(forged, "development")
    return forged


def dated_back(world: SignedGit) -> str:
    return world.commit("feat: bad", GIT_COMMITTER_DATE="2026-01-01T00:00:00Z")


def dated_ahead(world: SignedGit) -> str:
    return world.commit("feat: bad", GIT_COMMITTER_DATE=f"{NOW + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}")


@pytest.mark.parametrize(
    ("do", "says"),
    [
        (unsigned, "is not signed with an ssh key"),
        (with_somebody_elses_key, "the key of developer@example.com, who is not its committer"),
        (as_the_service_with_a_developers_key, "the key of developer@example.com, who is not its committer"),
        (with_an_unlisted_key, "a key that is listed for nobody"),
        (changed_after_signing, "does not fit its content"),
        (of_another_kind, "is not signed with an ssh key"),
        (dated_back, "before its parent"),
        (dated_ahead, "in the future"),
    ],
)
async def test_what_does_not_count_is_one_sentence(
    world: SignedGit, do: Callable[[SignedGit], str], says: str
) -> None:
    world.commit("feat: before")
    bad = do(world)
    (sentence,) = await sentences(world, bad, world.git("rev-parse", f"{bad}^"))
    assert sentence.startswith(bad[:8])
    assert says in sentence


async def test_an_expired_key_signs_what_was_committed_while_it_was_valid(world: SignedGit) -> None:
    public = world.keys.key("developer").with_suffix(".pub").read_text()
    addresses = ["developer@example.com"]
    commit = world.commit("feat: one")
    yesterday, tomorrow = (f"{NOW + timedelta(days=days):%Y%m%d}Z" for days in (-2, 2))
    found = {
        until: await world.signatures([key_of(addresses, f'valid-before="{until}" {public}')]).problems(
            SERVICE, commit, None, NOW
        )
        for until in (yesterday, tomorrow)
    }
    assert found[tomorrow] == (1, ())
    assert "was not valid for developer@example.com" in found[yesterday][1][0]


async def test_neither_the_repository_nor_the_user_says_whom_to_trust(
    world: SignedGit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A mirror's and a user's configuration would name another program and other keys."""
    commit = world.commit("feat: bad", "--no-gpg-sign")
    yes = tmp_path / "yes"
    yes.write_text(f"#!/bin/sh\ntouch {tmp_path / 'executed'}\n")
    yes.chmod(0o755)
    config = tmp_path / "config"
    config.write_text(f'[gpg "ssh"]\nprogram = {yes}\n[gpg]\nprogram = {yes}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "gpg.ssh.program")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(yes))
    assert len(await sentences(world, commit)) == 1
    forged = of_another_kind(world)
    assert len(await sentences(world, forged, commit)) == 1
    assert not (tmp_path / "executed").exists()


async def test_what_the_service_made_has_no_author_and_what_claims_to_be_its_has(world: SignedGit) -> None:
    first = world.commit("feat: one")
    merged = world.commit("Release", who="platform-ops", branch="main")
    assert await world.reading().authors(SERVICE, merged, first) == frozenset()
    forged = world.commit(
        "Release again",
        branch="main",
        GIT_COMMITTER_EMAIL=PLATFORM_ADDRESS,
        GIT_AUTHOR_EMAIL=PLATFORM_ADDRESS,
    )
    assert await world.reading().authors(SERVICE, forged, first) == {PLATFORM_ADDRESS}


def test_a_line_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "allowed"
    file.write_text("# people\n\n*@example.com ssh-ed25519 AAAA\n")
    with pytest.raises(PermanentError, match=r"allowed:3: '\*@example.com' is no e-mail address"):
        listed_signers(str(file))
    with pytest.raises(PermanentError, match="cannot be read"):
        listed_signers(str(tmp_path / "missing"))


def test_keys_are_made_once_and_only_their_owner_reads_them(keys: Keys) -> None:
    before = keys.allowed_signers.read_text()
    keys.complete()
    assert keys.allowed_signers.read_text() == before
    assert keys.folder.stat().st_mode & 0o777 == 0o700
    assert keys.key("developer").stat().st_mode & 0o777 == 0o600
    assert [line.split(" ")[0] for line in before.splitlines()] == [
        "developer@example.com",
        "oncall@example.com",
        PLATFORM_ADDRESS,
    ]
