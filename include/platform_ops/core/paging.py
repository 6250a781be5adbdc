"""A page: what a person reads at 3 a.m. It says what happened, what was done, what to do now, and where
the log is."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .drift import HandChange, Outcome
from .schema import schema_words
from .state import Phase, Rollout

TASK = "roll_out"
"""The task that moves the traffic: clearing it lifts a hold."""


@dataclass(frozen=True)
class Page:
    """One row of the outbox. Two pages with the same key are the same page: it arrives once."""

    key: str
    service: str
    environment: str
    title: str
    happened: str
    done: str
    todo: str
    log_url: str
    channel: str

    @property
    def text(self) -> str:
        lines = [self.title, self.happened, f"Done: {self.done}", f"To do: {self.todo}"]
        return "\n".join([*lines, f"Log: {self.log_url}"] if self.log_url else lines)


def page_key(service: str, environment: str, run_id: str, kind: str = "failed") -> str:
    """The key of the one page of a failed run; `held` is the page of a rollout that waits for a decision."""
    named = "/".join((service, environment, run_id, kind))
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"platform-ops:page:{named}"))


@dataclass(frozen=True)
class QueuedPage:
    """A page in the outbox. `message_id` is the chat's, once it was seen there."""

    page: Page
    queued_at: datetime
    sent_at: datetime | None = None
    message_id: str | None = None
    attempts: int = 0
    last_error: str = ""


@dataclass(frozen=True)
class Failure:
    """The task that failed, why in words, and the link to its log."""

    task: str
    why: str
    log_url: str


def page_of(
    failure: Failure,
    *,
    key: str,
    service: str,
    environment: str,
    release: str | None,
    rollout: Rollout | None,
    channel: str,
    escalation: Sequence[str] = (),
) -> Page:
    """The page of a failed run, from what failed and where the rollout stands. None: it never came to one."""
    what = f"{release} of {service}" if release else service
    return Page(
        key=key,
        service=service,
        environment=environment,
        title=_title(failure.task, what, service, environment, rollout),
        happened=failure.why,
        done=_done(rollout),
        todo=_todo(rollout, failure.task, escalation),
        log_url=failure.log_url,
        channel=channel,
    )


def held_page(rollout: Rollout, why: str) -> Page:
    """The page of a rollout that the controller holds until somebody decides."""
    title = f"{_named(rollout)} is held and waits for a decision"
    done = f"The weights stay as they are ({_shares(rollout)})."
    return _of_rollout(rollout, "held", title, why, done, f"{_decide(rollout)} {_unless_decided(rollout)}")


def ended_badly_page(rollout: Rollout) -> Page:
    """The page of a rollout that ended while no task of a run watched it."""
    ended = "needs attention" if rollout.phase is Phase.NEEDS_ATTENTION else "was rolled back"
    title = f"{_named(rollout)} {ended}"
    return _of_rollout(rollout, "failed", title, rollout.reason, _done(rollout), _todo(rollout))


def _title(task: str, what: str, service: str, environment: str, rollout: Rollout | None) -> str:
    if task in ("roll_back", "reclaim"):
        return f"{service} in {environment}: {task} failed"
    if rollout is not None and rollout.phase.reached(Phase.PROMOTED):
        return f"{what} is in {environment}, but {task} failed after that"
    return f"{what} did not get into {environment}: {task} failed"


def hand_page(rollout: Rollout, change: HandChange, outcome: Outcome, done: str, todo: str) -> Page:
    """The page of a change by hand."""
    where = f"{change.service} in {change.environment}"
    title = f"A change by hand of {where}: the {change.subject} was {_TOLD[outcome]}"
    kind = f"hand {change.number} {change.event}"
    return _of_rollout(rollout, kind, title, change.happened, done, todo)


_TOLD = {
    Outcome.FOLLOWED: "followed as an operator's decision",
    Outcome.REFUSED: "refused",
    Outcome.PUT_BACK: "put back",
}


def _of_rollout(rollout: Rollout, kind: str, title: str, happened: str, done: str, todo: str) -> Page:
    target = rollout.target
    return Page(
        key=page_key(target.service, target.environment, rollout.run_id, kind),
        service=target.service,
        environment=target.environment,
        title=title,
        happened=happened,
        done=done,
        todo=todo,
        log_url=rollout.log_url,
        channel=rollout.plan.page_channel,
    )


def _done(rollout: Rollout | None) -> str:
    if rollout is None:
        return "Nothing was deployed and no traffic moved."
    schema = schema_words(rollout) if rollout.phase is Phase.ROLLED_BACK else ""
    return " ".join(filter(None, (_done_with_traffic(rollout), schema)))


def _done_with_traffic(rollout: Rollout) -> str:
    if rollout.phase is Phase.ROLLED_BACK and rollout.first_release:
        return "The release was removed. It was the first one here, so nothing serves."
    if rollout.phase is Phase.ROLLED_BACK and rollout.moved:
        return f"All traffic is back on {rollout.old}, which passed its checks. The new version was removed."
    if rollout.phase is Phase.ROLLED_BACK:
        return f"No traffic ever left {rollout.old}. The preview was removed."
    if rollout.phase is Phase.NEEDS_ATTENTION:
        return f"Nothing more: both colours look bad, so traffic stays as it is ({_shares(rollout)})."
    return (
        f"The rollout stands in {rollout.phase} with {_shares(rollout)}; the standby controller watches it."
    )


def _todo(rollout: Rollout | None, task: str = TASK, escalation: Sequence[str] = ()) -> str:
    words = _what_to_do(rollout, task)
    return f"{words} If nobody can: {', then '.join(escalation)}." if escalation else words


def _what_to_do(rollout: Rollout | None, task: str) -> str:
    if rollout is not None and rollout.phase is Phase.NEEDS_ATTENTION:
        where = f"{rollout.target.service} {rollout.target.environment}"
        return f"Look at both colours now (ops status {where}); repair one, then ops rollback {where}."
    if rollout is not None and not rollout.phase.terminal:
        return _decide(rollout, task)
    again = "Read the log, correct the cause, and promote again."
    if rollout is not None and rollout.first_release:
        return f"Nobody can use it before it is there. {again}"
    return f"Users get the version before. {again}"


def _decide(rollout: Rollout, task: str = TASK) -> str:
    back = f"ops rollback {rollout.target.service} {rollout.target.environment}"
    return f"Decide: clear {task} of {rollout.run_id} in Airflow to go on, or {back}."


def _unless_decided(rollout: Rollout) -> str:
    """Before the promotion is through, time decides when nobody does; afterwards nothing moves by itself."""
    if rollout.phase.reached(Phase.PROMOTED):
        return "Without a decision it stays as it is."
    minutes = rollout.plan.hold_limit.total_seconds() / 60
    return f"Without a decision it rolls back in {minutes:g} min."


def _named(rollout: Rollout) -> str:
    return f"{rollout.target.service} {rollout.release.name} in {rollout.target.environment}"


def _shares(rollout: Rollout) -> str:
    return f"blue {rollout.weights.blue} %, green {rollout.weights.green} %"
