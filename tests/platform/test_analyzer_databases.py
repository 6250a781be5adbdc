"""What `llm-service` may do in the databases of the platform, seen with the roles that its pods get."""

from __future__ import annotations

import psycopg
import pytest
from own_platform import OwnPlatform

from local_platform.cluster_access import ENVIRONMENTS
from local_platform.services.analyzer import secret_values

pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def urls(platform_state: OwnPlatform) -> dict[str, str]:
    """Environment -> the database URL in its Secret."""
    platform_state.up("analyzer-databases")
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


def test_a_second_start_finds_nothing_to_do(urls: dict[str, str], platform_state: OwnPlatform) -> None:
    owner = platform_state.dsn("analyzer_owner", "analyzer_staging")
    with psycopg.connect(owner) as connection:
        question = "SELECT name, applied_at FROM analyzer.migrations ORDER BY name"
        before = connection.execute(question).fetchall()
        platform_state.up("analyzer-databases")
        assert before
        assert connection.execute(question).fetchall() == before
