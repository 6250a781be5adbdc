"""One pass over a content: what the rules are sure of, and what the classifier has to judge."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from analyzer.engine import assignments, manifests
from analyzer.engine.assignments import Candidate
from analyzer.engine.file_types import extension_of
from analyzer.engine.filters import is_translation, is_worth_judging
from analyzer.engine.matcher import Hit, Matcher
from analyzer.engine.rules import RULES, Rule
from analyzer.engine.structures import BLOCK_MAX, BLOCKS, JWK_MEMBER, URL_START


@dataclass(frozen=True)
class Match:
    """A rule's value and where it stands. Its representation leaves the value out."""

    rule: Rule
    start: int
    end: int
    """Of the place in the content; the value may be what its base 64 stands for."""
    value: bytes = field(repr=False)


MIN_HIDDEN = 20
MIN_HITS, BYTES_A_HIT = 5_000, 200
MIN_CANDIDATES, BYTES_A_CANDIDATE = 2_000, 1_000
"""So many hits and candidates are looked at, and one more for so many bytes; the rest is cut."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,16000}={0,2}\Z")
_GENERATED = (".map", ".svg")
"""Files that hold other files or drawings: only the rules look into them."""


@dataclass(frozen=True)
class Located:
    """What one content holds."""

    matches: list[Match]
    candidates: list[Candidate]
    complete: bool
    """False when a flood of hits was cut."""


class Locator:
    """The compiled expressions of rules and assignments; may be used by several threads."""

    def __init__(self) -> None:
        self._triggers = [(rule, trigger.width) for rule in RULES for trigger in rule.triggers]
        expressions = [(trigger.expression, 0) for rule in RULES for trigger in rule.triggers]
        self._rules_matcher = Matcher(expressions)
        self._matcher = Matcher([*expressions, *assignments.EXPRESSIONS, manifests.EXPRESSION])

    def matches(self, content: bytes) -> Iterator[Match]:
        """Every rule's checked matches in `content`."""
        hits, _ = self._rules_matcher.hits(content, MIN_HITS)
        yield from self._checked(content, hits)

    def locate(self, content: bytes, path: str, limit: int | None = None) -> Located:
        """Matches and candidates of a content in UTF-8 or ASCII; `path` tells the type of the file."""
        is_text = b"\0" not in content[:8192] and not is_translation(path) and not path.endswith(_GENERATED)
        limit = MIN_HITS + len(content) // BYTES_A_HIT if limit is None else limit
        hits, complete = (self._matcher if is_text else self._rules_matcher).hits(content, limit)
        rules = len(self._triggers)
        matches = list(self._checked(content, [hit for hit in hits if hit[0] < rules]))
        most = MIN_CANDIDATES + len(content) // BYTES_A_CANDIDATE
        found = self._candidates(content, extension_of(path), hits, most)
        left = []
        for candidate in _outside(matches, found[:most]):
            hidden = self._hidden(candidate)
            if hidden is None:
                left.append(candidate)
            else:
                matches.append(hidden)
        return Located(matches, left, complete and len(found) <= most)

    def _candidates(self, content: bytes, extension: str, hits: list[Hit], most: int) -> list[Candidate]:
        """Of each place the candidate whose name says most; of a flood `most` and one more."""
        found: dict[int, Candidate] = {}
        for candidate in self._read(content, hits):
            known = found.get(candidate.start)
            is_better = known is None or (candidate.name.last and not known.name.last)
            if is_better and is_worth_judging(candidate, extension):
                found[candidate.start] = candidate
                if len(found) > most:
                    break
        return list(found.values())

    def _read(self, content: bytes, hits: list[Hit]) -> Iterator[Candidate]:
        """What the hits point to that are no rule's."""
        first = len(self._triggers)
        manifest = first + len(assignments.EXPRESSIONS)
        # First, since a place is kept as it was read first: the text of an entry's base 64 is not its value.
        yield from manifests.secret_data(content, (end for id, end in hits if id == manifest))
        for id, end in hits:
            if first <= id < manifest:
                candidate = assignments.candidate_at(content, id - first, end)
                if candidate is not None:
                    yield candidate

    def _checked(self, content: bytes, hits: list[Hit]) -> Iterator[Match]:
        """The checked matches of hits, each place once."""
        seen: dict[str, int] = {}
        for id, end in hits:
            rule, width = self._triggers[id]
            floor = seen.get(rule.id, 0)
            start = _start_of(content, rule, width, end, floor)
            if start < floor:
                continue
            match = rule.pattern.match(content, start, min(len(content), start + BLOCK_MAX + 100))
            if match is None:
                continue
            seen[rule.id] = match.end()
            if _has_context(content, rule, match.start()) and rule.check(match.group()):
                yield Match(rule, start, match.end(), match.group())

    def _hidden(self, candidate: Candidate) -> Match | None:
        """What a rule sees in a value only once its parts are joined or its base 64 is decoded."""
        value = candidate.value
        texts = [value] if len(value) != candidate.end - candidate.start else []
        if _BASE64.match(value):
            texts += _decoded(value)
        if len(value) < MIN_HIDDEN:
            return None
        hidden = (match for text in texts for match in self.matches(text))
        return next((replace(match, start=candidate.start, end=candidate.end) for match in hidden), None)


def _decoded(value: bytes) -> list[bytes]:
    try:
        return [base64.b64decode(value + b"=" * (-len(value) % 4))]
    except binascii.Error:
        return []


def _start_of(content: bytes, rule: Rule, width: int, end: int, floor: int) -> int:
    """Where the match that a hit points to begins; -1 when there is none. `floor` is where the last one
    ended."""
    block = BLOCKS.get(rule.id)
    if block is not None:
        if content.rfind(b"-----END ", max(0, end - 60), end) < 0:
            return -1
        return content.rfind(block, max(floor, end - BLOCK_MAX), end - 20)
    if rule.id == "connection-string":
        separator = content.rfind(b"://", max(floor, end - 400), end)
        scheme = URL_START.search(content, max(0, separator - 24), separator) if separator >= 0 else None
        return scheme.start() if scheme else -1
    return end - width


def _has_context(content: bytes, rule: Rule, start: int) -> bool:
    """A JSON Web Key is one only beside the member that names its type."""
    if rule.id != "jwk-private-key":
        return True
    return JWK_MEMBER.search(content, max(0, start - 3000), start + 3000) is not None


def _outside(matches: list[Match], candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """The candidates that no rule's match covers; of those with one end, the innermost."""
    spans = [(match.start, match.end) for match in matches]
    innermost: dict[int, Candidate] = {}
    for candidate in candidates:
        known = innermost.get(candidate.end)
        if known is None or candidate.start > known.start:
            innermost[candidate.end] = candidate
    for candidate in innermost.values():
        if not any(start < candidate.end and candidate.start < end for start, end in spans):
            yield candidate
