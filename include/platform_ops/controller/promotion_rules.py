"""Every rule that lets a release in or not, asked before its promotion is: nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from platform_ops.adapters.follow_ups import FollowUps
from platform_ops.adapters.ledger import Ledger
from platform_ops.catalog import way
from platform_ops.catalog.models import Catalog
from platform_ops.core.admission import require_idle
from platform_ops.core.artefact import image_problems
from platform_ops.core.branching import merge_parents
from platform_ops.core.digest_holds import require_free
from platform_ops.core.errors import GateClosed, Held, OpsError, Refused
from platform_ops.core.gates import STAGING
from platform_ops.core.hotfix import require_fixes
from platform_ops.core.ports import Images
from platform_ops.core.promotion_plan import UNKNOWN, RuleState
from platform_ops.core.records import Promotion
from platform_ops.core.source import BranchState

from .admission import Admission


@dataclass(frozen=True)
class PromotionRules:
    ledger: Ledger
    catalog: Catalog
    admission: Admission
    follow_ups: FollowUps
    branch_state: Callable[[str, str, str], Awaitable[BranchState]]
    """Of a service's branch, seen from a commit."""
    images: Images

    async def ask(self, promotion: Promotion) -> tuple[RuleState, ...]:
        """One state for each rule that concerns the promotion, which need not be in the ledger. A system that
        is away leaves its own rules unknown; the ledger's errors are raised."""
        environment = promotion.environment
        rules: dict[str, Awaitable[tuple[str, ...]]] = {"rollout": self._idle(promotion)}
        if promotion.digest is not None:
            rules |= {"hold": self._free(promotion), "registry": self._image(promotion)}
        if way.starts_by_hand(environment):
            rules["hotfixes"] = self._live_fixes(promotion)
        if way.goes_live(environment):
            rules["branch"] = self._mergeable(promotion)
        asked = await asyncio.gather(*(_state(name, rule) for name, rule in rules.items()))
        return (*await self._admitted(promotion), *asked)

    async def _admitted(self, promotion: Promotion) -> list[RuleState]:
        try:
            return [RuleState.of(verdict) for verdict in await self.admission.look(promotion)]
        except OpsError as away:
            # Only staging is looked at outside of the ledger; windows and incidents are known all the same.
            rest = await self.admission.look(promotion, without=frozenset({STAGING}))
            unseen = RuleState(STAGING, UNKNOWN, (f"how staging is: {away}",))
            return [*(RuleState.of(verdict) for verdict in rest), unseen]

    async def _idle(self, promotion: Promotion) -> tuple[str, ...]:
        require_idle(await self.ledger.rollouts.active(promotion.service, promotion.environment))
        return ()

    async def _free(self, promotion: Promotion) -> tuple[str, ...]:
        service, environment = promotion.service, promotion.environment
        held = await self.ledger.digest_holds.standing(service, environment, promotion.digest)
        require_free(held, f"{service}/{environment}", promotion.name)
        return ()

    async def _image(self, promotion: Promotion) -> tuple[str, ...]:
        release = promotion.release
        with _as_rule():
            facts = await self.images.inspect(promotion.service, release.digest)
        if problems := tuple(image_problems(release, facts)):
            raise GateClosed(f"the image of {release.name}: {'; '.join(problems)}: promote another release")
        return ()

    async def _live_fixes(self, promotion: Promotion) -> tuple[str, ...]:
        require_fixes(promotion.name, await self.follow_ups.lacking(promotion.service, promotion.commit))
        return tuple(
            f"{hotfix.name} ({hotfix.why}) is in this release, and not yet in {', '.join(hotfix.missing)}: "
            "merge it back"
            for hotfix in await self.ledger.hotfixes.unmerged(promotion.service)
            if hotfix.missing
        )

    async def _mergeable(self, promotion: Promotion) -> tuple[str, ...]:
        branch = self.catalog.environment(promotion.service, promotion.environment).branch
        state = await self.branch_state(promotion.service, branch, promotion.commit)
        with _as_rule():
            merge_parents(state, promotion.commit)
        return ()


@contextmanager
def _as_rule() -> Iterator[None]:
    """What is refused here is the rule's answer; anywhere else it is a system that could not be asked."""
    try:
        yield
    except Refused as refusal:
        raise GateClosed(str(refusal)) from refusal


async def _state(name: str, rule: Awaitable[tuple[str, ...]]) -> RuleState:
    try:
        return RuleState(name, "passed", await rule)
    except (GateClosed, Held) as refusal:
        return RuleState(name, "failed", (str(refusal),))
    except OpsError as away:
        return RuleState(name, UNKNOWN, (f"{name}: {away}",))
