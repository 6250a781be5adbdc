"""Releases that are good, that fail before the traffic, and that fail after it: judged from outside."""

from __future__ import annotations

from datetime import timedelta

import pytest
from releasing import ONE_SWITCH, Defect, Place, done, shares

from platform_ops.core.errors import NotApproved
from platform_ops.core.ports import Fence
from platform_ops.core.release import Weights
from platform_ops.core.state import Phase

pytestmark = [pytest.mark.platform, pytest.mark.cluster]


async def test_a_good_release_takes_the_traffic_step_by_step_and_no_request_fails(place: Place) -> None:
    old, old_colour = await place.serving()
    new = await place.built()
    with place.watched() as seen:
        async with place.traffic() as traffic:
            view = await place.drive(await place.open(new))
    assert view.phase is Phase.PROMOTED
    assert shares(seen, view.rollout.colour) == [0, 5, 25, 50, 100]
    assert traffic.failed == []
    assert {record.colour for record in traffic.records} == {"blue", "green"}
    assert set(await place.colours()) == {f"{view.rollout.colour} 200"}
    deployed = place.deployments()
    assert deployed[place.target.deployment(view.rollout.colour)] == new.digest
    assert deployed[place.target.deployment(old_colour)] == old.digest, "the old colour stays warm"


async def test_a_preview_that_fails_a_check_never_gets_traffic_and_is_removed(place: Place) -> None:
    """Scenario D1."""
    old, old_colour = await place.serving()
    bad = await place.built(Defect.CHECK_FAILS)
    with place.watched() as seen:
        async with place.traffic() as traffic:
            view = await place.drive(await place.open(bad))
    assert view.phase is Phase.ROLLED_BACK
    assert "/api/metrics: 500 instead of 200" in view.reason
    assert seen == [Weights.towards(old_colour, 100)]
    assert {record.colour for record in traffic.records} == {old_colour.value}
    assert traffic.failed == []
    assert place.running(old_colour.other) == []
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}


async def test_a_check_that_fails_after_the_switch_brings_the_old_version_back_and_proves_it(
    place: Place,
) -> None:
    """Scenario D2, in the order of the promotion's tasks roll_out and verify_active."""
    old, old_colour = await place.serving()
    bad = await place.built(Defect.FAILS_FOR_USERS)
    with place.watched() as seen:
        rollout_id = await place.open(bad, steps=ONE_SWITCH, bake=timedelta(0))
        assert (await place.drive(rollout_id)).phase is Phase.PROMOTED
        failures = await place.desk.controller.check_active(rollout_id)
        assert failures == ["GET /api/metrics: 500 instead of 200"]
        why = "; ".join(failures)
        await place.desk.controller.request_rollback(rollout_id, by="verify_active", why=why)
        view = await place.drive(rollout_id, Phase.ROLLED_BACK)
    assert view.phase is Phase.ROLLED_BACK
    assert shares(seen, old_colour) == [100, 0, 100]
    assert set(await place.colours()) == {f"{old_colour} 200"}
    proof = done(await place.journal(rollout_id), "VerifyOld")
    assert [entry.why for entry in proof][-1] == f"2 checks passed on {old_colour}"
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}


async def test_an_image_that_does_not_start_is_removed_when_its_deadline_passes(place: Place) -> None:
    """Scenario D5."""
    old, old_colour = await place.serving()
    dead = await place.built(Defect.DOES_NOT_START)
    with place.watched() as seen:
        rollout_id = await place.open(dead, deploy_deadline=timedelta(seconds=6))
        view = await place.drive(rollout_id)
    assert view.phase is Phase.ROLLED_BACK
    assert "not ready within 6 s: 0 of" in view.reason
    assert seen == [Weights.towards(old_colour, 100)]
    assert place.running(old_colour.other) == []
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}
    assert set(await place.colours()) == {f"{old_colour} 200"}


async def test_nobody_gets_traffic_for_a_digest_that_was_not_approved(place: Place) -> None:
    _, old_colour = await place.serving()
    rollout_id = await place.open(await place.built(), approved=False)
    with place.watched() as seen:
        view = await place.drive(rollout_id, Phase.VERIFYING)
        by_hand = Fence(rollout_id, view.rollout.token)
        with pytest.raises(NotApproved, match="no approval"):
            await place.desk.router.shift(place.target, Weights.towards(old_colour.other, 5), by_hand)
        view = await place.drive(rollout_id)
    assert view.phase is Phase.ROLLED_BACK
    assert "Shift was refused" in view.reason
    assert seen == [Weights.towards(old_colour, 100)]
    assert place.running(old_colour.other) == []
