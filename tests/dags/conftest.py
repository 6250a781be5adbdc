"""Fixtures of the DAG tests. Airflow is imported inside functions: its settings come first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from own_airflow import (
    EVERYBODY,
    OwnAirflow,
    Voters,
    Way,
    dag_bag,
    database_and_api,
    own_airflow,
    when_a_rollout_begins,
)
from own_platform import OwnPlatform

from local_platform.sources import ServiceRepository


@pytest.fixture(scope="package")
def airflow_settings(
    platform_state: OwnPlatform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnAirflow]:
    """Airflow's and our settings in this process's environment; enough to parse DAGs, nothing runs."""
    with own_airflow(platform_state, tmp_path_factory.mktemp("airflow")) as made:
        yield made


@pytest.fixture(scope="package")
def airflow(airflow_settings: OwnAirflow, platform: OwnPlatform) -> Iterator[OwnAirflow]:
    """Airflow with a database and an API that people can vote by, beside a running platform."""
    with database_and_api(airflow_settings):
        yield airflow_settings


@pytest.fixture(scope="package")
def dags(airflow_settings: OwnAirflow) -> dict[str, Any]:
    """Every DAG of the checkout by its id."""
    bag = dag_bag()
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(scope="package")
def solver(platform: OwnPlatform, tmp_path_factory: pytest.TempPathFactory) -> ServiceRepository:
    """A developer's clone of the stand-in's repository."""
    return platform.repository("fm-llm-solver", tmp_path_factory.mktemp("clone") / "fm-llm-solver")


@pytest.fixture(scope="package")
def first(airflow: OwnAirflow, solver: ServiceRepository) -> Way:
    """The first release of the stand-in goes from development to production; everybody approves."""
    commit = solver.commit()
    with Voters(airflow, EVERYBODY).at_work():
        runs = {
            environment: airflow.run(f"promote_fm-llm-solver_{environment}")
            for environment in ("development", "staging", "production")
        }
    return Way(commit, runs)


@pytest.fixture(scope="package")
def second(airflow: OwnAirflow, solver: ServiceRepository, first: Way) -> Way:
    """The second release comes as far as development. In mid-rollout somebody saves a typo in the catalog;
    it is mended afterwards."""
    commit = solver.commit()
    with when_a_rollout_begins(airflow, "fm-llm-solver", "development", airflow.break_catalog):
        run = airflow.run("promote_fm-llm-solver_development")
    broken = dag_bag()
    airflow.write_catalog()
    return Way(commit, {"development": run}, broken.import_errors, frozenset(broken.dags))
