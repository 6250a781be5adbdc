"""How many real responses it takes to tell that a weight is there."""

from __future__ import annotations

from .judging import BAD_LUCK, binomial_tail

AT_MOST = 200
"""Responses after which the answer must be there."""


def shown(before: int, wanted: int, seen: int, total: int) -> bool | None:
    """Whether `seen` of `total` responses show that a colour's share rose from `before` to `wanted` percent.

    None: nobody can tell yet. True as soon as the share before would give so many in fewer than one of a
    hundred looks. Two shares that lie too close for that are told apart no better than this: after AT_MOST
    responses it is shown unless the wanted share would give so few in fewer than one of a hundred.
    """
    if wanted <= before:
        return True
    if seen and binomial_tail(seen, total, before / 100) <= BAD_LUCK:
        return True
    if total < AT_MOST:
        return None
    return 1 - binomial_tail(seen + 1, total, wanted / 100) > BAD_LUCK
