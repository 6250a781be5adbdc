"""Fixtures of the DAG tests. Airflow is imported inside functions: its settings come first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from own_airflow import OwnAirflow, Voters, dag_bag, database_and_api, own_airflow
from own_platform import OwnPlatform


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


@pytest.fixture
def voters(airflow: OwnAirflow) -> Iterator[Voters]:
    """Everybody approves what they are asked."""
    people = {"qa": ("qa",), "senior_developer": ("senior1", "senior2"), "devops": ("devops",)}
    with Voters(airflow, people).at_work() as voters:
        yield voters
