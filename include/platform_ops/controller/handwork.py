"""Changes by hand: looked at, decided on, acted on, written down and paged. Part of the standby.

Every standby watches. Which of them acts does not matter: a row of the ledger stands for one event, traffic
moves under a lease with its token, and all else may be done twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from platform_ops.adapters.lease import leased
from platform_ops.core.drift import Answer, Deed, HandChange, Outcome, Seen, Standing, answer, standing_of
from platform_ops.core.errors import Held, NotApproved, OpsError, PermanentError, StaleHolder, TemporaryError
from platform_ops.core.paging import hand_page
from platform_ops.core.ports import Approvals, Fence
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour, Target, Weights
from platform_ops.core.state import Rollout, Wish

from .acting import in_words
from .checks import run_checks
from .dataplane import confirm
from .driving import TICK, entry_of
from .ports import Ports

log = logging.getLogger(__name__)

PAGE_AGAIN = timedelta(minutes=10)
"""Something that is put back again and again pages no more often than this."""

AGAIN = timedelta(seconds=2)
LOOKS = 8
"""So many targets are looked at beside each other."""

_ONCE = (Deed.NOTE, Deed.GO_BACK)

AT_ONCE = 5
"""So many answers in a row are given to one target; then others have their turn."""


class Hands(Protocol):
    """What people can change by hand (adapters.hands)."""

    async def look(self, target: Target) -> Seen:
        """As it is now. `approved` is empty: that is the ledger's."""

    def changes(self, targets: Sequence[Target]) -> AsyncGenerator[frozenset[Target]]:
        """Targets of which something was changed, also once all of them at the beginning."""


