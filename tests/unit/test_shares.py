"""How many real responses tell that a weight is there."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ops.core.shares import AT_MOST, shown


@pytest.mark.parametrize(
    ("before", "wanted", "seen", "total", "told"),
    [
        pytest.param(0, 5, 1, 20, True, id="the-first-answer-of-a-new-colour"),
        pytest.param(0, 5, 0, 20, None, id="none-yet"),
        pytest.param(0, 5, 0, AT_MOST, False, id="none-at-all"),
        pytest.param(25, 50, 5, 20, None, id="as-many-as-before"),
        pytest.param(25, 50, 50, AT_MOST, False, id="still-as-many-as-before"),
        pytest.param(25, 50, 20, 40, True, id="half-of-them"),
        pytest.param(5, 25, 5, 20, True, id="a-quarter"),
        pytest.param(5, 6, 11, AT_MOST, True, id="too-close-to-tell-and-not-against-it"),
        pytest.param(50, 50, 0, 0, True, id="nothing-rose"),
    ],
)
def test_answers_tell_a_share(before: int, wanted: int, seen: int, total: int, told: bool | None) -> None:
    assert shown(before, wanted, seen, total) is told


@pytest.mark.parametrize(("before", "wanted"), [(0, 5), (5, 25), (25, 50), (50, 75)])
def test_a_weight_that_never_moved_is_hardly_ever_taken_for_one_that_did(before: int, wanted: int) -> None:
    """Each portion of 20 answers is one more look: ten looks, one of a hundred each, at the very most."""
    draw, wrong = random.Random(7), 0
    for _ in range(300):
        seen, told, total = 0, None, 0
        while told is None:
            total += 20
            seen += sum(draw.random() < before / 100 for _ in range(20))
            told = shown(before, wanted, seen, total)
        wrong += told
    assert wrong <= 0.06 * 300


@given(st.integers(0, 99), st.integers(1, 100), st.integers(0, AT_MOST))
def test_there_is_an_answer_in_the_end(before: int, wanted: int, seen: int) -> None:
    assert shown(before, wanted, seen, AT_MOST) is not None
