"""What real responses say: a weight is reached when they show it, not when the patch was accepted."""

from __future__ import annotations

import asyncio
from collections import Counter

from platform_ops.core.plan import Check
from platform_ops.core.ports import Probe, ProbeAnswer
from platform_ops.core.release import Colour, Target, Weights
from platform_ops.core.shares import shown
from platform_ops.core.state import Effect

from .checks import send

ALL_OF = 20
"""So many answers in a row must be of the only colour with traffic."""

_PORTION = 20


async def confirm(
    probe: Probe,
    target: Target,
    weights: Weights,
    gaining: Colour,
    checks: tuple[Check, ...],
    *,
    before: int = 0,
) -> Effect:
    """Whether responses show `weights`. `gaining` is the colour whose weight rose, `before` its share until
    then: one answer of a colour that had 25 % already says nothing about 50 %."""
    check = checks[0] if checks else Check("/")
    if weights.of(gaining) == 100:
        colours = Counter(await _colours(probe, target, check, ALL_OF))
        return Effect(_words(colours), confirmed=colours == {gaining: ALL_OF})
    colours, told = Counter[Colour | None](), None
    while told is None:
        colours.update(await _colours(probe, target, check, _PORTION))
        told = shown(before, weights.of(gaining), colours[gaining], colours.total())
    return Effect(_words(colours), confirmed=told)


async def generate_load(probe: Probe, target: Target, colour: Colour, checks: tuple[Check, ...]) -> Effect:
    """One portion of verification load on a colour, made of its checks."""
    wanted = checks or (Check("/"),)
    portion = [wanted[n % len(wanted)] for n in range(_PORTION)]
    answers = await asyncio.gather(*(send(probe, target, check, colour) for check in portion))
    statuses = Counter(answer.status for answer in answers)
    return Effect(", ".join(f"{n} x {status}" for status, n in sorted(statuses.items())))


async def _colours(probe: Probe, target: Target, check: Check, number: int) -> list[Colour | None]:
    answers: list[ProbeAnswer] = await asyncio.gather(
        *(send(probe, target, check, None) for _ in range(number))
    )
    return [answer.colour for answer in answers]


def _words(colours: Counter[Colour | None]) -> str:
    return ", ".join(f"{n} x {colour or 'no colour'}" for colour, n in colours.most_common())
