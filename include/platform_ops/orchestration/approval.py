"""Approvals: one vote per seat of the quorum, a wait timer beside them, and the count that goes into the
ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import TaskGroup
from airflow.sdk.exceptions import AirflowFailException

from platform_ops import wiring
from platform_ops.catalog.models import Approvals
from platform_ops.core.approvals import Vote
from platform_ops.core.errors import GateClosed
from platform_ops.core.hotfix import is_hotfix

from .changes import changes_in_short
from .step import Run, at_desk, run_to_end, step

VOTE_TASK = "vote_{role}_{seat}"


class VoteOperator(ApprovalOperator):
    """One seat: a person of the role reads what would go live and answers once.

    A reject or a time-out ends the run: the other open seats are closed, so that nobody is asked in vain.
    """

    def __init__(self, *, service: str, environment: str, role: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.environment = environment
        self.role = role

    def execute(self, context: Mapping[str, Any]) -> Any:
        self.body = run_to_end(at_desk(partial(_ask, seat=self.task_id), self._run(context)))
        return super().execute(context)

    def execute_complete(self, context: Mapping[str, Any], event: dict[str, Any]) -> Any:
        try:
            answer = super(ApprovalOperator, self).execute_complete(context, event)
        except HITLTimeoutError:
            self._close_other_seats(context)
            raise AirflowFailException(
                f"No {self.role} answered within {self.response_timeout}: start the promotion again."
            ) from None
        if self.APPROVE not in answer["chosen_options"]:
            self._close_other_seats(context)
            raise AirflowFailException(f"Rejected by {answer['responded_by_user']['name']} as {self.role}.")
        return answer

    def _close_other_seats(self, context: Mapping[str, Any]) -> None:
        async def close(desk: wiring.Desk, run: Run) -> None:
            await desk.airflow.close_open_votes(run.dag_id, run.run_id, except_task_id=self.task_id)

        run_to_end(at_desk(close, self._run(context)))

    def _run(self, context: Mapping[str, Any]) -> Run:
        return Run.of(context, self.service, self.environment)


def approve(service: str, environment: str, *, hotfix: bool = False) -> TaskGroup:
    """The task group `approve`: the seats that the catalog asks for, the wait timer, and the count. A hotfix
    has a rule of its own.

    Nobody has to vote where the catalog requires nobody; the grant is recorded all the same, because the
    router
    raises no traffic without one.
    """
    catalog = wiring.catalog()
    approvals = catalog.approvals(service, environment, hotfix=hotfix)
    with TaskGroup("approve", tooltip="Votes by role, counted by the ledger") as group:
        before = [
            _vote(service, environment, role, seat, approvals, catalog.people_with(role))
            for role, seats in approvals.quorum.items()
            for seat in range(1, seats + 1)
        ]
        if approvals.wait_timer > timedelta():
            before.append(TimeDeltaSensor(task_id="wait_timer", delta=approvals.wait_timer, deferrable=True))
        counted = step(record_approvals)(service, environment)
        if before:
            before >> counted
    return group


def _vote(
    service: str, environment: str, role: str, seat: int, approvals: Approvals, users: Sequence[str]
) -> VoteOperator:
    return VoteOperator(
        task_id=VOTE_TASK.format(role=role, seat=seat),
        service=service,
        environment=environment,
        role=role,
        subject=f"{service}: let this release into {environment}?",
        assigned_users=[{"id": user, "name": user} for user in users],
        response_timeout=approvals.response_timeout,
        # An answer within two seconds of parking has failed the task (apache/airflow #71579): ask again.
        retries=3,
        retry_delay=timedelta(seconds=2),
    )


async def _ask(desk: wiring.Desk, run: Run, *, seat: str) -> str:
    """What the voter reads, from the ledger: neither run conf nor XCom can change it. What it says of the
    gates is noted down, for the vote is bound to it."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    evidence = await desk.ledger.evidence(promotion)
    await desk.ledger.approvals.show(promotion, seat, evidence, desk.clock.now())
    active = await desk.ledger.promotions.verified(run.service, run.environment)
    hotfix = await desk.ledger.hotfixes.of_promotion(promotion.id)
    rows = {
        "Release": promotion.release.name,
        "Digest": promotion.release.digest,
        "Commit": promotion.release.commit,
        "Live now": active[0].name if active else "nothing yet",
        "Requested by": promotion.requested_by,
        **({"Hotfix because": hotfix.why, "Incident": hotfix.incident or "none"} if hotfix else {}),
        **{f"Gate {one.gate}": one.outcome for one in evidence.outcomes},
    }
    if promotion.fixes:
        rows["Removes the cause of"] = ", ".join(promotion.fixes)
    table = "\n".join(["| | |", "|---|---|", *(f"| {label} | `{value}` |" for label, value in rows.items())])
    return f"{table}\n\n{await changes_in_short(desk, promotion)}"


async def record_approvals(desk: wiring.Desk, run: Run) -> None:
    """Count the votes that Airflow's API holds and write the grant, bound to the digest and to the gates'
    outcomes. A vote on other outcomes than the present ones does not count."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    rule = desk.catalog.approval_rule(run.service, run.environment, hotfix=is_hotfix(run.dag_id))
    authors = await desk.candidates.authors(run.service, run.environment, promotion.release.commit)
    answers = await desk.airflow.votes(run.dag_id, run.run_id)
    votes = [
        Vote(
            role=_role_of(answer.task_id),
            user=answer.user,
            option=answer.option,
            at=answer.at,
            evidence=await desk.ledger.approvals.shown(promotion, answer.task_id, answer.at),
        )
        for answer in answers
    ]
    result = await desk.ledger.approvals.record(
        promotion,
        votes=votes,
        rule=rule,
        authors=authors,
        now=desk.clock.now(),
        evidence=await desk.ledger.evidence(promotion),
    )
    if not result.met:
        raise GateClosed("Not approved: " + "; ".join([*result.refused, *result.missing]))


def _role_of(task_id: str) -> str:
    return task_id.rpartition(".")[2].removeprefix("vote_").rpartition("_")[0]
