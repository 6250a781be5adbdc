"""Calls that take a value to ask about it, and calls that are about something else than their name."""

from __future__ import annotations

import re

from analyzer.engine.assignments import Candidate
from analyzer.engine.names import CREDENTIAL, read_name

# has_error("password", "required"), open("etc/passwd", "r"): the function and its first argument.
_CALLED_WITH = re.compile(
    rb"([A-Za-z_]\w*)\([ \t]*[\"']([^\"']{1,80})[\"'][ \t]*,[ \t]*(?:[\w.]{1,40}\([ \t]*)?[\"'`]?\Z"
)
_INSIDE = re.compile(rb"\w\([ \t]*\Z")
_BARE_WORD = re.compile(rb"\A[A-Za-z_]+\Z")
_MORE_ARGUMENTS = re.compile(rb"[\"'`][ \t]*,")
_ASKING = frozenset(
    ("has", "get", "is", "assert", "expect", "check", "checks", "find", "fetch", "exists", "equal", "equals",
     "contains", "remove", "delete", "index", "lookup", "load", "test", "validate", "verify", "compare",
     "match", "matches", "maybe", "should", "error", "query", "select", "parse", "read", "unset", "clear")
)  # fmt: skip


def is_asked(candidate: Candidate) -> bool:
    """Whether the value is an argument of a call that keeps no secret.

    `token.endswith("x")` is about the token's end, `check_password("x")` asks, the first of the arguments of
    `credentials("jim", "x")` is a user, and `naspasswd(` is itself the call.
    """
    name, separator, after = candidate.name, candidate.separator, candidate.after
    if not candidate.quoted and _is_code(candidate):
        return True
    if separator == ",":
        called = _CALLED_WITH.search(candidate.before)
        return called is not None and (b"/" in called[2] or _asks(called[1].decode()))
    if name.kind == CREDENTIAL and separator in ("(", "space") and _MORE_ARGUMENTS.match(after):
        return True
    if separator != "(":
        return False
    called_name = name.text.rpartition(".")[2]
    return read_name(called_name).kind is None or _asks(called_name)


def _is_code(candidate: Candidate) -> bool:
    """Whether a bare word is code whatever the file's type: `f(`, `row[`, `= f(row,`, `"$pass" = word`."""
    if candidate.after[:1] in (b"(", b"["):
        return True
    if not _BARE_WORD.match(candidate.value):
        return False
    compared = candidate.name.text.startswith("$") and b" " in candidate.before[-2:]
    return compared or bool(_INSIDE.search(candidate.before))


def _asks(function: str) -> bool:
    words = read_name(function).words
    return bool(words) and words[0] in _ASKING
