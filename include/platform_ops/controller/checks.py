"""Checks: requests that a healthy colour answers as the catalog states.

The controller runs them on a preview, on the active version and after a rollback; tasks only ask for it. So
they work without Airflow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from platform_ops.core.plan import Check
from platform_ops.core.ports import Clock, Probe, ProbeAnswer
from platform_ops.core.release import Colour, Target
from platform_ops.core.state import CheckReport

ATTEMPTS = 3
PAUSE = timedelta(seconds=1)
"""A gateway needs a moment to learn of a new colour: a check has failed when it failed so many times."""


async def run_checks(
    probe: Probe,
    clock: Clock,
    target: Target,
    colour: Colour,
    checks: Sequence[Check],
    *,
    preview: bool,
    attempts: int = ATTEMPTS,
) -> CheckReport:
    """All checks at once. `preview` reaches the colour whatever the weights are; otherwise the users' way is
    taken, and an answer of the other colour is a failure."""
    forced = colour if preview else None
    outcomes = await asyncio.gather(
        *(_until_passed(probe, clock, target, colour, forced, check, attempts) for check in checks)
    )
    failures = tuple(text for text in outcomes if text is not None)
    return CheckReport(colour, len(outcomes), failures, clock.now())


async def _until_passed(
    probe: Probe,
    clock: Clock,
    target: Target,
    colour: Colour,
    forced: Colour | None,
    check: Check,
    attempts: int,
) -> str | None:
    failure: str | None = None
    for attempt in range(attempts):
        if attempt:
            await clock.sleep(PAUSE)
        answer = await send(probe, target, check, forced)
        failure = failure_of(check, answer, colour)
        if failure is None:
            return None
    return failure


async def send(probe: Probe, target: Target, check: Check, colour: Colour | None) -> ProbeAnswer:
    return await probe.request(
        target,
        check.path,
        method=check.method,
        colour=colour,
        headers=check.headers,
        body=check.body.encode(),
        timeout=check.timeout,
    )


def failure_of(check: Check, answer: ProbeAnswer, colour: Colour) -> str | None:
    """What is wrong with the answer, in words; None when nothing is."""
    what = f"{check.method} {check.path}"
    if answer.status == 0:
        return f"{what}: no answer ({answer.error or 'no reason given'})"
    if answer.status != check.status:
        return f"{what}: {answer.status} instead of {check.status}"
    if check.contains and check.contains.encode() not in answer.body:
        return f"{what}: the answer does not hold {check.contains!r}"
    if answer.colour is not colour:
        return f"{what}: answered by {answer.colour or 'no known colour'} instead of {colour}"
    return None
