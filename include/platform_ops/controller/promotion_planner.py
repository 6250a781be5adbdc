"""The promotion planner: looks at everything that a promotion would meet and do, and does nothing.

The ledger is what all of it rests on: without it there is no plan. Every other system that is away leaves its
own part unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from platform_ops.adapters.manifests import Manifests
from platform_ops.catalog import way
from platform_ops.catalog.models import Catalog
from platform_ops.catalog.policy_models import GatePolicy
from platform_ops.core.candidate import Candidate
from platform_ops.core.errors import GateClosed, OpsError, TemporaryError
from platform_ops.core.gate_states import GatesSeen, GateState, gate_states
from platform_ops.core.gates import IN_PODS, SIGNATURES
from platform_ops.core.manifest_diff import DryRun
from platform_ops.core.plan import Plan
from platform_ops.core.promotion_plan import (
    ApprovalPlan,
    ApprovalTerms,
    ManifestPlan,
    NotKnown,
    PlannedRelease,
    PromotionPlan,
    RuleState,
    TriggerState,
    approval_plan,
    timeline,
    trigger_state,
)
from platform_ops.core.records import GateResult, Promotion
from platform_ops.core.release import Target

from .candidates import Candidates
from .gate_inputs import GateInputs
from .observing import Judged, Serving, looked_back, serving, verdicts
from .planning import rollout_plan
from .ports import Ports
from .promotion_rules import PromotionRules

_TOLD = NotKnown("which release it would be is not known", away=False)
"""Of what depends on the release; why it is not known stands there."""


@dataclass(frozen=True)
class Question:
    service: str
    environment: str
    release: str = ""
    """Name or digest; empty: the one that the promotion would take by itself."""
    requester: str = ""
    """Airflow user who would ask; empty: nobody knows yet."""


@dataclass(frozen=True)
class PromotionPlanner:
    ports: Ports
    catalog: Catalog
    policy: GatePolicy
    candidates: Candidates
    gate_inputs: GateInputs
    rules: PromotionRules
    manifests: Manifests
    dry_run: DryRun

    async def plan(self, asked: Question) -> PromotionPlan:
        """Raises the ledger's errors, GateClosed where no release may be taken, NotFound for names."""
        target = self.catalog.target(asked.service, asked.environment)
        trouble: list[str] = []
        candidate = await self._candidate(asked)
        now = await self._serving(target)
        served = await self.ports.ledger.promotions.verified(asked.service, asked.environment, limit=1)
        rollout = self._rollout(target, candidate)
        return PromotionPlan(
            service=asked.service,
            environment=asked.environment,
            live=served[0].name if served else None,
            release=_planned(candidate, asked),
            gates=await self._gates(candidate, asked.environment, trouble),
            admission=await self._admission(candidate, asked),
            approval=await self._approval(candidate, asked, trouble),
            timeline=timeline(
                rollout,
                wait_timer=self.catalog.approvals(asked.service, asked.environment).wait_timer,
                first_release=isinstance(now, Serving) and now.digest is None,
            ),
            manifests=await self._changes(target, candidate, rollout, now),
            triggers=await self._triggers(target, rollout, now),
            trouble=tuple(trouble),
        )

    async def _candidate(self, asked: Question) -> Candidate | NotKnown:
        try:
            return await self.candidates.choose(asked.service, asked.environment, asked.release)
        except TemporaryError as away:
            return NotKnown(f"the release: {away}")

    async def _serving(self, target: Target) -> Serving | NotKnown:
        try:
            return await serving(self.ports.router, self.ports.workloads, target)
        except OpsError as away:
            return NotKnown(f"what serves {target.key}: {away}")

    def _rollout(self, target: Target, candidate: Candidate | NotKnown) -> Plan:
        """What the rollout would follow, its manifests for the preview left out."""
        plan = rollout_plan(self.catalog, target.service, target.environment)
        if isinstance(candidate, NotKnown) or candidate.digest is None:
            return plan
        image = self.ports.images.reference(target.service, candidate.digest)
        return replace(plan, migration=self.manifests.migration(target, image))

    async def _gates(
        self, candidate: Candidate | NotKnown, environment: str, trouble: list[str]
    ) -> tuple[GateState, ...] | NotKnown:
        if isinstance(candidate, NotKnown):
            return _TOLD
        required = self.policy.required(environment)
        subjects = [one for one in (candidate.commit, candidate.digest) if one]
        results = await self.ports.ledger.gates.of(candidate.service, subjects)
        signed = self.catalog.signatures_required(candidate.service, environment)
        inputs = await self._inputs(candidate, required.of(IN_PODS), trouble)
        seen = GatesSeen(results, inputs, await self._kept(candidate.service, inputs))
        return gate_states(required, seen, (SIGNATURES,) if signed else ())

    async def _inputs(
        self, candidate: Candidate, gates: tuple[str, ...], trouble: list[str]
    ) -> dict[str, str]:
        service, commit = candidate.service, candidate.commit
        try:
            return {gate: await self.gate_inputs.digest(service, commit, gate) for gate in gates}
        except OpsError as away:
            trouble.append(f"whether the gates' inputs have changed: {away}")
            return {}

    async def _kept(self, service: str, inputs: dict[str, str]) -> dict[str, GateResult]:
        kept = {
            gate: await self.ports.ledger.gates.passed_with(service, gate, digest)
            for gate, digest in inputs.items()
        }
        return {gate: result for gate, result in kept.items() if result is not None}

    async def _admission(self, candidate: Candidate | NotKnown, asked: Question) -> tuple[RuleState, ...]:
        if isinstance(candidate, NotKnown):
            # Windows, incidents and a rollout that is on its way ask nothing about the release.
            candidate = Candidate(asked.service, "", "", None)
        imagined = Promotion(
            id="",
            dag_id=f"promote_{asked.service}_{asked.environment}",
            run_id="",
            service=asked.service,
            environment=asked.environment,
            commit=candidate.commit,
            version=candidate.version,
            digest=candidate.digest,
            requested_by=asked.requester,
            url="",
            started_at=self.ports.clock.now(),
        )
        return await self.rules.ask(imagined)

    async def _approval(
        self, candidate: Candidate | NotKnown, asked: Question, trouble: list[str]
    ) -> ApprovalPlan:
        service, environment = asked.service, asked.environment
        stated = self.catalog.approvals(service, environment)
        notes: list[str] = []
        authors: frozenset[str] = frozenset()
        try:
            if asked.requester:
                self.catalog.require_requester(service, environment, asked.requester)
        except GateClosed as refusal:
            notes.append(str(refusal))
        try:
            if isinstance(candidate, Candidate) and stated.quorum:
                authors = await self.candidates.authors(service, environment, candidate.commit)
        except GateClosed as strangers:
            notes.append(str(strangers))
        except OpsError as away:
            trouble.append(f"who wrote the release: {away}")
        terms = ApprovalTerms(stated.wait_timer, stated.response_timeout, stated.expires, stated.requesters)
        rule = self.catalog.approval_rule(service, environment)
        return approval_plan(rule, terms, requester=asked.requester, authors=authors, notes=notes)

    async def _changes(
        self, target: Target, candidate: Candidate | NotKnown, rollout: Plan, now: Serving | NotKnown
    ) -> ManifestPlan | NotKnown:
        if isinstance(candidate, NotKnown):
            return _TOLD
        if candidate.digest is None:
            return NotKnown(f"{candidate.name} has no image yet: its promotion builds it", away=False)
        if isinstance(now, NotKnown):
            return now
        image = self.ports.images.reference(target.service, candidate.digest)
        before = rollout.migration.manifests if rollout.migration else ()
        manifests = (*before, *self.manifests.colour(target, now.preview, image))
        try:
            return ManifestPlan(now.preview, await self.dry_run.changes(target, manifests))
        except OpsError as away:
            return NotKnown(f"the manifests: {away}")

    async def _triggers(
        self, target: Target, rollout: Plan, now: Serving | NotKnown
    ) -> tuple[TriggerState, ...]:
        triggers = rollout.triggers
        if isinstance(now, NotKnown):
            return tuple(trigger_state(one, now) for one in triggers)
        if now.colour is None:
            nothing = NotKnown("nothing serves there yet", away=False)
            return tuple(trigger_state(one, nothing) for one in triggers)
        if not triggers:
            return ()
        at = self.ports.clock.now()
        since = at - looked_back(triggers)
        judged = Judged(target, now.colour, begin=since, since=since)
        found = await verdicts(self.ports.metrics, triggers, judged, at)
        return tuple(trigger_state(one, verdict) for one, verdict in zip(triggers, found, strict=True))


def _planned(candidate: Candidate | NotKnown, asked: Question) -> PlannedRelease | NotKnown:
    if isinstance(candidate, NotKnown):
        return candidate
    note = "the one that was named"
    if not asked.release:
        building = way.builds(asked.environment)
        note = (
            "the newest commit of its branch"
            if building
            else f"the newest one that {way.environment_before(asked.environment)} has verified"
        )
    if candidate.digest is None:
        note += "; it has no image yet, its promotion builds one"
    return PlannedRelease(candidate.name, candidate.version, candidate.commit, candidate.digest, note)
