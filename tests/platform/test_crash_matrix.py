"""The crash matrix: whatever dies, wherever the holder stands, traffic ends in a known place (scenario D13).

`make test` runs a sample; `make test-long` runs all of it, and writes a page with a row a case.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep

import pytest
from crash_cases import MATRIX, SAMPLE, Case
from crash_results import Row, append, read, source_hash, write_page
from crashing import holders, judge, strike
from own_platform import OwnPlatform
from releasing import SERVICE, Place, page_ids

from platform_ops.core.paging import page_key
from platform_ops.core.state import Phase

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

CHANNEL = f"#{SERVICE}-alerts"
OWED: list[str] = []
"""Keys of the pages of the rollbacks of these cases."""


@pytest.fixture(scope="module")
def with_standby(platform: OwnPlatform) -> Iterator[OwnPlatform]:
    """The platform's own standby runs besides. At the end each rollback of these cases was paged, once: the
    standby does it a minute after it ended, since no run of Airflow watched."""
    platform.up("controller")
    OWED.clear()
    yield platform
    try:
        paged = _arrived(platform, OWED)
        assert paged == dict.fromkeys(OWED, 1), f"pages that arrived, and how often: {paged}"
    finally:
        platform.kill("controller")
        if rows := read():
            print(f"crash matrix: {write_page(rows.values(), len(MATRIX))}")


def _arrived(platform: OwnPlatform, owed: list[str]) -> dict[str, int]:
    """How often each page that is owed came, once all are there or two minutes are over."""
    deadline = monotonic() + 120
    while True:
        seen = page_ids(platform.pages(CHANNEL))
        if set(owed) <= set(seen) or monotonic() > deadline:
            return {key: seen.count(key) for key in owed}
        sleep(1)


async def tried(platform: OwnPlatform, place: Place, case: Case) -> None:
    began = monotonic()
    known = {"case": case.id, "release": case.release, "victim": case.victim.value, "point": case.point.what}
    try:
        struck = await strike(platform, place, case)
        problems = await judge(place, case.defect is not None, struck)
    except BaseException as error:
        append(Row(**known, source=source_hash(), passed=False, end="", why=f"{error!r}"))
        raise
    rollout = await place.desk.ledger.rollouts.get(struck.rollout_id)
    if rollout.phase is Phase.ROLLED_BACK:
        OWED.append(page_key(SERVICE, "production", rollout.run_id))
    append(
        Row(
            **known,
            source=source_hash(),
            passed=not problems,
            end=rollout.phase.value,
            holders=holders(await place.journal(struck.rollout_id)),
            takeover=struck.takeover,
            failed_requests=struck.failed,
            requests=struck.requests,
            seconds=monotonic() - began,
            why="; ".join(problems),
        )
    )
    assert not problems, problems


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.id)
async def test_traffic_ends_in_a_known_place(with_standby: OwnPlatform, place: Place, case: Case) -> None:
    await tried(with_standby, place, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in MATRIX if case not in SAMPLE], ids=lambda case: case.id)
async def test_traffic_ends_in_a_known_place_everywhere(
    with_standby: OwnPlatform, place: Place, case: Case
) -> None:
    await tried(with_standby, place, case)
