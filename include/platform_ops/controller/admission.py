"""Admission: looks at freeze windows, incidents, staging and the gates' results, and lets core decide.

`admit` asks it when a run begins. The controller asks it again before it writes a new rollout, so it stands
between every release and traffic, also when somebody marked the tasks before as successful (design, rule 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from platform_ops.adapters.ledger import Ledger
from platform_ops.catalog.models import Catalog
from platform_ops.catalog.policy_models import GatePolicy
from platform_ops.core.admission import Circumstances, StagingSeen, Verdict, admission, refused, unknown_fixes
from platform_ops.core.errors import GateClosed, NotFound
from platform_ops.core.gates import NOT_RUN, STAGING, Required, refusal
from platform_ops.core.ports import Clock, Probe, TrafficRouter
from platform_ops.core.records import Promotion

from .checks import run_checks
from .planning import rollout_plan


@dataclass(frozen=True)
class Admission:
    ledger: Ledger
    router: TrafficRouter
    probe: Probe
    clock: Clock
    catalog: Catalog
    policy: GatePolicy

    async def admit(self, promotion: Promotion, *, hotfix: bool = False) -> tuple[Verdict, ...]:
        """Decide and write the verdicts into the ledger. GateClosed with every reason.

        The advisory gates of the environment are written as not run, so that nobody takes them for passed.
        """
        required = self.policy.required(promotion.environment)
        verdicts = await self._verdicts(promotion, required, hotfix)
        await self._record(promotion, verdicts)
        await self._record_advisory(promotion, required)
        _require_nothing(promotion, refused(verdicts))
        return verdicts

    async def look(
        self, promotion: Promotion, *, without: frozenset[str] = frozenset()
    ) -> tuple[Verdict, ...]:
        """The verdicts that `admit` would give now; nothing is written. `without`: gates that are not asked
        for. Raises what the systems that are looked at raise."""
        required = self.policy.required(promotion.environment)
        asked = replace(required, gates=tuple(gate for gate in required.gates if gate not in without))
        return await self._verdicts(promotion, asked, hotfix=False)

    async def ensure(self, promotion: Promotion, *, hotfix: bool = False) -> None:
        """The last look before a rollout begins. GateClosed with every reason, gates included."""
        required = self.policy.required(promotion.environment)
        verdicts = await self._verdicts(promotion, required, hotfix)
        reasons = refused(verdicts)
        if reasons:
            await self._record(promotion, verdicts)
        if not await self._going_back(promotion):
            subjects = [promotion.commit, promotion.release.digest]
            results = await self.ledger.gates.of(promotion.service, subjects)
            reasons = (*reasons, *refusal(required, results))
        _require_nothing(promotion, reasons)

    async def _verdicts(self, promotion: Promotion, required: Required, hotfix: bool) -> tuple[Verdict, ...]:
        service, environment = promotion.service, promotion.environment
        incidents = await self.ledger.incidents.of(service, closed=True)
        if unknown := unknown_fixes(promotion.fixes, incidents):
            names = ", ".join(incident.id for incident in incidents if incident.open) or "none"
            raise NotFound(f"{', '.join(unknown)}: no such incident of {service}; open are: {names}")
        seen = Circumstances(
            service=service,
            environment=environment,
            release=promotion.name,
            incidents=tuple(incident for incident in incidents if incident.open),
            fixes=promotion.fixes,
            windows=tuple(entry.window() for entry in self.catalog.environment(service, environment).freeze),
            staging=await self._staging(promotion) if STAGING in required.gates else None,
            hotfix=hotfix,
            going_back=await self._going_back(promotion),
        )
        return admission(required, seen, self.clock.now())

    async def _going_back(self, promotion: Promotion) -> bool:
        if promotion.digest is None:
            return False
        verified = await self.ledger.promotions.verified(promotion.service, promotion.environment)
        return any(release.digest == promotion.digest for release in verified)

    async def _staging(self, promotion: Promotion) -> StagingSeen:
        verified = await self.ledger.promotions.verified(promotion.service, STAGING)
        return StagingSeen(
            verified=any(release.digest == promotion.digest for release in verified),
            troubles=tuple(await self._troubles(promotion.service)),
        )

    async def _troubles(self, service: str) -> Sequence[str]:
        target = self.catalog.target(service, STAGING)
        serving = (await self.router.observe(target)).weights.majority
        if serving is None:
            return ["nothing serves there"]
        checks = rollout_plan(self.catalog, service, STAGING).checks
        report = await run_checks(self.probe, self.clock, target, serving, checks, preview=False)
        return report.failures or ([] if report.passed else ["it has no checks, and no check is no pass"])

    async def _record(self, promotion: Promotion, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            await self.ledger.gates.record(
                service=promotion.service,
                subject=promotion.environment,
                gate=verdict.gate,
                outcome=verdict.outcome,
                detail={"reason": verdict.reason, "promotion": promotion.id, "waived": list(verdict.waived)},
            )

    async def _record_advisory(self, promotion: Promotion, required: Required) -> None:
        known = await self.ledger.gates.of(promotion.service, [promotion.commit])
        said = {result.gate: result.detail.get("reason") for result in known}
        for gate, reason in required.advisory.items():
            if said.get(gate) != reason:
                await self.ledger.gates.record(
                    service=promotion.service,
                    subject=promotion.commit,
                    gate=gate,
                    outcome=NOT_RUN,
                    detail={"reason": reason, "advisory": True},
                )


def _require_nothing(promotion: Promotion, reasons: Sequence[str]) -> None:
    if reasons:
        where = f"{promotion.name} of {promotion.service} is not let into {promotion.environment}"
        raise GateClosed("\n".join([f"{where}:", *reasons]))
