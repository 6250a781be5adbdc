"""How long users get bad answers: from the fault, or from the decision to go back, to the last bad one.

The plan is production's as the project's catalog states it, nothing scaled. The release that goes wrong is a
real image of the stand-in that fails as many of its users' requests as it is told to, by a request to each of
its pods; its probes go on to pass, so that only the users' answers can give it away.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from time import time

import httpx
from delivery_load import sending
from delivery_table import ENVIRONMENT, RELEASING, Options, Row
from own_platform import own_platform
from promoting import placed
from releasing import SERVICE, Defect, Place, until

from local_platform.demo.load import Record
from local_platform.layout import CHECKOUT
from platform_ops.catalog.load import load
from platform_ops.controller.planning import rollout_plan
from platform_ops.core.plan import Plan, Step
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour
from platform_ops.core.state import Phase

RATE = 200
"""Requests a second: 50 of them to the new colour at its 25 %."""
PATIENCE = 600.0
"""Seconds after which a fault counts as not caught."""
REACH = {1.0: 30.0, 0.02: 140.0}
"""Share of bad answers to the seconds within which they must be over."""
TO_25 = 900.0
"""Seconds that production's first step may take."""
LONG = (Step(25, timedelta(minutes=10)), Step(100, timedelta(0)))
TIMES = 3


def production() -> Plan:
    return rollout_plan(load(CHECKOUT / "include/config/services.yaml"), SERVICE, ENVIRONMENT)


# -------------------------------------------------------------------- bad answers
def fault(share: float, options: Options) -> list[Row]:
    return _at_place(lambda place: _fault(place, share))


async def _fault(place: Place, share: float) -> list[Row]:
    await place.serving()
    plan = production()
    release = await place.built(Defect.FAILS_WHEN_TOLD)
    with sending(place, RATE) as sent:
        rollout_id = await place.open(
            release, steps=plan.steps, bake=plan.bake, triggers=plan.triggers, extension=plan.extension
        )
        driving = asyncio.create_task(place.drive(rollout_id))
        await until("25 % of the traffic is shifted", lambda: _at_step(place, rollout_id, 1), TO_25)
        began = await _break(place, await _colour(place, rollout_id), share)
        await asyncio.wait((driving,), timeout=PATIENCE)
        caught = driving.done()
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
    bad = [record for record in sent.records() if record.failed]
    rollout = await place.desk.ledger.rollouts.get(rollout_id)
    last = max(map(_ended, bad), default=began) - began
    figure = f"{last:.1f} s" if caught else f"not within {PATIENCE:g} s"
    early = sum(record.at < began for record in bad)
    words = f"{len(bad) - early} bad answers, {early} before the fault; {rollout.phase}: {rollout.reason}"
    return [
        Row(
            f"{share:.0%} errors at 25 %: fault to last bad answer, {RATE}/s",
            f"{figure}{_way_back(await place.journal(rollout_id), began)}; {words}",
            f"at most {REACH[share]:g} s",
            caught and rollout.phase is Phase.ROLLED_BACK and last <= REACH[share],
        )
    ]


def _way_back(journal: tuple[Entry, ...], began: float) -> str:
    decided, moved = _moment(journal, "BeginRollback"), _moment(journal, "Shift")
    if decided is None or moved is None:
        return ""
    return f", decided after {decided - began:.1f} s, traffic moved after {moved - began:.1f} s"


async def _break(place: Place, colour: Colour, share: float) -> float:
    """Every pod of the colour is told; when, in Unix seconds."""
    began = time()
    async with httpx.AsyncClient(trust_env=False) as client:
        for address in _addresses(place, colour):
            answer = await client.post(f"http://{address}:8000/fault?{share}")
            answer.raise_for_status()
    return began


def _addresses(place: Place, colour: Colour) -> list[str]:
    selector = f"--selector=app={SERVICE},version={colour}"
    pods = json.loads(place.run_kubectl("get", "pods", selector, "--output=json"))["items"]
    return [pod["status"]["podIP"] for pod in pods]


# -------------------------------------------------------------------- no pod at all
def without_pods(options: Options) -> list[Row]:
    return _at_place(_without_pods)


async def _without_pods(place: Place) -> list[Row]:
    await place.serving()
    answers, confirmed = zip(*[await _podless(place) for _ in range(TIMES)], strict=True)
    seen = ", ".join(f"{one:.1f} s" for one in confirmed)
    return [
        Row(
            "rollback without a ready pod of the new colour: decision to the last answer not of the old one",
            ", ".join(f"{one:.1f} s" for one in answers) + f"; proven by real responses after {seen}",
            "at most 5 s",
            max(answers) <= 5,
        )
    ]


async def _podless(place: Place) -> tuple[float, float]:
    """Seconds from the decision to the last answer that is not of the old colour, and to the proof."""
    rollout_id = await place.open(await place.built(), steps=LONG)
    colour = await _colour(place, rollout_id)
    with sending(place, RATE) as sent:
        driving = asyncio.create_task(place.drive(rollout_id))
        await until("25 % of the traffic is shifted", lambda: _at_step(place, rollout_id, 0))
        await until("it goes back", lambda: _going_back_without(place, rollout_id, colour))
        view = await driving
    assert view.phase is Phase.ROLLED_BACK, view
    assert f"0 of {view.rollout.plan.replicas} pods" in view.reason, view.reason
    journal = await place.journal(rollout_id)
    decided, proven = _moment(journal, "BeginRollback"), _moment(journal, "Confirm")
    assert decided is not None
    assert proven is not None
    strays = [_ended(one) for one in sent.records() if one.failed or one.colour != colour.other]
    return max([0.0, *(at - decided for at in strays)]), proven - decided


async def _going_back_without(place: Place, rollout_id: str, colour: Colour) -> bool:
    """Every pod of the colour is killed again and again, until the controller has decided."""
    words = ("delete", "pods", f"--selector=app={SERVICE},version={colour}")
    at_once = ("--force", "--grace-period=0", "--wait=false")
    await asyncio.to_thread(place.run_kubectl, *words, *at_once)
    phase = (await place.desk.ledger.rollouts.get(rollout_id)).phase
    return phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)


# -------------------------------------------------------------------- looking
def _at_place(work: Callable[[Place], Awaitable[list[Row]]]) -> list[Row]:
    with own_platform() as platform, tempfile.TemporaryDirectory() as folder:
        platform.up(*RELEASING)

        async def placed_work() -> list[Row]:
            async with placed(platform, Path(folder)) as place:
                return await work(place)

        return asyncio.run(placed_work())


async def _at_step(place: Place, rollout_id: str, step: int) -> bool:
    rollout = await place.desk.ledger.rollouts.get(rollout_id)
    return rollout.phase is Phase.SHIFTING and rollout.step == step and rollout.since is not None


async def _colour(place: Place, rollout_id: str) -> Colour:
    return (await place.desk.ledger.rollouts.get(rollout_id)).colour


def _ended(record: Record) -> float:
    return record.at + record.latency_ms / 1000


def _moment(journal: tuple[Entry, ...], what: str) -> float | None:
    """Unix seconds of the last time that it was done."""
    times = [entry.at.timestamp() for entry in journal if (entry.kind, entry.what) == ("done", what)]
    return times[-1] if times else None
