"""Which earlier release one may go back to, and how; when the old colour may go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import MIDNIGHT
from hand_scenes import ROLLOUT
from rollout_scenes import PLAN, TARGET, V1, V2, V3, release

from platform_ops.core.errors import GateClosed
from platform_ops.core.returning import release_to_return_to, returning
from platform_ops.core.state import Hold, Phase, Wish
from platform_ops.core.warm import reclaim_refusal

SERVED = (release(V3), release(V1))


@pytest.mark.parametrize("typed", [release(V1).name, V1], ids=["name", "digest"])
def test_a_release_that_served_there_comes_back(typed: str) -> None:
    assert release_to_return_to(TARGET, typed, SERVED, V3) == release(V1)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        pytest.param(release(V3).name, f"serves in {TARGET.key} already", id="serves-now"),
        pytest.param(release(V2).name, "never served in", id="never-served"),
    ],
)
def test_any_other_is_refused_and_the_ones_there_are_listed(typed: str, said: str) -> None:
    with pytest.raises(GateClosed, match=said) as refused:
        release_to_return_to(TARGET, typed, SERVED, V3)
    assert release(V1).name in str(refused.value)


def test_it_comes_by_one_switch_and_no_metric_takes_it_forward_again() -> None:
    plan = returning(PLAN)
    assert [step.weight for step in plan.steps] == [100]
    assert (plan.bake, plan.triggers) == (timedelta(0), ())
    assert (plan.warm, plan.checks, plan.replicas) == (PLAN.warm, PLAN.checks, PLAN.replicas)


WARM = replace(ROLLOUT, phase=Phase.WARM)


@pytest.mark.parametrize(
    ("rollout", "after", "said"),
    [
        pytest.param(None, timedelta(0), "nothing is left to reclaim", id="nothing"),
        pytest.param(replace(WARM, phase=Phase.BAKING), timedelta(days=2), "is in Baking", id="on-its-way"),
        pytest.param(WARM, timedelta(hours=23), "stays warm until 2026-01-02 00:00:00 UTC", id="early"),
        pytest.param(
            replace(WARM, hold=Hold("oncall", "odd", MIDNIGHT)),
            timedelta(days=2),
            "held by oncall",
            id="held",
        ),
        pytest.param(
            replace(WARM, wish=Wish("oncall", "bad", MIDNIGHT)),
            timedelta(days=2),
            "go back to blue",
            id="wish",
        ),
        pytest.param(WARM, timedelta(days=1), "", id="over"),
    ],
)
def test_the_old_colour_may_go_after_its_window_only(rollout: object, after: timedelta, said: str) -> None:
    refusal = reclaim_refusal(rollout, "llm-service production", MIDNIGHT + after)  # type: ignore[arg-type]
    assert said in refusal if said else refusal == ""
