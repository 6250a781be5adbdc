"""The whole OpenAPI document, called with sense and nonsense: no 5xx, no status that is not in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from analyzer_clients import SETTINGS
from analyzer_servers import APPLICATION_ROLE, free_port, new_database, process_of, start_valkey
from hypothesis import HealthCheck, settings
from postgres_server import PostgresServer
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from analyzer.service.app import create_app
from analyzer.settings import DEVELOPMENT_KEY

DOCUMENT = create_app(SETTINGS).openapi()
# The same examples in every run, so that a failure is a change of ours.
CONFIG = SchemathesisConfig.from_dict({"generation": {"deterministic": True}})
schema = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@pytest.fixture(scope="module")
def address(analyzer_postgres: PostgresServer) -> Iterator[str]:
    """A service with a real database and a real cache, where odd text meets drivers and servers, too."""
    port = free_port()
    database = analyzer_postgres.dsn(new_database(analyzer_postgres), user=APPLICATION_ROLE)
    with start_valkey() as valkey:
        env = {
            "ANALYZER_DATABASE_URL": database, "ANALYZER_REDIS_URL": valkey.url,
            "ANALYZER_DRAIN_SECONDS": "0", "ANALYZER_FINGERPRINT_KEY": "k",
            "ANALYZER_RATE_LIMIT": "100000/minute",
        }  # fmt: skip
        with process_of(port, **env):
            yield f"http://127.0.0.1:{port}"


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_the_document_says(case: schemathesis.Case, address: str) -> None:
    # Rows, documents and names of versions must make sense beyond what JSON Schema can say.
    excluded = [positive_data_acceptance]
    case.call_and_validate(base_url=address, headers={"X-API-KEY": DEVELOPMENT_KEY}, excluded_checks=excluded)


def test_the_document_has_the_seeds_endpoints() -> None:
    endpoints = {
        "/analyze": "post", "/train": "post", "/stats": "get", "/health": "get", "/health/detailed": "get",
        "/readiness": "get", "/liveness": "get", "/metrics": "get", "/versions": "get",
        "/versions/create": "post", "/ab/enable": "post",
    }  # fmt: skip
    described = DOCUMENT["paths"]
    assert {path for path, method in endpoints.items() if method not in described.get(path, {})} == set()
