"""What a person reads at 3 a.m.: each page fits where the rollout stands, and names the command to type."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rollout_scenes import PLAN, TARGET, V1, V2, release

from platform_ops.core.paging import Failure, Page, ended_badly_page, held_page, page_of
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase, Rollout

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROLLOUT = Rollout(
    id="1",
    dag_id="promote_llm-service_production",
    run_id="manual__1",
    promotion_id=None,
    target=TARGET,
    release=release(V2),
    colour=Colour.GREEN,
    previous_digest=V1,
    plan=PLAN,
    goal=Phase.PROMOTED,
    requested_by="developer",
    log_url="",
    created_at=NOW,
    weights=Weights(75, 25),
)
BACK = "ops rollback llm-service production"
CLEAR = "clear roll_out of manual__1 in Airflow"


def failed(rollout: Rollout | None) -> Page:
    failure = Failure("roll_out", "error-rate: 6 of 24 requests", "")
    asked = {"service": "llm-service", "environment": "production", "release": "1.2.0", "channel": "#alerts"}
    return page_of(failure, key="k", rollout=rollout, escalation=("team lead", "CTO"), **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rollout", "done", "todo"),
    [
        pytest.param(None, "Nothing was deployed", "Users get the version before.", id="never deployed"),
        pytest.param(
            replace(ROLLOUT, phase=Phase.ROLLED_BACK),
            "No traffic ever left blue.",
            "Users get the version before.",
            id="never shifted",
        ),
        pytest.param(
            replace(ROLLOUT, phase=Phase.ROLLED_BACK, moved_at=NOW),
            "All traffic is back on blue",
            "Users get the version before.",
            id="went back",
        ),
        pytest.param(
            replace(ROLLOUT, phase=Phase.ROLLED_BACK, moved_at=NOW, previous_digest=None),
            "nothing serves",
            "Nobody can use it",
            id="first release",
        ),
        pytest.param(
            replace(ROLLOUT, phase=Phase.NEEDS_ATTENTION, moved_at=NOW),
            "traffic stays as it is (blue 75 %, green 25 %)",
            BACK,
            id="both bad",
        ),
    ],
)
def test_a_page_fits_where_the_rollout_ended_whoever_writes_it(
    rollout: Rollout | None, done: str, todo: str
) -> None:
    pages = [failed(rollout)] if rollout is None else [failed(rollout), ended_badly_page(rollout)]
    for page in pages:
        assert done in page.done
        assert todo in page.todo
    assert pages[0].todo.endswith("If nobody can: team lead, then CTO.")


def test_nobody_is_told_of_a_version_before_where_there_was_none() -> None:
    first = replace(ROLLOUT, phase=Phase.ROLLED_BACK, moved_at=NOW, previous_digest=None)
    for page in (failed(first), ended_badly_page(first)):
        assert "version before" not in page.text


@pytest.mark.parametrize(
    ("phase", "deadline"),
    [
        pytest.param(Phase.SHIFTING, "Without a decision it rolls back in 5 min.", id="on its way"),
        pytest.param(Phase.WARM, "Without a decision it stays as it is.", id="promoted"),
    ],
)
def test_a_held_rollout_names_both_ways_on_and_what_time_decides(phase: Phase, deadline: str) -> None:
    page = held_page(replace(ROLLOUT, phase=phase), "no verdict: too few requests")
    assert page.happened == "no verdict: too few requests"
    assert CLEAR in page.todo
    assert BACK in page.todo
    assert page.todo.endswith(deadline)
    assert "blue 75 %, green 25 %" in page.done


def test_a_run_that_failed_while_its_rollout_stands_names_the_task_to_clear() -> None:
    page = failed(replace(ROLLOUT, phase=Phase.SHIFTING, moved_at=NOW))
    assert CLEAR in page.todo
    assert BACK in page.todo


def test_a_rollout_has_one_page_for_its_end_and_another_for_its_hold() -> None:
    ended = ended_badly_page(replace(ROLLOUT, phase=Phase.ROLLED_BACK))
    assert ended.key == ended_badly_page(replace(ROLLOUT, phase=Phase.NEEDS_ATTENTION)).key
    assert ended.key != held_page(ROLLOUT, "why").key
