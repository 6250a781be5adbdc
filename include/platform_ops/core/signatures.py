"""Who may sign, and what is wrong with a commit's signature. Keys are ssh keys as `ssh-keygen` knows them
(https://man.openbsd.org/ssh-keygen#ALLOWED_SIGNERS)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .source import Commit, SignedCommit

KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_OPTION = re.compile(r'^(?:valid-after|valid-before)="?\d{8}(?:\d{4}(?:\d{2})?)?Z?"?$')
_ADDRESS = re.compile(r"^[^\s@,*?!\"]+@[^\s@,*?!\"]+$")
SKEW = timedelta(hours=1)
"""How far the clocks of two developers may lie apart."""


@dataclass(frozen=True)
class Signer:
    """One key and the addresses whose commits it may sign."""

    addresses: tuple[str, ...]
    key_type: str
    key: str
    """Base64, as in a `.pub` file."""
    options: tuple[str, ...] = ()
    """`valid-after="…"` and `valid-before="…"`."""

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def line(self) -> str:
        """Its line of an allowed-signers file; it may sign nothing but git's objects."""
        options = ",".join(['namespaces="git"', *self.options])
        return f"{','.join(self.addresses)} {options} {self.key_type} {self.key}"


def parse_signer(line: str) -> Signer:
    """A line `addresses [options] type key [comment]`. ValueError says what is wrong with it."""
    addresses, _, key = line.strip().partition(" ")
    names = tuple(name.lower() for name in addresses.strip('"').split(","))
    if wrong := [name for name in names if not _ADDRESS.match(name)]:
        raise ValueError(f"{wrong[0]!r} is no e-mail address; patterns are not taken")
    return key_of(names, key)


def key_of(addresses: Sequence[str], text: str) -> Signer:
    """`[options] type key [comment]` as the key of these addresses. ValueError says what is wrong with it."""
    words = text.split()
    place = next((number for number, word in enumerate(words) if word in KEY_TYPES), None)
    if place is None or len(words) < place + 2:
        raise ValueError(f"{text[:40]!r} is no public ssh key; write it as in a .pub file: ssh-ed25519 AAAA…")
    options = tuple(option for word in words[:place] for option in word.split(","))
    kept = tuple(option for option in options if not option.startswith("namespaces="))
    if wrong := [option for option in kept if not _OPTION.match(option)]:
        raise ValueError(f"the option {wrong[0]!r} is not taken; valid-after and valid-before are")
    try:
        blob = base64.b64decode(words[place + 1], validate=True)
    except binascii.Error as broken:
        raise ValueError(f"the key {words[place + 1][:20]}… is not whole: {broken}") from broken
    named = len(words[place]).to_bytes(4, "big") + words[place].encode()
    if not blob.startswith(named):
        raise ValueError(f"the key {words[place + 1][:20]}… is no {words[place]} key")
    return Signer(tuple(address.lower() for address in addresses), words[place], words[place + 1], kept)


def signed_by(signed: SignedCommit, address: str, signers: Iterable[Signer]) -> bool:
    """Whether a key of `address`, valid at that time, has signed it."""
    if signed.status != "G":
        return False
    return any(s.fingerprint == signed.fingerprint and address in s.addresses for s in signers)


def problems(
    commits: Sequence[SignedCommit], signers: Iterable[Signer], dates: Mapping[str, datetime], now: datetime
) -> tuple[str, ...]:
    """One sentence for each commit that does not count as signed, in the given order.

    `dates` gives the time of every commit and of all their parents: a key's validity is judged at the
    commit's own date, which its committer chooses, so that date must fit the history around it.
    """
    owners: dict[str, set[str]] = {}
    for signer in signers:
        owners.setdefault(signer.fingerprint, set()).update(signer.addresses)
    found = ((one, _signature(one, owners) or _date(one.commit, dates, now)) for one in commits)
    return tuple(f"{one.commit.in_words()} {problem}" for one, problem in found if problem)


def _signature(signed: SignedCommit, owners: Mapping[str, set[str]]) -> str | None:
    committer, key = signed.commit.committer, signed.fingerprint
    if signed.status == "N":
        return "is not signed with an ssh key"
    if signed.status == "B":
        return "has a signature that does not fit its content"
    if signed.status not in ("G", "U") or not key:
        return "is signed with something else than an ssh key"
    if key not in owners:
        return f"is signed by {key}, a key that is listed for nobody"
    if committer not in owners[key]:
        return f"is signed by the key of {', '.join(sorted(owners[key]))}, who is not its committer"
    if signed.status == "U":
        return (
            f"is signed by {key}, which was not valid for {committer} at {signed.commit.at:%Y-%m-%d %H:%MZ}"
        )
    return None


def _date(commit: Commit, dates: Mapping[str, datetime], now: datetime) -> str | None:
    newest = max((dates[parent] for parent in commit.parents if parent in dates), default=commit.at)
    if commit.at < newest - SKEW:
        return f"is dated {commit.at:%Y-%m-%d %H:%MZ}, before its parent of {newest:%Y-%m-%d %H:%MZ}"
    if commit.at > now + SKEW:
        return f"is dated in the future: {commit.at:%Y-%m-%d %H:%MZ}"
    return None
