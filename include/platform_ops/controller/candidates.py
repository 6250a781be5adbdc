"""Candidates: which release a promotion would take now, from the ledger and the service's repository."""

from __future__ import annotations

from dataclasses import dataclass

from platform_ops.adapters.ledger import Ledger
from platform_ops.catalog import way
from platform_ops.catalog.models import Catalog
from platform_ops.core.candidate import Candidate, take
from platform_ops.core.errors import NotFound
from platform_ops.core.ports import SourceRepository
from platform_ops.core.release import release_name


@dataclass(frozen=True)
class Candidates:
    ledger: Ledger
    source: SourceRepository
    catalog: Catalog

    async def choose(self, service: str, environment: str, wanted: str = "") -> Candidate:
        """The release that `wanted` names (name or digest); empty: the branch's head where images are built,
        elsewhere the newest one that the environment before has verified.

        GateClosed when that one has not verified it, NotFound for a release that was never built.
        """
        if way.builds(environment):
            return await self._to_build(service, environment, wanted)
        before = way.environment_before(environment)
        verified = await self.ledger.promotions.verified(service, before)
        taken = take(verified, wanted, service=service, environment=environment, before=before)
        return Candidate(service, taken.version, taken.commit, taken.digest)

    async def authors(self, service: str, environment: str, commit: str) -> frozenset[str]:
        """Users who wrote or committed what is new in `commit` since the release verified there last.

        GateClosed names each address that nobody of the catalog owns.
        """
        served = await self.ledger.promotions.verified(service, environment, limit=1)
        emails = await self.source.authors(service, commit, served[0].commit if served else None)
        return self.catalog.users_of(emails)

    async def _to_build(self, service: str, environment: str, wanted: str) -> Candidate:
        commit = await self._commit(service, environment, wanted)
        version = await self.source.version_at(service, commit)
        built = await self.ledger.releases.find(service, release_name(version, commit))
        return Candidate(service, version, commit, built.digest if built else None)

    async def _commit(self, service: str, environment: str, wanted: str) -> str:
        if not wanted:
            branch = self.catalog.environment(service, environment).branch
            return await self.source.head(service, branch)
        release = await self.ledger.releases.find(service, wanted)
        if release is None:
            raise NotFound(
                f"No release {wanted!r} of {service} was built. Leave the field empty for the branch's head."
            )
        return release.commit
