"""What `llm-service` may do in the databases of the platform, seen with the roles that its pods get."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from own_platform import OwnPlatform

from analyzer.storage.migrate import migrate
from local_platform.cluster_access import ENVIRONMENTS
from local_platform.services.analyzer import migration_values, secret_values

pytestmark = pytest.mark.platform


def owner_url(platform: OwnPlatform, environment: str) -> str:
    return migration_values(platform.supervisor.platform, environment)["ANALYZER_DATABASE_OWNER_URL"]


@pytest.fixture(scope="module")
def urls(platform_state: OwnPlatform) -> dict[str, str]:
    """Environment -> the database URL in its Secret. The schema is what the migration Jobs make."""
    platform_state.up("postgres")
    for name in ENVIRONMENTS:
        asyncio.run(migrate(owner_url(platform_state, name)))
    context = platform_state.supervisor.platform
    return {name: secret_values(context, name)["ANALYZER_DATABASE_URL"] for name in ENVIRONMENTS}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_service_reads_and_adds_but_changes_no_table(urls: dict[str, str], environment: str) -> None:
    with psycopg.connect(urls[environment]) as connection:
        assert connection.execute("SELECT count(*) FROM analyzer.active_version").fetchone() == (1,)
        connection.execute("INSERT INTO analyzer.batches (id) VALUES (gen_random_uuid())")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER TABLE analyzer.batches ADD COLUMN more text")


def test_one_environments_role_opens_no_other_database(urls: dict[str, str]) -> None:
    elsewhere = urls["development"].rpartition("/")[0] + "/analyzer_production"
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(elsewhere)


def test_one_environments_migration_opens_no_other_database(
    urls: dict[str, str], platform_state: OwnPlatform
) -> None:
    elsewhere = owner_url(platform_state, "development").rpartition("/")[0] + "/analyzer_production"
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(elsewhere)


def test_a_platform_that_had_one_owner_hands_its_tables_over(
    urls: dict[str, str], platform_state: OwnPlatform
) -> None:
    url = owner_url(platform_state, "staging")
    with psycopg.connect(platform_state.dsn("postgres", "analyzer_staging"), autocommit=True) as connection:
        connection.execute("CREATE ROLE analyzer_owner")
        connection.execute("REASSIGN OWNED BY analyzer_staging_owner TO analyzer_owner")
    platform_state.up("postgres")
    with psycopg.connect(url) as connection:
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'analyzer'"
        assert connection.execute(owners).fetchall() == [("analyzer_staging_owner",)]
