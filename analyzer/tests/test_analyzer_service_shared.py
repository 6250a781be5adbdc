"""Several processes on one PostgreSQL and one Valkey, and these go away in the middle of load."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import httpx
import psycopg
import pytest
import redis
from analyzer_clients import KEYS, SETTINGS, eventually, trained, unsure_values
from analyzer_servers import APPLICATION_ROLE, ValkeyServer, new_database, running
from postgres_server import PostgresServer, start_postgres

from analyzer.service.app import create_app
from analyzer.settings import Settings

BUILTIN = create_app(SETTINGS).state.runtime.registry.builtin
ARMS = {"arms": [{"version": BUILTIN, "weight": 1}, {"version": "billing-1", "weight": 1}]}


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server for one test, which crashes it."""
    with start_postgres(tmp_path_factory.mktemp("own-postgres")) as server:
        yield server


@pytest.fixture
def shared(database_url: str, valkey: ValkeyServer) -> Settings:
    return replace(SETTINGS, database_url=database_url, redis_url=valkey.url)


async def post(client: httpx.AsyncClient, path: str, body: object) -> httpx.Response:
    return await client.post(path, json=body, headers=KEYS)


async def health(client: httpx.AsyncClient, part: str, status: str) -> None:
    """Waits until the detailed health says so of a part."""
    await eventually(
        lambda: client.get("/health/detailed"), lambda body: body["checks"][part]["status"] == status
    )


async def test_an_experiment_is_the_same_in_all_processes_and_rolls_from_one_version_to_the_other(
    shared: Settings,
) -> None:
    async with running(create_app(shared)) as one, running(create_app(shared)) as two:
        await trained(one, "billing-1")
        await post(one, "/ab/enable", ARMS)
        await eventually(lambda: two.get("/stats", headers=KEYS), lambda body: body["experiment"] is not None)
        bodies = list(islice(unsure_values(), 100))
        served = [
            [(await post(client, "/analyze", body)).json()["model_version"] for client in (one, two)]
            for body in bodies
        ]
        assert all(first == second for first, second in served)
        counted = Counter(first for first, _ in served)

        def all_counted(body: object) -> bool:
            assert isinstance(body, dict)
            arms = {arm["version"]: arm["verdicts"] for arm in body["experiment"]["arms"]}
            return arms == {name: 2 * counted[name] for name in (BUILTIN, "billing-1")}

        for client in (one, two):
            await eventually(lambda client=client: client.get("/stats", headers=KEYS), all_counted)
        assert (await post(two, "/ab/promote", {"version": "billing-1"})).status_code == 200
        await eventually(lambda: one.get("/version"), lambda body: body["model_version"] == "billing-1")
        assert {(await post(one, "/analyze", body)).json()["model_version"] for body in bodies} == {
            "billing-1"
        }


async def test_a_verdict_of_one_process_is_remembered_by_the_other_until_the_version_changes(
    shared: Settings, valkey: ValkeyServer
) -> None:
    async with running(create_app(shared)) as one, running(create_app(shared)) as two:
        body = next(unsure_values())
        await post(one, "/analyze", body)
        await post(two, "/analyze", body)
        assert (await two.get("/stats", headers=KEYS)).json()["cache"] == {"hits": 1, "misses": 0}
        await trained(one, "billing-1")
        await post(one, "/versions/activate", {"version": "billing-1"})
        with redis.Redis.from_url(valkey.url) as client:
            assert list(client.scan_iter("analyzer:verdict:*")) == []


async def test_what_is_no_verdict_in_the_cache_is_not_believed(
    shared: Settings, valkey: ValkeyServer
) -> None:
    body = next(unsure_values())
    async with running(create_app(shared)) as one:
        verdict = (await post(one, "/analyze", body)).json()
    with redis.Redis.from_url(valkey.url) as client:
        for key in client.scan_iter("analyzer:verdict:*"):
            client.set(key, b'{"is_secret": "maybe"}')
    async with running(create_app(shared)) as two:
        assert (await post(two, "/analyze", body)).json() == verdict


async def test_a_key_and_its_end_reach_all_processes_and_its_rate_is_one(shared: Settings) -> None:
    limited = replace(shared, rate_limit="20/minute")
    async with running(create_app(limited)) as one, running(create_app(limited)) as two:
        made = (await post(one, "/keys", {"client": "shop", "scopes": ["analyze"]})).json()
        header = {"X-API-KEY": made["key"]}

        async def analysed(client: httpx.AsyncClient) -> httpx.Response:
            return await client.post("/analyze", json={"secret_value": "a"}, headers=header)

        first = await eventually(lambda: analysed(two), lambda body: "is_secret" in body)
        assert first["is_secret"] is False
        statuses = [(await analysed(client)).status_code for client in (one, two) * 12]
        assert statuses[:19] == [200] * 19
        assert statuses[19:] == [429] * 5
        assert (await one.delete(f"/keys/{made['id']}", headers=KEYS)).status_code == 204
        assert (await analysed(one)).status_code == 401
        await eventually(lambda: analysed(two), lambda body: "unknown" in body.get("detail", ""))


