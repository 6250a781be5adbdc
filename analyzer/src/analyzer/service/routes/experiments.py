"""A/B experiments between model versions."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter

from analyzer.service.dependencies import Admin, Analyst, RuntimeDep
from analyzer.service.figures import experiment_figures
from analyzer.service.problems import BODY, CONFLICT, GUARDED, MISSING, STORED
from analyzer.service.runtime import Runtime
from analyzer.service.schemas import ExperimentFigures, ExperimentRequest, VersionChoice
from analyzer.storage.records import Arm, Conflict, Experiment, NotFound

routes = APIRouter(prefix="/ab", tags=["experiments"], responses=GUARDED)


@routes.get("", responses=MISSING)
async def running(runtime: RuntimeDep, caller: Analyst) -> ExperimentFigures:
    """The experiment that runs, with its figures."""
    experiment = runtime.registry.snapshot.experiment
    if experiment is None:
        raise NotFound("no experiment runs")
    return await _with_figures(runtime, experiment)


@routes.post("/enable", status_code=201, responses=BODY | CONFLICT | MISSING | STORED)
async def enable(body: ExperimentRequest, runtime: RuntimeDep, caller: Admin) -> ExperimentFigures:
    """Starts an experiment: a fingerprint always meets the same arm, each arm its share of fingerprints."""
    names = [arm.version for arm in body.arms]
    if len(set(names)) != len(names):
        raise Conflict("a version stands in two arms")
    await runtime.registry.refresh()
    for name in names:
        runtime.registry.require(name)
    arms = [Arm(arm.version, arm.weight) for arm in body.arms]
    experiment = await runtime.store.start_experiment(arms, datetime.now(UTC))
    await runtime.registry.refresh()
    return await _with_figures(runtime, experiment)


@routes.post("/end", responses=CONFLICT | STORED)
async def end(runtime: RuntimeDep, caller: Admin) -> ExperimentFigures:
    """Ends the experiment; what served before serves again."""
    experiment = await runtime.store.end_experiment(datetime.now(UTC), None, None)
    await runtime.registry.refresh()
    return await _with_figures(runtime, experiment)


@routes.post("/promote", responses=BODY | CONFLICT | MISSING | STORED)
async def promote(body: VersionChoice, runtime: RuntimeDep, caller: Admin) -> ExperimentFigures:
    """Ends the experiment and puts one of its arms in service."""
    await runtime.registry.refresh()
    experiment = runtime.registry.snapshot.experiment
    if experiment is None:
        raise Conflict("no experiment runs")
    if body.version not in {arm.version for arm in experiment.arms}:
        raise Conflict(f"{body.version!r} is no arm of experiment {experiment.id}")
    runtime.registry.require(body.version)
    active = None if body.version == runtime.registry.builtin else body.version
    ended = await runtime.store.end_experiment(datetime.now(UTC), body.version, active)
    await runtime.registry.refresh()
    return await _with_figures(runtime, ended)


async def _with_figures(runtime: Runtime, experiment: Experiment) -> ExperimentFigures:
    counts, _ = await runtime.recorder.totals()
    return experiment_figures(experiment, counts)
