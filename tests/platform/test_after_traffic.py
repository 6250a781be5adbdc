"""After the traffic: going back in the warm window and outside of it, by both routers, and by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from conftest import CATALOG, Ground
from releasing import ONE_SWITCH, SERVICE, Place, until

from platform_ops import wiring
from platform_ops.controller.returning import Wanted
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase

pytestmark = pytest.mark.platform

AT_ONCE = {"steps": ONE_SWITCH, "bake": timedelta(0)}


@dataclass
class ServicePlace(Place):
    """Where the selector of the Service is what moves traffic."""

    def weights(self) -> Weights:
        found = json.loads(self.run_kubectl("get", "service", SERVICE, "--output=json"))
        return Weights.towards(Colour(found["spec"]["selector"]["version"]), 100)


@pytest.fixture
async def service_place(ground: Ground, tmp_path: Path) -> AsyncIterator[Place]:
    """Staging, with the Service router in its catalog."""
    catalog = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
    entry = catalog["services"][SERVICE]["environments"]["staging"]
    entry["strategy"] = {"kind": "blue_green_switch", "router": "service", "deploy_deadline": "PT2M"}
    path = tmp_path / "services.yaml"
    path.write_text(yaml.safe_dump(catalog), encoding="utf-8")
    async with wiring.connect(replace(ground.settings, catalog=str(path), state="")) as desk:
        target = desk.catalog.target(SERVICE, "staging")

        def kubectl(*arguments: str) -> list[str]:
            return [*ground.kubectl, f"--namespace={target.namespace}", *arguments]

        yield ServicePlace(desk, target, ground.settings.gateway_url or target.url, kubectl, tmp_path)


@asynccontextmanager
async def standing_by(place: Place) -> AsyncIterator[None]:
    """`ops controller` inside of this process."""
    stop = asyncio.Event()
    watch = place.desk.handwork("standby").watch
    work = asyncio.create_task(place.desk.controller.standby("standby", stop, (watch,)))
    try:
        yield
    finally:
        stop.set()
        await work


def point_at(place: Place, colour: Colour) -> None:
    """The emergency procedure of the pipeline guide, with our name of the Service."""
    patch = json.dumps({"spec": {"selector": {"version": colour.value}}})
    place.run_kubectl("patch", "service", SERVICE, "-p", patch)


def moment(journal: tuple[Entry, ...], kind: str, what: str) -> Entry:
    return next(entry for entry in journal if (entry.kind, entry.what) == (kind, what))


def say_how_long(name: str, journal: tuple[Entry, ...], asked: str) -> None:
    """The figures of the log: nothing is asserted about them."""
    began = moment(journal, "note", asked).at
    after = [entry for entry in journal if entry.at >= began]
    shifted = moment(tuple(after), "done", "Shift").at if any(e.what == "Shift" for e in after) else began
    proven = moment(tuple(after), "done", "VerifyOld").at
    seconds = [(at - began).total_seconds() for at in (shifted, proven)]
    print(f"{name}: old colour at 100 % after {seconds[0]:.1f} s, proven after {seconds[1]:.1f} s")


async def over(place: Place, rollout_id: str) -> bool:
    return (await place.desk.ledger.rollouts.get(rollout_id)).phase is Phase.ROLLED_BACK


async def told(place: Place, words: str) -> bool:
    pages = await place.desk.ledger.outbox.of(SERVICE, place.target.environment)
    return any(words in f"{one.page.happened} {one.page.done}" for one in pages)


async def test_a_promotion_and_a_rollback_by_the_selector_of_a_service(service_place: Place) -> None:
    place = service_place
    old, old_colour = await place.serving()
    new = await place.built()
    async with place.traffic() as traffic:
        rollout_id = await place.open(new, **AT_ONCE)
        assert (await place.drive(rollout_id, Phase.WARM)).phase is Phase.WARM
        assert place.weights() == Weights.towards(old_colour.other, 100)
        await place.desk.controller.go_back(rollout_id, by="oncall", why="wrong results")
        view = await place.drive(rollout_id, Phase.ROLLED_BACK)
    assert view.phase is Phase.ROLLED_BACK
    assert traffic.failed == []
    assert place.weights() == Weights.towards(old_colour, 100)
    journal = await place.journal(rollout_id)
    confirmed = [e.why for e in journal if (e.kind, e.what) == ("done", "Confirm")]
    assert confirmed == [f"20 x {old_colour.other}", f"20 x {old_colour}"]
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}
    say_how_long("rollback by the Service's selector", journal, "RequestRollback")


async def test_d19_a_selector_patched_by_hand_takes_the_service_back(service_place: Place) -> None:
    place = service_place
    old, old_colour = await place.serving()
    rollout_id = await place.open(await place.built(), **AT_ONCE)
    assert (await place.drive(rollout_id, Phase.WARM)).phase is Phase.WARM
    async with standing_by(place):
        point_at(place, old_colour)
        await until("it went back", lambda: over(place, rollout_id))
        point_at(place, old_colour.other)
        await until("the patch to nothing is put back", lambda: told(place, "is not deployed"))
    assert place.weights() == Weights.towards(old_colour, 100)
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}


async def test_d19_the_emergency_procedure_takes_the_users_back_and_other_hands_are_put_back(
    place: Place,
) -> None:
    old, old_colour = await place.serving()
    rollout_id = await place.open(await place.built(), **AT_ONCE)
    assert (await place.drive(rollout_id, Phase.WARM)).phase is Phase.WARM
    serving = f"deployment/{place.target.deployment(old_colour)}"
    async with standing_by(place):
        point_at(place, old_colour)
        await until("the users are back", lambda: over(place, rollout_id))
        place.run_kubectl("scale", serving, "--replicas=3")
        answer = await _health(place)
        assert answer.status_code == 200
        assert answer.headers["x-platform-colour"] == old_colour.value
        stranger = await place.built()
        image = place.desk.images.reference(SERVICE, stranger.digest)
        place.run_kubectl("set", "image", serving, f"{SERVICE}={image}")
        await until("the unapproved image is gone", lambda: told(place, f"again as {old.name}"))
        place.run_kubectl("scale", serving, "--replicas=1")
        await until("the size is back", lambda: told(place, "is scaled to 2"))
    assert place.weights() == Weights.towards(old_colour, 100)
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}
    journal = await place.journal(rollout_id)
    say_how_long("kubectl patch service", journal, "RequestRollback")
    by_hand = [e.what for e in journal if e.kind == "intent" and e.what.startswith("ByHand")]
    assert by_hand == ["ByHandGoBack", "ByHandNote", "ByHandApply", "ByHandScale"]


async def test_d9_an_old_colour_that_was_scaled_away_is_ready_before_it_gets_traffic(place: Place) -> None:
    _, old_colour = await place.serving()
    rollout_id = await place.open(await place.built(), **AT_ONCE)
    assert (await place.drive(rollout_id, Phase.WARM)).phase is Phase.WARM
    place.run_kubectl("scale", f"deployment/{place.target.deployment(old_colour)}", "--replicas=0")
    async with place.traffic() as traffic:
        await place.desk.controller.go_back(rollout_id, by="oncall", why="wrong results")
        view = await place.drive(rollout_id, Phase.ROLLED_BACK)
    assert view.phase is Phase.ROLLED_BACK
    assert traffic.failed == []
    done = [e.what for e in await place.journal(rollout_id) if e.kind == "done"]
    back = done[done.index("BeginRollback") :]
    assert back.index("ScaleUpOld") < back.index("Shift")


async def test_a_rollback_to_a_named_release_outside_of_the_warm_window(place: Place) -> None:
    _, colour = await place.serving()
    for _ in range(2):
        promotion = await place.promotion(await place.built())
        request = place.request(promotion, **AT_ONCE, warm=timedelta(0))
        rollout_id = await place.desk.controller.open(request)
        assert (await place.drive(rollout_id, Phase.RECLAIMED)).phase is Phase.RECLAIMED
        await place.desk.ledger.promotions.finish(promotion.id, "promoted")
    left = place.deployments()[place.target.deployment(colour)]
    earlier = await place.desk.ledger.promotions.verified(SERVICE, place.target.environment)
    back_to = earlier[1]
    wanted = Wanted(place.target, back_to.name, "oncall", "figures", "rollback_by_hand", rollout_id)
    async with place.traffic() as traffic:
        way = await place.desk.returns.begin(wanted)
        view = await place.drive(way.rollout_id, way.goal)
        assert view.phase is Phase.PROMOTED, view
        assert await place.desk.returns.prove(way.rollout_id) == []
    assert traffic.failed == []
    deployed = place.deployments()
    assert deployed[place.target.deployment(view.rollout.colour)] == back_to.digest
    assert deployed[place.target.deployment(view.rollout.old)] == left, "what was left stays warm"
    assert place.weights() == Weights.towards(view.rollout.colour, 100)
    journal = await place.journal(way.rollout_id)
    took = moment(journal, "done", "Confirm").at - moment(journal, "note", "Open").at
    print(f"back to a named release: {took.total_seconds():.1f} s from the wish to all traffic")


async def _health(place: Place) -> httpx.Response:
    """`curl -f https://…/health`"""
    host = urlsplit(place.target.url).netloc
    async with httpx.AsyncClient(trust_env=False, headers={"Host": host}) as client:
        return await client.get(f"{place.gateway_url}/health")