async def test_without_redis_analysis_goes_on_and_the_outage_is_seen(
    shared: Settings, valkey: ValkeyServer
) -> None:
    async with running(create_app(shared)) as client:
        bodies = unsure_values()
        for _ in range(20):
            assert (await post(client, "/analyze", next(bodies))).status_code == 200
        load = asyncio.create_task(_load(client, 300))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(valkey.kill)
        await health(client, "cache", "degraded")
        body = (await client.get("/health/detailed")).json()
        assert (body["status"], (await client.get("/readiness")).status_code) == ("degraded", 200)
        assert 'llm_dependency_up{dependency="cache"} 0.0' in (await client.get("/metrics")).text
        limited = await post(client, "/analyze", next(bodies))
        assert "ratelimit-remaining" in limited.headers
        assert await load == Counter({200: 300})
        await asyncio.to_thread(valkey.start)
        await health(client, "cache", "healthy")
        assert 'llm_dependency_up{dependency="cache"} 1.0' in (await client.get("/metrics")).text


async def test_when_postgresql_crashes_under_load_nothing_that_was_acknowledged_is_lost(
    own_postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    database = new_database(own_postgres)
    url = own_postgres.dsn(database, user=APPLICATION_ROLE)
    settings = replace(SETTINGS, database_url=url, redis_url=valkey.url)
    async with running(create_app(settings)) as client:
        document = await trained(client, "billing-1")
        await post(client, "/versions/activate", {"version": "billing-1"})
        load = asyncio.create_task(_load(client, 500))
        registering = asyncio.create_task(_register(client, document, 60))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_postgres.crash)
        refused = await post(client, "/versions/create", {"name": "late", "model": document})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert (await post(client, "/train", {"rows": []})).status_code == 422
        await health(client, "database", "degraded")
        assert (await client.get("/version")).json()["model_version"] == "billing-1"
        stats = (await client.get("/stats", headers=KEYS)).json()
        assert stats["degraded"] is True
        assert await load == Counter({200: 500})
        await asyncio.to_thread(own_postgres.start)
        await health(client, "database", "healthy")
        acknowledged = await registering
        stats = await eventually(
            lambda: client.get("/stats", headers=KEYS),
            lambda body: not body["degraded"] and not body["pending"],
        )
        assert stats["verdicts"] == 500
    with psycopg.connect(own_postgres.dsn(database)) as connection:
        stored = {row[0] for row in connection.execute("SELECT name FROM analyzer.versions")}
        total = connection.execute("SELECT sum(verdicts) FROM analyzer.counts").fetchone()
    assert acknowledged
    assert acknowledged <= stored
    assert total == (500,)


async def test_the_service_starts_without_its_database_and_finds_it_later(
    own_postgres: PostgresServer,
) -> None:
    url = own_postgres.dsn(new_database(own_postgres), user=APPLICATION_ROLE)
    await asyncio.to_thread(own_postgres.crash)
    async with running(create_app(replace(SETTINGS, database_url=url))) as client:
        body = (await client.get("/health/detailed")).json()
        assert (body["status"], body["checks"]["database"]["status"]) == ("degraded", "degraded")
        assert (await post(client, "/analyze", {"secret_value": "a"})).status_code == 200
        await asyncio.to_thread(own_postgres.start)
        await health(client, "database", "healthy")
        assert (await client.get("/stats", headers=KEYS)).json()["verdicts"] == 1


async def test_a_model_that_is_broken_in_the_database_never_serves(
    own_postgres: PostgresServer,
) -> None:
    database = new_database(own_postgres)
    url = own_postgres.dsn(database, user=APPLICATION_ROLE)
    async with running(create_app(replace(SETTINGS, database_url=url))) as client:
        await trained(client, "billing-1")
        await post(client, "/versions/activate", {"version": "billing-1"})
    with psycopg.connect(own_postgres.dsn(database)) as connection:
        connection.execute("""UPDATE analyzer.versions SET document = '{"format": 7}', sha256 = 'x'""")
    async with running(create_app(replace(SETTINGS, database_url=url))) as client:
        body = (await client.get("/health/detailed")).json()
        assert (body["status"], body["checks"]["model"]["status"]) == ("degraded", "degraded")
        verdict = (await post(client, "/analyze", next(unsure_values()))).json()
        assert verdict["model_version"] == BUILTIN
        listed = (await client.get("/versions", headers=KEYS)).json()
        assert "newer than this service reads" in listed["versions"][1]["problem"]
        assert (await post(client, "/ab/enable", ARMS)).status_code == 409


async def _load(client: httpx.AsyncClient, count: int) -> Counter[int]:
    """Statuses of so many analyses, about 100 a second, each of another value."""
    statuses: Counter[int] = Counter()
    for body in islice(unsure_values(seed=99), count):
        statuses[(await post(client, "/analyze", body)).status_code] += 1
        await asyncio.sleep(0.01)
    return statuses


async def _register(client: httpx.AsyncClient, document: object, count: int) -> set[str]:
    """Names of the versions whose creation was acknowledged."""
    acknowledged = set()
    for number in range(count):
        name = f"v{number}"
        answer = await post(client, "/versions/create", {"name": name, "model": document})
        assert answer.status_code in {201, 503}, answer.text
        if answer.status_code == 201:
            acknowledged.add(name)
        await asyncio.sleep(0.05)
    return acknowledged
