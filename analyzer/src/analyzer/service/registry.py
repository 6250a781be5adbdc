"""What is in service: model versions, the experiment, API keys. Read from the store every second or so."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from analyzer.calibration.model import Calibrator, ModelError, load
from analyzer.storage.ports import Store, VerdictCache
from analyzer.storage.records import ApiKey, Conflict, ModelVersion, NotFound, Snapshot


@dataclass(frozen=True)
class Assignment:
    """Which version judges a value."""

    version: str
    calibrator: Calibrator | None
    experiment: int


@dataclass(frozen=True)
class _Loaded:
    """A snapshot and its models, replaced as a whole: nobody sees half of a change."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    models: Mapping[str, Calibrator] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, ApiKey] = field(default_factory=dict)
    """By digest."""


class Registry:
    """The last good snapshot; it stays in service while the store is away."""

    def __init__(self, store: Store, cache: VerdictCache, builtin: str) -> None:
        self._store = store
        self._cache = cache
        self._builtin = builtin
        self._loaded = _Loaded()

    @property
    def builtin(self) -> str:
        """The name of the version that is built into the engine."""
        return self._builtin

    @property
    def snapshot(self) -> Snapshot:
        return self._loaded.snapshot

    @property
    def active(self) -> str:
        """The version that judges outside of an experiment."""
        name = self._loaded.snapshot.active
        return name if name is not None and name in self._loaded.models else self._builtin

    def problem(self, name: str) -> str | None:
        """Why a registered version cannot serve in this process; None when it can."""
        return self._loaded.problems.get(name)

    @property
    def degraded(self) -> str | None:
        """Why another version serves than was asked for; None when all is as asked."""
        snapshot = self._loaded.snapshot
        wanted = [snapshot.active] if snapshot.active is not None else []
        if snapshot.experiment is not None:
            wanted += [arm.version for arm in snapshot.experiment.arms if arm.version != self._builtin]
        missing = [name for name in wanted if name not in self._loaded.models]
        if not missing:
            return None
        return f"{', '.join(sorted(set(missing)))} cannot serve here; {self._builtin} stands in"

    def require(self, name: str) -> None:
        """Raises `NotFound` for a version that is not there, `Conflict` for one that cannot serve here."""
        if name == self._builtin or name in self._loaded.models:
            return
        problem = self.problem(name)
        if problem is None:
            raise NotFound(f"no version is named {name!r}")
        raise Conflict(f"{name!r} cannot serve: {problem}")

    def key(self, digest: str, now: datetime) -> ApiKey | None:
        """The valid API key with this SHA-256."""
        key = self._loaded.keys.get(digest)
        return key if key is not None and key.valid(now) else None

    def assign(self, fingerprint: str) -> Assignment:
        """The version for a value: the same fingerprint always meets the same arm of an experiment."""
        experiment = self._loaded.snapshot.experiment
        if experiment is None:
            return self._serving(self.active, 0)
        total = sum(arm.weight for arm in experiment.arms)
        drawn = hashlib.sha256(f"{experiment.id}:{fingerprint}".encode()).digest()
        share = int.from_bytes(drawn[:8]) % total
        for arm in experiment.arms:
            if share < arm.weight:
                return self._serving(arm.version, experiment.id)
            share -= arm.weight
        raise AssertionError("the shares of an experiment's arms add up to their total")

    def _serving(self, name: str, experiment: int) -> Assignment:
        model = self._loaded.models.get(name)
        return Assignment(name if model is not None else self._builtin, model, experiment)

    async def refresh(self) -> None:
        """Reads the store; raises `StoreUnavailable` and keeps what it has when that is away."""
        snapshot = await self._store.snapshot()
        models: dict[str, Calibrator] = {}
        problems: dict[str, str] = {}
        for version in snapshot.versions.values():
            try:
                models[version.name] = self._model(version)
            except ModelError as error:
                problems[version.name] = str(error)
        keys = {key.digest: key for key in snapshot.keys}
        before = self._in_service
        self._loaded = _Loaded(snapshot, models, problems, keys)
        for name in before - self._in_service:
            await self._cache.drop(name)

    def _model(self, version: ModelVersion) -> Calibrator:
        known = self._loaded.snapshot.versions.get(version.name)
        if known is not None and known.sha256 == version.sha256 and version.name in self._loaded.models:
            return self._loaded.models[version.name]
        return load(version.document, self._builtin)

    @property
    def _in_service(self) -> frozenset[str]:
        experiment = self._loaded.snapshot.experiment
        arms = {arm.version for arm in experiment.arms} if experiment is not None else set()
        return frozenset(arms | {self.active})
