"""Statistics of the service."""

from __future__ import annotations

from fastapi import APIRouter

from analyzer.service.dependencies import Analyst, RuntimeDep
from analyzer.service.figures import experiment_figures, summed, version_figures
from analyzer.service.problems import GUARDED
from analyzer.service.schemas import CacheFigures, Statistics

routes = APIRouter(tags=["statistics"], responses=GUARDED)


@routes.get("/stats")
async def stats(runtime: RuntimeDep, caller: Analyst) -> Statistics:
    """Verdicts by kind and by version, and the arms of the experiment that runs."""
    counts, fresh = await runtime.recorder.totals()
    experiment = runtime.registry.snapshot.experiment
    names = sorted({key.version for key in counts} | {runtime.registry.active})
    return Statistics(
        verdicts=sum(count.verdicts for count in counts.values()),
        secrets=sum(count.verdicts for key, count in counts.items() if key.is_secret),
        by_secret_type=summed(counts, lambda key: key.secret_type),
        by_risk_level=summed(counts, lambda key: key.risk_level),
        versions=[version_figures(name, counts) for name in names],
        active_version=runtime.registry.active,
        experiment=experiment_figures(experiment, counts) if experiment is not None else None,
        cache=CacheFigures(
            hits=runtime.metrics.value("llm_cache_hits_total"),
            misses=runtime.metrics.value("llm_cache_misses_total"),
        ),
        scope="all processes" if runtime.watch.database.shared else "this process",
        degraded=not fresh,
        pending=runtime.recorder.pending,
    )
