"""The loop: observe → decide → intent → act → outcome, under a lease, until the goal or the end."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from platform_ops.adapters.lease import Lease, Unrenewed, leased
from platform_ops.core.digest_holds import hold_after
from platform_ops.core.errors import Held, PermanentError, StaleHolder, TemporaryError
from platform_ops.core.paging import held_page
from platform_ops.core.records import Entry
from platform_ops.core.rollout import after_refusal, decide
from platform_ops.core.state import (
    Act,
    Effect,
    Hold,
    Observed,
    Phase,
    Rollout,
    Transition,
    advanced,
    intended,
)

from .acting import act
from .observing import Observer
from .ports import Ports
from .views import Progress, RolloutView

log = logging.getLogger(__name__)

TICK = timedelta(seconds=1)
WARM_TICK = timedelta(seconds=5)
"""Nothing waits for a decision in the warm window but a breach."""

BACK_OFF = timedelta(seconds=5)
"""The longest pause after a system did not answer."""

CONTROLLER = "platform-ops"


async def drive(
    ports: Ports, rollout_id: str, goal: Phase, holder: str, progress: Progress | None = None
) -> RolloutView:
    """Bring the rollout to `goal`, or to where it ends. Waits while somebody else drives it, and while the
    ledger is away."""
    pause, others = _Pause(ports), Unrenewed()
    while True:
        try:
            rollout = await _towards(ports, rollout_id, goal)
            if rollout.settled(goal):
                return RolloutView(rollout)
            dead = others.end(rollout, ports.clock.now())
            async with leased(ports.ledger, rollout_id, holder, ports.clock, unrenewed=dead) as lease:
                return await _Driver(ports, lease, goal, holder, progress).run()
        except (Held, StaleHolder) as error:
            log.info("Waiting: %s", error)
            await ports.clock.sleep(TICK)
        except TemporaryError as error:
            await pause.after(error)


async def _towards(ports: Ports, rollout_id: str, goal: Phase) -> Rollout:
    if goal.forward:
        return await ports.ledger.rollouts.raise_goal(rollout_id, goal)
    return await ports.ledger.rollouts.get(rollout_id)


class _Pause:
    """Bounded back-off. Weights stay while a system is away; the work goes on when it is back."""

    def __init__(self, ports: Ports) -> None:
        self._clock = ports.clock
        self._next = TICK / 2

    async def after(self, error: TemporaryError) -> None:
        log.warning("Trying again in %s s: %s", self._next.total_seconds(), error)
        await self._clock.sleep(self._next)
        self._next = min(self._next * 2, BACK_OFF)

    def over(self) -> None:
        self._next = TICK / 2


class _Driver:
    """One lease's worth of work."""

    def __init__(
        self, ports: Ports, lease: Lease, goal: Phase, holder: str, progress: Progress | None
    ) -> None:
        self._ports = ports
        self._lease = lease
        self._goal = goal
        self._holder = holder
        self._progress = progress
        self._observer = Observer(ports)
        self._pause = _Pause(ports)
        self._announced: tuple[object, ...] | None = None
        self._trouble = ""

    async def run(self) -> RolloutView:
        while True:
            try:
                view = await self._cycle()
            except TemporaryError as error:
                await self._pause.after(error)
                continue
            self._pause.over()
            if view is not None:
                return view

    async def _cycle(self) -> RolloutView | None:
        """One look, one decision, one act. The view when nothing more is to be done."""
        rollout = await self._row()
        if rollout.settled(self._goal):
            return RolloutView(rollout)
        observed = replace(await self._observer.observe(rollout), trouble=self._trouble)
        transition = decide(observed, self._ports.clock.now())
        view = RolloutView(rollout, transition, observed)
        if self._progress is not None:
            self._progress(view)
        if transition.act is Act.STAY:
            return view
        if transition.act is Act.WAIT:
            await self._wait(rollout, transition)
        else:
            await self._perform(observed, transition)
        return None

    async def _row(self) -> Rollout:
        self._lease.check()
        rollout = await self._ports.ledger.rollouts.get(self._lease.rollout.id)
        if rollout.token != self._lease.token:
            raise StaleHolder(f"{rollout.holder} took {rollout.target.key} over: {self._holder} stops")
        return rollout

    async def _wait(self, rollout: Rollout, transition: Transition) -> None:
        tick = WARM_TICK if rollout.phase is Phase.WARM else TICK
        left = (transition.until or self._now()) - self._now()
        await self._ports.clock.sleep(max(min(tick, left), TICK / 10) if left > timedelta() else tick)

    async def _perform(self, observed: Observed, transition: Transition) -> None:
        if transition.act is Act.HOLD:
            await self._hold(observed.rollout, transition)
        elif transition.act.of_ledger:
            await self._finish(observed.rollout, transition, Effect())
        else:
            await self._act(observed, transition)

    async def _act(self, observed: Observed, transition: Transition) -> None:
        rollout = await self._announce(observed.rollout, transition)
        self._reach("after-intent", transition)
        try:
            effect = await act(self._ports, rollout, transition)
        except StaleHolder:
            raise
        except PermanentError as error:
            await self._refused(observed, transition, str(error))
            return
        except TemporaryError as error:
            self._trouble = str(error)
            raise
        self._trouble = ""
        self._reach("after-effect", transition)
        await self._finish(rollout, transition, effect)
        if _to_be_repeated(transition, effect):
            await self._ports.clock.sleep(TICK)

    async def _announce(self, rollout: Rollout, transition: Transition) -> Rollout:
        """Write the intent. Repeating an act whose outcome is unknown is the same intent: one line for it."""
        if transition.act.looks_only:
            return rollout
        wanted = intended(rollout, transition, self._now())
        same = (transition.act, transition.phase, transition.step, transition.weights)
        entry = (
            None if same == self._announced else self._entry(wanted, "intent", transition.act, transition.why)
        )
        await self._ports.ledger.rollouts.save(wanted, entry)
        self._announced = same
        return wanted

    async def _finish(self, rollout: Rollout, transition: Transition, effect: Effect) -> None:
        after = advanced(rollout, transition, effect, self._now())
        if after.phase is Phase.ROLLED_BACK:
            await self._end_promotion(after)
        silent = not transition.act.recorded or (transition.act is Act.CONFIRM and not effect.confirmed)
        entry = None if silent else self._outcome(after, transition, effect)
        ended = after.phase is Phase.ROLLED_BACK
        hold = hold_after(after, self._holder, self._now()) if ended else None
        await self._ports.ledger.rollouts.save(after, entry, hold)
        self._announced = None
        self._reach("after-outcome", transition)

    async def _refused(self, observed: Observed, transition: Transition, why: str) -> None:
        """What was refused for good had no effect: the row says again what it said before the intent, or a
        first shift that never was would be told as traffic that came back."""
        before = observed.rollout
        await self._ports.ledger.rollouts.save(before, self._entry(before, "failed", transition.act, why))
        self._announced = None
        await self._perform(observed, after_refusal(observed, transition, why))

    async def _hold(self, rollout: Rollout, transition: Transition) -> None:
        now = self._now()
        entry = self._entry(rollout, "done", Act.HOLD, transition.why)
        await self._ports.ledger.rollouts.hold(rollout.id, Hold(CONTROLLER, transition.why, now), entry)
        await self._ports.ledger.outbox.enqueue(held_page(rollout, transition.why))
        self._reach("after-outcome", transition)

    async def _end_promotion(self, rollout: Rollout) -> None:
        if rollout.promotion_id is not None:
            outcome = "rolled_back" if rollout.moved else "failed"
            await self._ports.ledger.promotions.finish(rollout.promotion_id, outcome)

    def _outcome(self, rollout: Rollout, transition: Transition, effect: Effect) -> Entry:
        failed = effect.report is not None and not effect.report.passed
        words = effect.words or transition.why
        return self._entry(rollout, "failed" if failed else "done", transition.act, words)

    def _entry(self, rollout: Rollout, kind: str, what: Act, why: str) -> Entry:
        return entry_of(rollout, self._now(), self._holder, kind, what.value, why)

    def _reach(self, where: str, transition: Transition) -> None:
        self._ports.crash.reach(f"{where}:{transition.act}")

    def _now(self) -> datetime:
        return self._ports.clock.now()


def entry_of(rollout: Rollout, now: datetime, actor: str, kind: str, what: str, why: str) -> Entry:
    """A line of the journal about a rollout, with where it stands."""
    return Entry(
        service=rollout.target.service,
        environment=rollout.target.environment,
        at=now,
        actor=actor,
        kind=kind,
        what=what,
        why=why,
        rollout_id=rollout.id,
        promotion_id=rollout.promotion_id,
        token=rollout.token,
        detail={
            "phase": rollout.phase.value,
            "step": rollout.step,
            "weights": {"blue": rollout.weights.blue, "green": rollout.weights.green},
            "digest": rollout.release.digest,
            "colour": rollout.colour.value,
        },
    )


def _to_be_repeated(transition: Transition, effect: Effect) -> bool:
    if transition.act is Act.CONFIRM:
        return not effect.confirmed
    if transition.act is Act.VERIFY_OLD:
        return effect.report is None or not effect.report.passed
    return transition.act is Act.GENERATE
