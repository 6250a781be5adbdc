"""`airflow dags test`, once per DAG file, in a process of its own: its exit code is the run's end."""

from __future__ import annotations

import subprocess

import pytest
from own_airflow import OwnAirflow, Way
from own_platform import OwnPlatform

from local_platform.sources import ServiceRepository

pytestmark = pytest.mark.platform


def dags_test(airflow: OwnAirflow, dag_id: str) -> subprocess.CompletedProcess[str]:
    """It survives SIGTERM now and then, so a SIGKILL follows."""
    command = ("timeout", "-k", "5", "270", "airflow", "dags", "test", dag_id)
    return airflow.platform.run(*command, settings=airflow.settings(), seconds=290)


def test_a_promotion_that_gets_there_exits_with_0(
    airflow: OwnAirflow, solver: ServiceRepository, first: Way
) -> None:
    commit = solver.commit()
    done = dags_test(airflow, "promote_fm-llm-solver_development")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    newest = airflow.ops("audit", "fm-llm-solver", "development")[0]["promotion"]
    assert (newest["commit"], newest["outcome"]) == (commit.id, "promoted")


def test_a_red_rollback_exits_with_1(airflow: OwnAirflow, platform: OwnPlatform) -> None:
    done = dags_test(airflow, "rollback_llm-service_production")
    assert done.returncode == 1
    assert "name an earlier release instead" in done.stdout + done.stderr


def test_the_catalog_check_exits_with_0(airflow: OwnAirflow) -> None:
    assert dags_test(airflow, "catalog_check").returncode == 0
