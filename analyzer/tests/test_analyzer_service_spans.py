"""Every finding in a text has a span in it, whatever the text."""

from __future__ import annotations

import base64

import analyzer_shapes as shapes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.engine.privacy import Fingerprinter
from analyzer.service.detection import EngineDetector

DETECTOR = EngineDetector(Fingerprinter(b"k"))
TOKEN = shapes.with_checksum("ghp")
WRAPPED = base64.b64encode(TOKEN.encode()).decode()
HALVES = [shapes.text(shapes.ALPHANUMERIC, 12) for _ in range(2)]
PARTS = [
    TOKEN, f"token: {WRAPPED}\n", f"kind: Secret\ndata:\n  token: {WRAPPED}\n", shapes.jwt(),
    shapes.macaroon(), f"password = '{HALVES[0]}'\n", 'db_password = "{}"\n  + "{}"\n'.format(*HALVES),
    "\0", "\ufeff", "ñ😀", "\r\n", "\ud800", "\u2028", " ", "=", "'",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=12).map("".join))
def test_every_finding_has_a_span_in_the_text(text: str) -> None:
    lines = text.split("\n")
    for found in DETECTOR.locate(text).findings:
        begin, end = (found.line, found.column), (found.end_line, found.end_column)
        assert (1, 1) <= begin < end
        assert found.end_line <= len(lines)
        assert found.column <= len(lines[found.line - 1]) + 1
        assert found.end_column <= len(lines[found.end_line - 1]) + 1


def test_a_value_that_stands_twice_is_found_at_both_places() -> None:
    found = DETECTOR.locate(f"a = {TOKEN}\n\nb = {TOKEN} {TOKEN}\n").findings
    end = 5 + len(TOKEN)
    assert [(each.line, each.column) for each in found] == [(1, 5), (3, 5), (3, end + 1)]


def test_a_nul_hides_nothing() -> None:
    assert [each.column for each in DETECTOR.locate(f"\0{TOKEN}\0").findings] == [2]


@pytest.mark.parametrize(
    ("text", "span"),
    [
        pytest.param(f"token: {WRAPPED}\n", (1, 8, 1, 8 + len(WRAPPED)), id="base-64"),
        pytest.param(
            'db_password = "{}"\n  + "{}"\n'.format(*HALVES), (1, 16, 2, 6 + len(HALVES[1])), id="two-lines"
        ),
    ],
)
def test_a_span_covers_what_stands_in_the_text(text: str, span: tuple[int, int, int, int]) -> None:
    [found] = DETECTOR.locate(text).findings
    assert (found.line, found.column, found.end_line, found.end_column) == span


def test_a_flood_is_told() -> None:
    line = ": ".join(("password", "a1b2c3\n"))
    assert not DETECTOR.locate(line * 30_000).complete
    assert DETECTOR.locate(line).complete
