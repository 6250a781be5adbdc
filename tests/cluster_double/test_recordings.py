"""The contract with the recorded Kubernetes API server: what was asked then gets the same answers now."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from replay import page
from replay.recordings import load, shared_folder
from replay.runner import Outcome
from replay.scope import OUT_OF_SCOPE
from replay.session import replay_all

pytestmark = [pytest.mark.recordings, pytest.mark.timeout(900)]
PRESENT = (shared_folder() / "scenarios.json").is_file()
SCENARIOS = [one.name for one in load()] if PRESENT else []


@pytest.fixture(scope="module", autouse=True)
def recordings() -> None:
    if not PRESENT:
        sentence = f"the recordings are not at {shared_folder()}: set SHARED to the folder that holds `data`"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder: Path = tmp_path_factory.mktemp("doubles")
    return asyncio.run(replay_all(folder / "doubles"))


def test_the_page_names_every_scenario_and_is_written_by_its_generator() -> None:
    rows = page.read()
    assert list(rows) == SCENARIOS
    assert page.PAGE.read_text() == page.render(rows)


def test_what_is_out_of_scope_on_the_page_is_what_the_replay_leaves_out() -> None:
    rows = page.read()
    assert {name: row.remark for name, row in rows.items() if row.result == page.OUT} == OUT_OF_SCOPE


@pytest.mark.parametrize("name", [one for one in SCENARIOS if one not in OUT_OF_SCOPE])
def test_a_recorded_scenario_is_answered_as_the_page_says(name: str, outcomes: dict[str, Outcome]) -> None:
    row, outcome = page.read()[name], outcomes[name]
    assert outcome.differences == []
    assert row.result in (page.SAME, page.AFTER)
    assert outcome.normalisations <= set(row.normalisations)
