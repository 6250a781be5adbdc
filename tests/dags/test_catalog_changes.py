"""The catalog decides which DAGs there are; an edit changes those of its service and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from own_airflow import OwnAirflow, dag_bag
from test_policy import PER_SERVICE, serialised

THIRD = "url-shortener"


def with_a_third_service(entries: dict[str, Any]) -> None:
    """One entry more, written as a newcomer would: copied, names changed."""
    text = json.dumps(entries["services"]["fm-llm-solver"])
    entries["services"][THIRD] = json.loads(text.replace("fm-llm-solver", THIRD))


@pytest.fixture
def editable(airflow_settings: OwnAirflow) -> Iterator[OwnAirflow]:
    """The catalog may be edited; afterwards it is as before."""
    yield airflow_settings
    airflow_settings.write_catalog()


def test_a_new_entry_makes_its_own_dags_and_changes_no_other(editable: OwnAirflow) -> None:
    before = serialised(dag_bag())
    editable.write_catalog(with_a_third_service)
    bag = dag_bag()
    assert bag.import_errors == {}
    after = serialised(bag)
    assert set(after) - set(before) == {
        f"{verb}_{THIRD}_{environment}"
        for verb in ("promote", "rollback", "reclaim")
        for environment in ("development", "staging", "production")
    } | {f"hotfix_{THIRD}"}
    assert {dag_id: after[dag_id] for dag_id in before} == before


def test_a_changed_quorum_changes_the_promotion_that_it_is_about(editable: OwnAirflow) -> None:
    before = serialised(dag_bag())

    def a_senior_developer_for_staging(entries: dict[str, Any]) -> None:
        staging = entries["services"]["fm-llm-solver"]["environments"]["staging"]
        staging["approvals"] = {**staging["approvals"], "quorum": {"senior_developer": 1}}

    editable.write_catalog(a_senior_developer_for_staging)
    after = serialised(dag_bag())
    changed = {dag_id for dag_id in before if after[dag_id] != before[dag_id]}
    assert changed == {"promote_fm-llm-solver_staging"}


def test_with_a_typo_the_dags_stay_and_one_file_shows_the_line(editable: OwnAirflow) -> None:
    before = serialised(dag_bag())
    editable.break_catalog()
    bag = dag_bag()
    (file, error), *others = bag.import_errors.items()
    assert (file.rpartition("/")[2], others) == ("catalog_check.py", [])
    line = next(
        number
        for number, text in enumerate(editable.catalog.read_text(encoding="utf-8").splitlines(), 1)
        if "stratgy:" in text
    )
    assert f"services.yaml:{line}: " in error
    assert "strategy" in error, "the nearest valid name"
    assert serialised(bag) == {dag_id: before[dag_id] for dag_id in PER_SERVICE}


def test_a_mended_catalog_brings_the_check_back(editable: OwnAirflow) -> None:
    editable.break_catalog()
    editable.write_catalog()
    bag = dag_bag()
    assert bag.import_errors == {}
    assert "catalog_check" in bag.dags
