"""Twenty promotions of one service asked for at once, each over connections of its own."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from delivery_table import Options, Row
from own_platform import OwnPlatform, own_platform
from promoting import placed
from releasing import SERVICE, Place

from platform_ops.core.errors import Held
from platform_ops.core.records import Promotion
from platform_ops.core.release import Release

ASKED = 20


def measure(options: Options) -> list[Row]:
    with own_platform() as platform, tempfile.TemporaryDirectory() as folder:
        platform.up("ledger", "objects")
        return asyncio.run(_asked(platform, Path(folder)))


async def _asked(platform: OwnPlatform, folder: Path) -> list[Row]:
    async with AsyncExitStack() as stack:
        places = [await stack.enter_async_context(placed(platform, folder)) for _ in range(ASKED)]
        promotions = [await _promotion(place) for place in places]
        outcomes = await asyncio.gather(
            *(
                place.desk.controller.open(place.request(promotion))
                for place, promotion in zip(places, promotions, strict=True)
            ),
            return_exceptions=True,
        )
        target = places[0].target
        active = await places[0].desk.ledger.rollouts.active(target.service, target.environment)
        every = await places[0].desk.ledger.rollouts.of(target.service, target.environment)
    assert active is not None, outcomes
    named = (active.release.name, active.run_id, active.requested_by)
    told = [one for one in outcomes if isinstance(one, Held) and all(word in str(one) for word in named)]
    figure = f"{len(every)} active, {len(told)} told which release, run and person hold it"
    met = len(every) == 1 and len(told) == ASKED - 1
    return [Row(f"{ASKED} promotions of one service asked for at once", figure, "1 and 19", met)]


async def _promotion(place: Place) -> Promotion:
    """Of a release of its own. No image is needed: nothing is deployed."""
    release = Release(SERVICE, "1.0.0", secrets.token_hex(20), f"sha256:{secrets.token_hex(32)}")
    await place.desk.ledger.releases.add(release, built_by_run="bench")
    return await place.promotion(release)
