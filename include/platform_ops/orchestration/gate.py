"""The gates of a release's source: each in a pod of its own, or at once when equal inputs passed before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk import TaskGroup

from platform_ops import wiring
from platform_ops.core.errors import GateClosed
from platform_ops.core.gates import COVERAGE, IN_PODS, PASSED, SUITES, judge_coverage
from platform_ops.core.records import GateResult, Promotion

from .source_pod import RESULT_FILE, SourcePod, bundle_link, require_result
from .step import Run, at_desk, run_to_end, step

STARTING = timedelta(minutes=5)
"""What a pod may take besides its gate's time limit: pulling its image, mostly."""


def source_gates(service: str, environment: str) -> TaskGroup:
    """The task group `gates`: what the policy requires of a source there. Read while parsing, from files."""
    policy = wiring.gate_policy()
    required = policy.required(environment)
    with TaskGroup("gates", tooltip="Formatter, linter, types and tests, each in a pod of its own") as group:
        pods = {
            gate: GateOperator(
                task_id=gate,
                gate=gate,
                service=service,
                environment=environment,
                execution_timeout=policy.limit(gate) + STARTING,
            )
            for gate in required.of(IN_PODS)
        }
        if COVERAGE in required.gates:
            [pods[suite] for suite in SUITES if suite in pods] >> step(coverage)(service, environment)
    return group


class GateOperator(SourcePod):
    """One gate. Its result is kept for the commit, under the digest of everything that it depends on."""

    def __init__(self, *, gate: str, service: str, environment: str, **kwargs: Any) -> None:
        super().__init__(
            service=service,
            environment=environment,
            purpose=f"gate-{gate}",
            image=wiring.settings().gates_image,
            **kwargs,
        )
        self.gate = gate

    def execute(self, context: Mapping[str, Any]) -> None:
        run = Run.of(context, self.service, self.environment)
        kept = run_to_end(at_desk(partial(_take_kept, gate=self.gate), run))
        if kept is not None:
            self.log.info(
                "%s passed (cached from %s): %s", self.gate, _origin(kept), kept.detail.get("reason")
            )
            return
        arguments = run_to_end(at_desk(partial(_arguments, gate=self.gate), run))
        result = self.result_of_pod(context, arguments)
        run_to_end(at_desk(partial(_judge, gate=self.gate, result=result), run))


@dataclass(frozen=True)
class Inputs:
    promotion: Promotion
    order: Mapping[str, Any]
    digest: str


async def _inputs(desk: wiring.Desk, run: Run, gate: str) -> Inputs:
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    order = desk.gate_inputs.order(run.service, gate)
    digest = await desk.gate_inputs.digest(run.service, promotion.commit, gate)
    return Inputs(promotion, order, digest)


async def _take_kept(desk: wiring.Desk, run: Run, *, gate: str) -> GateResult | None:
    """The passed result of equal inputs, written for this commit, too."""
    inputs = await _inputs(desk, run, gate)
    kept = await desk.ledger.gates.passed_with(run.service, gate, inputs.digest)
    if kept is not None:
        origin = kept.detail.get("cached_from") or {"commit": kept.subject, "at": kept.at.isoformat()}
        await _record(desk, inputs, gate, PASSED, {**kept.detail, "cached_from": origin})
    return kept


async def _arguments(desk: wiring.Desk, run: Run, *, gate: str) -> list[str]:
    inputs = await _inputs(desk, run, gate)
    commit = inputs.promotion.commit
    link = await bundle_link(desk, run.service, commit)
    return [
        "--bundle",
        link,
        "--commit",
        commit,
        "--order",
        json.dumps(inputs.order),
        "--output",
        RESULT_FILE,
    ]


async def _judge(desk: wiring.Desk, run: Run, *, gate: str, result: Any) -> None:
    inputs = await _inputs(desk, run, gate)
    found = require_result(result, inputs.promotion.commit)
    if found.get("gate") != gate:
        raise GateClosed(f"The pod gave a result of {found.get('gate')!r}, not of {gate!r}.")
    await _record(desk, inputs, gate, str(found["outcome"]), dict(found))
    if found["outcome"] != PASSED:
        raise GateClosed(in_words(gate, found))


def in_words(gate: str, found: Mapping[str, Any]) -> str:
    """Why a result lets nothing pass: a line a problem, and what to do."""
    outcome = "failed" if found["outcome"] == "failed" else "was not run, and that is no pass"
    problems = list(found.get("problems", ()))
    more = int(found.get("counts", {}).get("problems", 0)) - len(problems)
    return "\n".join(
        [
            f"{gate} {outcome}: {found.get('reason', 'see the log')}",
            *problems,
            *([f"… and {more} more; the log has them"] if more > 0 else []),
            "Correct it, commit, and push: the next release is looked at anew (docs/how-to/gates.md).",
        ]
    )


async def coverage(desk: wiring.Desk, run: Run) -> None:
    """How much of the source ran in the suites together: from their results, without a pod."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    required = desk.gate_policy.required(run.environment)
    results = await desk.ledger.gates.of(run.service, [promotion.commit])
    outcome, reason, total = judge_coverage(required, results)
    await desk.ledger.gates.record(
        service=run.service,
        subject=promotion.commit,
        gate=COVERAGE,
        outcome=outcome,
        detail={"reason": reason, "percent": round(total.percent, 2), "statements": total.statements},
    )
    if outcome != PASSED:
        raise GateClosed(f"{COVERAGE}: {reason}")


async def _record(
    desk: wiring.Desk, inputs: Inputs, gate: str, outcome: str, detail: Mapping[str, Any]
) -> None:
    await desk.ledger.gates.record(
        service=inputs.promotion.service,
        subject=inputs.promotion.commit,
        gate=gate,
        outcome=outcome,
        detail=detail,
        input_digest=inputs.digest,
    )


def _origin(kept: GateResult) -> str:
    origin = kept.detail.get("cached_from") or {"commit": kept.subject, "at": kept.at.isoformat()}
    return f"commit {origin['commit'][:8]} at {origin['at']}"