class Handwork:
    """`targets` are all that the catalog names now."""

    def __init__(
        self,
        ports: Ports,
        hands: Hands,
        approvals: Approvals,
        targets: Callable[[], Sequence[Target]],
        holder: str,
    ) -> None:
        self._ports = ports
        self._hands = hands
        self._approvals = approvals
        self._targets = targets
        self._holder = holder
        self._turns = asyncio.Semaphore(LOOKS)

    async def watch(self) -> None:
        """Until the catalog names other targets. One that needs its time keeps no other one waiting."""
        targets, work = self._targets(), _Work(self._until_judged)
        try:
            async with aclosing(self._hands.changes(targets)) as changes:
                async for changed in changes:
                    work.take(changed)
                    if self._targets() != targets:
                        return
        finally:
            await work.leave()

    async def _until_judged(self, target: Target) -> None:
        """A system that does not answer, or somebody else's lease, is waited for."""
        while True:
            async with self._turns:
                judged = await self._tried(target)
            if judged:
                return
            await self._ports.clock.sleep(AGAIN)

    async def _tried(self, target: Target) -> bool:
        try:
            await self.examine(target)
        except (Held, StaleHolder, TemporaryError) as error:
            log.info("%s: a change by hand waits: %s", target.key, error)
            return False
        except OpsError:
            log.exception("%s: a change by hand could not be judged", target.key)
        return True

    async def examine(self, target: Target) -> list[Answer]:
        """Look and act until all is as it should be. What was done, for tests."""
        given: list[Answer] = []
        while len(given) < AT_ONCE:
            decided = await self._decide(target)
            if decided is None:
                break
            standing, one = decided
            if not await self._carry_out(standing, one):
                break
            given.append(one)
            if one.deed in _ONCE:
                break
        return given

    async def _decide(self, target: Target) -> tuple[Standing, Answer] | None:
        """None also where the ledger changed while we looked: whoever changed it looks after the rest."""
        newest = await self._newest(target)
        if newest is None:
            return None
        changes = await self._ports.ledger.hand_changes.of_rollout(newest.id)
        standing = standing_of(newest, changes, self._ports.clock.now())
        if standing is None:
            return None
        seen = await self._hands.look(newest.target)
        seen = replace(seen, approved=await self._approved(newest.target, seen))
        after = await self._newest(target)
        if after is None or (after.id, after.phase, after.step) != (newest.id, newest.phase, newest.step):
            return None
        one = answer(standing, seen)
        return (standing, one) if one is not None else None

    async def _newest(self, target: Target) -> Rollout | None:
        rollouts = await self._ports.ledger.rollouts.of(target.service, target.environment, 1)
        return rollouts[0] if rollouts else None

    async def _approved(self, target: Target, seen: Seen) -> frozenset[str]:
        allowed = set()
        for digest in {status.digest for status in seen.colours.values() if status.digest}:
            try:
                await self._approvals.ensure_allowed(target, digest)
            except NotApproved:
                continue
            allowed.add(digest)
        return frozenset(allowed)

    async def _carry_out(self, standing: Standing, one: Answer) -> bool:
        """False when it was done with before: a note is made once, however long its cause stays, and a wish
        once, however long its rollout takes to see it."""
        rollout, now = standing.rollout, self._ports.clock.now()
        event = f"{rollout.target.key}/{one.subject}/{one.deed}/{one.mark}"
        before = await self._ports.ledger.hand_changes.newest(event)
        if before is not None and before.ended_at is not None and one.deed in _ONCE:
            return False
        change = await self._ports.ledger.hand_changes.begin(
            _row(event, rollout, one, self._ports), self._entry(rollout, "intent", one, one.happened)
        )
        try:
            outcome, said = await self._act(standing, one)
        except (Held, StaleHolder):
            raise
        except PermanentError as refused:
            outcome, said = Outcome.REFUSED, f"It could not be done: {refused}."
        silent = before is not None and before.ended_at is not None and now < before.ended_at + PAGE_AGAIN
        if one.paged and not silent:
            await self._ports.ledger.outbox.enqueue(hand_page(rollout, change, outcome, said, one.todo))
        done = self._entry(rollout, "done", one, f"{outcome}: {said}")
        await self._ports.ledger.hand_changes.finish(
            change.number, outcome, said, self._ports.clock.now(), done
        )
        log.info("%s: %s %s %s", rollout.target.key, one.happened, outcome, said)
        return True

    async def _act(self, standing: Standing, one: Answer) -> tuple[Outcome, str]:
        rollout, workloads = standing.rollout, self._ports.workloads
        match one.deed, one.colour:
            case Deed.GO_BACK, Colour():
                await self._go_back(rollout, one)
                return one.outcome, f"Taken as an operator's decision: the rollout goes back to {one.colour}."
            case Deed.ROUTE, Colour() as colour:
                return await self._route(standing, one, colour)
            case Deed.SELECT, Colour() as colour:
                await workloads.select_colour(rollout.target, colour)
                return one.outcome, f"The Service points at {colour}, as before."
            case Deed.SCALE, Colour() as colour:
                await workloads.scale(rollout.target, colour, standing.size)
                return one.outcome, f"{rollout.target.deployment(colour)} is scaled to {standing.size}."
            case Deed.APPLY, Colour() as colour:
                return one.outcome, await self._apply(rollout, one, colour)
            case _:
                return one.outcome, _noted(one)

    async def _go_back(self, rollout: Rollout, one: Answer) -> None:
        now, why = self._ports.clock.now(), f"an operator's decision: {one.happened}"
        wish = Wish("a person by hand", why, now)
        entry = entry_of(rollout, now, wish.by, "note", "RequestRollback", why)
        await self._ports.ledger.rollouts.wish_back(rollout.id, wish, entry)

    async def _apply(self, rollout: Rollout, one: Answer, colour: Colour) -> str:
        target, name = rollout.target, rollout.target.deployment(colour)
        for known in await self._ports.ledger.rollouts.of(target.service, target.environment, 200):
            if known.colour is colour and known.release.digest == one.digest:
                await self._ports.workloads.apply(target, known.plan.manifests)
                return f"{name} is deployed again as {known.release.name}."
        raise PermanentError(f"the ledger holds no manifests of {one.digest} as {colour}: promote a release")

    async def _route(self, standing: Standing, one: Answer, colour: Colour) -> tuple[Outcome, str]:
        """All traffic to the colour, seen in real responses, its checks passed; else back where it was."""
        rollout, target = standing.rollout, standing.rollout.target
        wanted = Weights.towards(colour, 100)
        async with leased(self._ports.ledger, rollout.id, self._holder, self._ports.clock) as lease:
            fence = Fence(rollout.id, lease.token)
            await self._ports.router.shift(target, wanted, fence)
            failure = await self._unproven(rollout, colour)
            if failure is None:
                return (
                    one.outcome,
                    f"{colour} has all traffic, seen in real responses, and passed its checks.",
                )
            if one.outcome is not Outcome.FOLLOWED:
                return one.outcome, f"{colour} has all traffic again, but: {failure}."
            await self._ports.router.shift(target, Weights.towards(standing.serving, 100), fence)
        return Outcome.REFUSED, f"{colour} did not prove itself ({failure}): back to {standing.serving}."

    async def _unproven(self, rollout: Rollout, colour: Colour) -> str | None:
        """What is wrong with the colour on the users' way; None: nothing."""
        ports, plan, wanted = self._ports, rollout.plan, Weights.towards(colour, 100)
        end = ports.clock.now() + plan.confirm_limit
        while True:
            seen = await confirm(ports.probe, rollout.target, wanted, colour, plan.checks)
            if seen.confirmed:
                break
            if ports.clock.now() >= end:
                return f"real responses do not show it: {seen.words}"
            await ports.clock.sleep(TICK)
        report = await run_checks(
            ports.probe, ports.clock, rollout.target, colour, plan.checks, preview=False
        )
        return None if report.passed else in_words(report)

    def _entry(self, rollout: Rollout, kind: str, one: Answer, why: str) -> Entry:
        entry = entry_of(rollout, self._ports.clock.now(), self._holder, kind, f"ByHand{one.deed}", why)
        return replace(entry, detail={**entry.detail, "subject": one.subject, "by_hand": one.mark})


class _Work:
    """One task a target; a change that comes while it runs is looked at when it is done."""

    def __init__(self, judge: Callable[[Target], Awaitable[None]]) -> None:
        self._judge = judge
        self._missed: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def take(self, changed: Iterable[Target]) -> None:
        for target in changed:
            running = self._tasks.get(target.key)
            if running is not None and not running.done():
                self._missed.add(target.key)
            else:
                self._tasks[target.key] = asyncio.create_task(self._work(target), name=target.key)

    async def _work(self, target: Target) -> None:
        while True:
            self._missed.discard(target.key)
            await self._judge(target)
            if target.key not in self._missed:
                return

    async def leave(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def _row(event: str, rollout: Rollout, one: Answer, ports: Ports) -> HandChange:
    return HandChange(
        event=event,
        at=ports.clock.now(),
        service=rollout.target.service,
        environment=rollout.target.environment,
        rollout_id=rollout.id,
        subject=one.subject,
        outcome=one.outcome,
        deed=one.deed,
        colour=one.colour,
        digest=one.digest,
        happened=one.happened,
    )


def _noted(one: Answer) -> str:
    if one.outcome is Outcome.FOLLOWED:
        return "Taken as an operator's decision: nothing was changed."
    return "Nothing: the controller cannot repair that."
