"""Releases on their way: every run is Airflow's own `dag().test()` against the parts of the platform."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_airflow import OwnAirflow, Voters
from own_platform import OwnPlatform

pytestmark = pytest.mark.platform

SERVICE = "fm-llm-solver"


@pytest.fixture(scope="module")
def pushed(platform: OwnPlatform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The commit that a developer pushed to the branch of development."""
    return platform.repository(SERVICE, tmp_path_factory.mktemp("clone") / SERVICE).commit().id


def test_a_release_goes_from_development_to_production(
    airflow: OwnAirflow, platform: OwnPlatform, pushed: str, voters: Voters
) -> None:
    for environment in ("development", "staging", "production"):
        run = airflow.run(f"promote_{SERVICE}_{environment}")
        assert run.state == "success", (run, airflow.task_log(run, next(iter(run.with_state("failed")), "")))
