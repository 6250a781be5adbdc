"""The platform that the tests start: it answers, survives the kill of a part, and leaves nothing behind."""

from __future__ import annotations

import stat

import httpx
import pytest
from own_platform import OwnPlatform, own_platform

pytestmark = pytest.mark.platform


def test_every_part_that_a_release_touches_answers(platform: OwnPlatform) -> None:
    health = {one.part.name: one.state for one in platform.supervisor.status()}
    assert {name for name, state in health.items() if state == "failing"} == set()
    assert {"postgres", "registry", "cluster", "node", "gateway", "prometheus", "inbox", "s3"} <= {
        name for name, state in health.items() if state == "up"
    }


def test_its_folder_is_readable_by_nobody_else(platform: OwnPlatform) -> None:
    assert stat.S_IMODE(platform.state.stat().st_mode) == 0o700


def test_a_killed_part_starts_again_and_nothing_of_it_ran_meanwhile() -> None:
    with own_platform() as platform:
        platform.up("inbox")
        before = platform.pids("inbox")
        platform.kill("inbox")
        assert platform.pids("inbox") == []
        platform.up("inbox")
        assert set(before).isdisjoint(platform.pids("inbox"))
        assert httpx.get(f"{platform.url('inbox')}/healthz", trust_env=False).status_code == 200
    assert platform.left_over() == []
