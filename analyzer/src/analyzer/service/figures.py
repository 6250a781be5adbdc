"""Counts as figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analyzer.service.schemas import ArmFigures, ExperimentFigures, VersionFigures
from analyzer.storage.records import Count, CountKey, Experiment


def experiment_figures(experiment: Experiment, counts: Mapping[CountKey, Count]) -> ExperimentFigures:
    """What each arm judged during this experiment."""
    arms = []
    for arm in experiment.arms:
        of_arm = {
            key: count
            for key, count in counts.items()
            if key.experiment == experiment.id and key.version == arm.version
        }
        figures = version_figures(arm.version, of_arm)
        arms.append(ArmFigures(weight=arm.weight, **figures.model_dump()))
    return ExperimentFigures(
        id=experiment.id,
        started_at=experiment.started_at,
        ended_at=experiment.ended_at,
        promoted=experiment.promoted,
        arms=arms,
    )


def version_figures(version: str, counts: Mapping[CountKey, Count]) -> VersionFigures:
    """What a version judged."""
    own = {key: count for key, count in counts.items() if key.version == version}
    verdicts = sum(count.verdicts for count in own.values())
    probability = sum(count.probability for count in own.values())
    return VersionFigures(
        version=version,
        verdicts=verdicts,
        secrets=sum(count.verdicts for key, count in own.items() if key.is_secret),
        mean_probability=round(probability / verdicts, 6) if verdicts else None,
    )


def summed(counts: Mapping[CountKey, Count], by: Callable[[CountKey], str]) -> dict[str, int]:
    """Secrets by one of their properties."""
    sums: dict[str, int] = {}
    for key, count in counts.items():
        if key.is_secret:
            sums[by(key)] = sums.get(by(key), 0) + count.verdicts
    return dict(sorted(sums.items()))
