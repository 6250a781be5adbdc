"""What users see of healthy promotions: every request through the gateway is counted.

Promotions go back and forth meanwhile, and each takes the old colour away as soon as it may. Beside it stands
the control: the same with pods that do not drain must lose requests, or nobody looked.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import yaml
from delivery_load import Sent, sending
from delivery_table import RELEASING, Options, Row
from own_platform import own_platform
from promoting import placed
from releasing import Place

from local_platform.layout import CHECKOUT
from platform_ops.core.release import Release
from platform_ops.core.state import Phase

RATE = 200
"""Requests a second."""
CONTROL = 20_000
"""Requests of the control: three promotions or so."""
AT_ONCE = {"bake": timedelta(0), "warm": timedelta(0)}
"""The old colour goes as soon as the new one is promoted, while slow requests to it are still under way."""


@dataclass
class Counted:
    """What came of the requests of one run."""

    requests: int = 0
    failed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    promotions: int = 0

    def count(self, sent: Sent) -> None:
        for record in sent.records():
            self.requests += 1
            self.kinds[record.kind] += 1
            if record.failed:
                self.failed += 1
                self.errors[f"{record.kind}: {record.error or record.status}"] += 1

    @property
    def mix(self) -> str:
        return ", ".join(f"{number} {kind}" for kind, number in sorted(self.kinds.items()))

    @property
    def words(self) -> str:
        errors = "".join(f"; {number} {what}" for what, number in self.errors.most_common(3))
        return f"{self.failed} of {self.requests} ({self.mix}){errors}"


def measure(options: Options) -> list[Row]:
    with own_platform() as platform, tempfile.TemporaryDirectory() as name:
        platform.up(*RELEASING)
        folder = Path(name)
        without = str(without_draining(folder / "manifests"))
        drained = asyncio.run(_counted(placed(platform, folder), options.requests))
        number = min(CONTROL, options.requests)
        cut = asyncio.run(_counted(placed(platform, folder, manifests=without), number))
    return [
        Row(
            f"failed requests in {drained.promotions} healthy promotions",
            drained.words,
            "0",
            drained.failed == 0 and drained.promotions > 0,
        ),
        Row(
            f"the same without draining, {cut.promotions} promotions",
            cut.words,
            "more than 0, or the row above shows nothing",
            cut.failed > 0,
        ),
    ]


def without_draining(folder: Path) -> Path:
    """The manifests with pods that end at the very moment when they are deleted."""
    shutil.copytree(CHECKOUT / "include/config/manifests", folder)
    path = folder / "colour.yaml"
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for one in documents:
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            pod["terminationGracePeriodSeconds"] = 0
            pod["containers"][0]["env"].append({"name": "FM_DRAIN_SECONDS", "value": "0"})
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return folder


async def _counted(desk: AbstractAsyncContextManager[Place], number: int) -> Counted:
    """Two releases take turns until so many requests were answered and the promotion on the way is over."""
    counted = Counted()
    async with desk as place:
        releases = [(await place.serving())[0], await place.built()]
        with sending(place, RATE) as sent:
            while sent.number() < number:
                releases.reverse()
                await _promoted(place, releases[0])
                counted.promotions += 1
        counted.count(sent)
    return counted


async def _promoted(place: Place, release: Release) -> None:
    view = await place.drive(await place.open(release, **AT_ONCE), Phase.RECLAIMED)
    assert view.phase is Phase.RECLAIMED, f"a healthy release ended in {view}"
