"""Pages that the controller writes: a rollout waits for a decision, or went back while no task watched."""

from __future__ import annotations

from platform_ops.core.paging import Page, page_key
from platform_ops.core.state import Phase, Rollout


def held_page(rollout: Rollout, why: str) -> Page:
    return _page(
        rollout,
        "held",
        "is held and waits for a decision",
        why,
        f"the weights stay as they are (blue {rollout.weights.blue} %, green {rollout.weights.green} %)",
        _decision(rollout),
    )


def _decision(rollout: Rollout) -> str:
    """Before the promotion is through, time decides when nobody does; afterwards nothing moves by itself."""
    if rollout.phase.reached(Phase.PROMOTED):
        return "resume it or roll it back; without a decision it stays as it is"
    minutes = rollout.plan.hold_limit.total_seconds() / 60
    return f"resume it or roll it back; without a decision it rolls back in {minutes:g} min"


def ended_badly_page(rollout: Rollout) -> Page:
    if rollout.phase is Phase.NEEDS_ATTENTION:
        done = (
            f"nothing more: the weights stay (blue {rollout.weights.blue} %, green {rollout.weights.green} %)"
        )
        todo = "look at both colours now; when the old one is well again, ask for the rollback once more"
        return _page(rollout, "failed", "NEEDS ATTENTION: both colours are bad", rollout.reason, done, todo)
    if rollout.moved and not rollout.first_release:
        done = f"all traffic is back on {rollout.old}, seen in real responses; its checks passed"
    else:
        done = f"{rollout.colour} was removed; traffic never left the version before"
    todo = f"find the cause in the log, then promote a release that is better than {rollout.release.name}"
    return _page(rollout, "failed", "was rolled back", rollout.reason, done, todo)


def _page(rollout: Rollout, kind: str, what: str, happened: str, done: str, todo: str) -> Page:
    target = rollout.target
    return Page(
        key=page_key(target.service, target.environment, rollout.run_id, kind),
        service=target.service,
        environment=target.environment,
        title=f"{target.service} {rollout.release.name} in {target.environment} {what}",
        happened=happened,
        done=done,
        todo=todo,
        log_url=rollout.log_url,
        channel=rollout.plan.page_channel,
    )
