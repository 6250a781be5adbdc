"""Who is let in: freeze windows, open incidents, staging's state; and who is let in all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes import MIDNIGHT

from platform_ops.core.admission import Circumstances, StagingSeen, admission, refused, unknown_fixes
from platform_ops.core.freeze import Moment, Window
from platform_ops.core.gates import OF_THE_ENVIRONMENT, Required
from platform_ops.core.incidents import Incident

EVERYTHING = Required(OF_THE_ENVIRONMENT)
GOOD = Circumstances("web", "production", "1.0.0-c0ffee00", staging=StagingSeen(True, ()))
FROZEN = Window("new year", Moment.parse("2025-12-20 00:00"), Moment.parse("2026-01-04 00:00"), UTC)
BROKEN = Incident("INC-7", "web", "production", "users see errors", "oncall", MIDNIGHT - timedelta(hours=1))
UNWELL = StagingSeen(True, ("GET /health: 503 instead of 200",))


def reasons(
    seen: Circumstances, required: Required = EVERYTHING, now: datetime = MIDNIGHT
) -> tuple[str, ...]:
    return refused(admission(required, seen, now))


def test_nothing_is_refused_when_all_is_well() -> None:
    assert [verdict.outcome for verdict in admission(EVERYTHING, GOOD, MIDNIGHT)] == ["passed"] * 3
    assert reasons(GOOD) == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"windows": (FROZEN,)},
            ["freeze window new year until 2026-01-04 00:00 UTC", "promote again after it"],
        ),
        (
            {"incidents": (BROKEN,)},
            ["INC-7 is open since 2025-12-31 23:00 UTC (users see errors)", "--fixes INC-7"],
        ),
        ({"incidents": (replace(BROKEN, environment=None),)}, ["ops incident close INC-7"]),
        (
            {"incidents": (replace(BROKEN, environment="staging"),)},
            ["staging is not healthy, INC-7 is open there"],
        ),
        ({"staging": UNWELL}, ["GET /health: 503 instead of 200", "ops status web staging"]),
        ({"staging": StagingSeen(False, ())}, ["1.0.0-c0ffee00 is not verified in staging (any more)"]),
        ({"staging": None}, ["staging was not looked at, and that is no pass"]),
    ],
)
def test_each_reason_says_what_to_do(changed: dict[str, object], words: list[str]) -> None:
    (reason,) = reasons(replace(GOOD, **changed))
    assert [part for part in words if part not in reason] == []


def test_all_reasons_are_told_at_once() -> None:
    seen = replace(GOOD, windows=(FROZEN,), incidents=(BROKEN,), staging=UNWELL)
    assert len(reasons(seen)) == 3


def test_what_the_environment_does_not_require_is_not_asked() -> None:
    seen = replace(GOOD, windows=(FROZEN,), incidents=(BROKEN,), staging=None)
    assert reasons(seen, Required(("lint",))) == ()


def test_an_incident_of_another_environment_is_not_ours() -> None:
    assert reasons(replace(GOOD, environment="development", incidents=(BROKEN,))) == ()


def test_a_release_that_fixes_the_incident_is_let_in_and_that_is_told() -> None:
    other = replace(BROKEN, id="INC-8")
    assert reasons(replace(GOOD, incidents=(BROKEN,), fixes=("INC-7",))) == ()
    (reason,) = reasons(replace(GOOD, incidents=(BROKEN, other), fixes=("INC-7",)))
    assert reason.startswith("INC-8")
    verdicts = admission(EVERYTHING, replace(GOOD, incidents=(BROKEN,), fixes=("INC-7",)), MIDNIGHT)
    assert [words for verdict in verdicts for words in verdict.waived] == [
        "INC-7 (users see errors): admitted, since it removes the cause"
    ]


def test_a_fix_opens_no_freeze_window_and_heals_no_staging() -> None:
    seen = replace(GOOD, windows=(FROZEN,), staging=UNWELL, incidents=(BROKEN,), fixes=("INC-7",))
    assert len(reasons(seen)) == 2


@pytest.mark.parametrize("way", ["hotfix", "going_back"])
def test_a_hotfix_and_going_back_are_let_in_with_every_reason_told(way: str) -> None:
    seen = replace(GOOD, windows=(FROZEN,), incidents=(BROKEN,), staging=UNWELL, **{way: True})
    verdicts = admission(EVERYTHING, seen, MIDNIGHT)
    assert refused(verdicts) == ()
    assert [len(verdict.waived) for verdict in verdicts] == [1, 1, 1]


def test_a_fix_of_no_incident_is_noticed() -> None:
    assert unknown_fixes(["INC-7", "INC-9"], [BROKEN]) == ("INC-9",)
