"""Both stores and both caches keep the same contract; the shared store's schema gives the least rights."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from analyzer_servers import APPLICATION_ROLE, ValkeyServer
from postgres_server import PostgresServer

from analyzer.storage import migrate as migration_module
from analyzer.storage.database import Database
from analyzer.storage.memory import MemoryCache, MemoryStore
from analyzer.storage.migrate import Migration, MigrationError, migrate, migrations
from analyzer.storage.ports import Store, VerdictCache
from analyzer.storage.postgres import PostgresStore
from analyzer.storage.records import (
    ApiKey,
    Arm,
    Conflict,
    Count,
    CountBatch,
    CountKey,
    JobStatus,
    ModelVersion,
    NotFound,
    Scope,
    StoreUnavailable,
    TrainingJob,
)
from analyzer.storage.redis_cache import RedisCache, TieredCache, connect

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = ApiKey("a" * 12, "shop", "0" * 64, frozenset({Scope.ANALYZE}), NOW)
COUNTED = CountKey(0, "rules", "GitHub Token", "critical", True)


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    else:
        made = PostgresStore(request.getfixturevalue("database_url"))
    await made.open()
    yield made
    await made.close()


@pytest.fixture(params=["memory", "redis", "tiered"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[VerdictCache]:
    made: VerdictCache = MemoryCache()
    if request.param != "memory":
        server: ValkeyServer = request.getfixturevalue("valkey")
        made = RedisCache(connect(server.url), 60)
        if request.param == "tiered":
            made = TieredCache(MemoryCache(), made)
    yield made
    await made.close()


def version(name: str) -> ModelVersion:
    return ModelVersion(name, {"format": 1, "weights": [0.5]}, "0" * 64, "upload", NOW, "admin", "a try")


def job() -> TrainingJob:
    return TrainingJob(uuid4(), JobStatus.QUEUED, 40, NOW, "admin", NOW)


async def test_a_version_is_kept_as_it_was_given_and_its_name_is_taken(store: Store) -> None:
    await store.create_version(version("one"))
    with pytest.raises(Conflict, match="'one' exists"):
        await store.create_version(replace(version("one"), description="another"))
    assert (await store.snapshot()).versions == {"one": version("one")}


async def test_one_experiment_runs_at_a_time_and_may_end_in_a_promotion(store: Store) -> None:
    await store.create_version(version("one"))
    arms = [Arm("one", 1), Arm("rules", 3)]
    started = await store.start_experiment(arms, NOW)
    assert (await store.snapshot()).experiment == started
    assert started.arms == tuple(arms)
    with pytest.raises(Conflict, match="runs already"):
        await store.start_experiment(arms, NOW)
    with pytest.raises(Conflict, match="end it first"):
        await store.activate("one")
    ended = await store.end_experiment(NOW + timedelta(hours=1), "one", "one")
    assert (ended.ended_at, ended.promoted) == (NOW + timedelta(hours=1), "one")
    snapshot = await store.snapshot()
    assert (snapshot.active, snapshot.experiment) == ("one", None)
    with pytest.raises(Conflict, match="no experiment runs"):
        await store.end_experiment(NOW, None, None)
    assert (await store.start_experiment(arms, NOW)).id > started.id


async def test_a_promotion_of_an_unknown_version_ends_nothing(store: Store) -> None:
    started = await store.start_experiment([Arm("a", 1), Arm("b", 1)], NOW)
    with pytest.raises(NotFound):
        await store.end_experiment(NOW, "a", "a")
    assert (await store.snapshot()).experiment == started


async def test_a_version_is_put_in_service_and_taken_out(store: Store) -> None:
    await store.create_version(version("one"))
    await store.activate("one")
    assert (await store.snapshot()).active == "one"
    with pytest.raises(NotFound, match="'two'"):
        await store.activate("two")
    await store.activate(None)
    assert (await store.snapshot()).active is None


async def test_a_batch_counts_once_however_often_it_is_sent(store: Store) -> None:
    await store.create_key(KEY)
    used = NOW + timedelta(minutes=5)
    batch = CountBatch(uuid4(), {COUNTED: Count(3, 2.5)}, {KEY.id: used})
    await store.add_counts(batch)
    await store.add_counts(batch)
    assert await store.counts() == {COUNTED: Count(3, 2.5)}
    assert (await store.snapshot()).keys[0].last_used_at == used
    earlier = CountBatch(uuid4(), {COUNTED: Count(1, 0.5)}, {KEY.id: NOW})
    await store.add_counts(earlier)
    assert await store.counts() == {COUNTED: Count(4, 3.0)}
    assert (await store.snapshot()).keys[0].last_used_at == used


async def test_two_keys_of_a_client_are_valid_at_once_and_no_third(store: Store) -> None:
    await store.create_key(KEY)
    with pytest.raises(Conflict, match="has a valid key"):
        await store.create_key(replace(KEY, id="b" * 12, digest="1" * 64))
    later = NOW + timedelta(hours=1)
    successor = replace(KEY, id="c" * 12, digest="2" * 64, created_at=later, client="", scopes=frozenset())
    await store.rotate_key(KEY.id, successor, later + timedelta(days=1))
    old, new = (await store.snapshot()).keys
    assert (old.expires_at, old.valid(later), old.valid(later + timedelta(days=1))) == (
        later + timedelta(days=1), True, False,
    )  # fmt: skip
    assert (new.client, new.scopes, new.valid(later)) == ("shop", KEY.scopes, True)
    third = replace(successor, id="d" * 12, digest="3" * 64)
    with pytest.raises(Conflict, match="two valid keys"):
        await store.rotate_key(new.id, third, later)
    await store.revoke_key(old.id, later)
    with pytest.raises(NotFound):
        await store.revoke_key(old.id, later)
    await store.rotate_key(new.id, third, later + timedelta(days=1))
    assert sum(key.valid(later) for key in (await store.snapshot()).keys) == 2


async def test_a_job_and_its_version_are_stored_together_or_not_at_all(store: Store) -> None:
    begun = job()
    await store.create_job(begun)
    await store.create_version(version("taken"))
    figures = {"rows": 40.0, "recall": 0.5}
    ended = replace(begun, status=JobStatus.SUCCEEDED, ended_at=NOW, version="taken", figures=figures)
    with pytest.raises(Conflict, match="'taken' exists"):
        await store.save_job(ended, version("taken"))
    assert (await store.job(begun.id)) == begun
    await store.save_job(replace(ended, version="new"), version("new"))
    assert (await store.job(begun.id)) == replace(ended, version="new")
    assert "new" in (await store.snapshot()).versions
    with pytest.raises(Conflict, match="has ended"):
        await store.save_job(begun)
    with pytest.raises(NotFound):
        await store.job(uuid4())


async def test_a_cache_gives_back_what_it_was_given_by_version(cache: VerdictCache) -> None:
    await cache.ping()
    await cache.put_many("one", {"a": b"1", "b": b"2"})
    await cache.put_many("two", {"a": b"3"})
    assert await cache.get_many("one", ["b", "x", "a"]) == [b"2", None, b"1"]
    await cache.drop("one")
    assert await cache.get_many("one", ["a", "b"]) == [None, None]
    assert await cache.get_many("two", ["a"]) == [b"3"]
    assert await cache.get_many("two", []) == []


async def test_the_memory_cache_forgets_what_was_used_longest_ago() -> None:
    cache = MemoryCache(capacity=2)
    await cache.put_many("v", {"a": b"1", "b": b"2"})
    await cache.get_many("v", ["a"])
    await cache.put_many("v", {"c": b"3"})
    assert await cache.get_many("v", ["a", "b", "c"]) == [b"1", None, b"3"]


async def test_a_cache_that_is_away_knows_nothing(
    valkey: ValkeyServer,
) -> None:
    cache = RedisCache(connect(valkey.url), 60)
    await cache.put_many("v", {"a": b"1"})
    valkey.kill()
    assert await cache.get_many("v", ["a"]) == [None]
    await cache.put_many("v", {"a": b"1"})
    await cache.drop("v")
    with pytest.raises(StoreUnavailable):
        await cache.ping()
    valkey.start()
    await cache.ping()
    await cache.put_many("v", {"a": b"1"})
    assert await cache.get_many("v", ["a"]) == [b"1"]
    await cache.close()


async def test_two_processes_that_add_at_once_lose_nothing(database_url: str) -> None:
    one, two = PostgresStore(database_url), PostgresStore(database_url)
    await one.open()
    await two.open()
    kinds = [replace(COUNTED, secret_type=f"type {number}") for number in range(20)]
    batches = [CountBatch(uuid4(), dict.fromkeys(kinds, Count(1, 1.0)), {}) for _ in range(40)]
    await asyncio.gather(
        *((one if number % 2 else two).add_counts(batch) for number, batch in enumerate(batches))
    )
    assert await one.counts() == dict.fromkeys(kinds, Count(40, 40.0))
    await one.close()
    await two.close()


async def test_two_rotations_at_once_leave_two_valid_keys(database_url: str) -> None:
    store = PostgresStore(database_url)
    await store.open()
    await store.create_key(KEY)
    successors = [replace(KEY, id=f"{n}" * 12, digest=f"{n}" * 64, created_at=NOW) for n in range(1, 5)]
    results = await asyncio.gather(
        *(store.rotate_key(KEY.id, each, NOW + timedelta(days=1)) for each in successors),
        return_exceptions=True,
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 3
    await store.close()


@pytest.mark.parametrize(
    "forbidden",
    [
        "CREATE TABLE analyzer.more (id int)",
        "DROP TABLE analyzer.keys",
        "DELETE FROM analyzer.versions",
        "UPDATE analyzer.versions SET document = '{}'",
        "UPDATE analyzer.keys SET digest = repeat('0', 64)",
        "UPDATE analyzer.keys SET scopes = '{admin}'",
        "DELETE FROM analyzer.keys",
        "DELETE FROM analyzer.counts",
        "UPDATE analyzer.experiments SET arms = '[]'",
        "UPDATE analyzer.jobs SET created_by = 'me'",
        "INSERT INTO analyzer.migrations VALUES ('x', 'y')",
    ],
)
def test_the_services_role_has_the_least_rights(database_url: str, forbidden: str) -> None:
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(forbidden.encode())


async def test_migrations_are_applied_once_and_a_changed_one_is_refused(
    analyzer_postgres: PostgresServer, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = analyzer_postgres.dsn(database_name)
    assert await migrate(owner) == []
    changed = [replace(each, sql=each.sql + "-- more") for each in migrations()]
    monkeypatch.setattr(migration_module, "migrations", lambda: iter(changed))
    with pytest.raises(MigrationError, match="was changed after it was applied"):
        await migrate(owner)
    broken = [Migration("0099_broken.sql", "CREATE TABLE analyzer.half (id int); SELECT 1/0")]
    monkeypatch.setattr(migration_module, "migrations", lambda: iter(broken))
    with pytest.raises(MigrationError, match="rolled back"):
        await migrate(owner)
    database = Database(owner)
    await database.open()
    assert await database.all("SELECT to_regclass('analyzer.half') AS half") == [{"half": None}]
    await database.close()


async def test_without_the_schema_the_store_says_what_to_run(analyzer_postgres: PostgresServer) -> None:
    store = PostgresStore(analyzer_postgres.dsn("postgres"))
    await store.open()
    with pytest.raises(StoreUnavailable, match=r"python -m analyzer\.storage\.migrate"):
        await store.snapshot()
    await store.close()


def run_migrations(**env: str) -> subprocess.CompletedProcess[str]:
    """The command as an owner of the database runs it."""
    command = [sys.executable, "-m", "analyzer.storage.migrate"]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=60)


def test_the_command_makes_the_schema_and_the_roles_login(analyzer_postgres: PostgresServer) -> None:
    name = f"command_{uuid4().hex[:8]}"
    with psycopg.connect(analyzer_postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    env = {
        "ANALYZER_DATABASE_OWNER_URL": analyzer_postgres.dsn(name),
        "ANALYZER_DATABASE_APP_PASSWORD": analyzer_postgres.password,
    }
    first, again = run_migrations(**env), run_migrations(**env)
    assert (first.returncode, again.returncode) == (0, 0)
    assert first.stdout.splitlines() == [f"applied {each.name}" for each in migrations()]
    assert again.stdout == "nothing to apply\n"
    with psycopg.connect(analyzer_postgres.dsn(name, user=APPLICATION_ROLE)) as connection:
        assert connection.execute("SELECT name FROM analyzer.active_version").fetchall() == [(None,)]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [("", "set ANALYZER_DATABASE_OWNER_URL"), ("postgresql://127.0.0.1:9/nothing", "does not answer")],
)
def test_the_command_says_what_is_wrong(url: str, sentence: str) -> None:
    done = run_migrations(ANALYZER_DATABASE_OWNER_URL=url)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
