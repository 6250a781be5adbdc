"""The HTTP interface: the seed's names, no value in any answer, clear refusals."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import analyzer_shapes as shapes
import httpx
import pytest
from analyzer_servers import running

from analyzer.engine.privacy import Fingerprinter
from analyzer.service.app import create_app
from analyzer.service.lifecycle import Lifecycle
from analyzer.settings import DEVELOPMENT_KEY, Settings, key_digest

KEYS = {"X-API-KEY": DEVELOPMENT_KEY}
SETTINGS = Settings(
    key_digests=frozenset({key_digest(DEVELOPMENT_KEY)}), fingerprint=Fingerprinter(b"k"), revision="c0ffee"
)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(SETTINGS)) as made:
        yield made


def client_of(settings: Settings, lifecycle: Lifecycle | None = None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(settings, lifecycle))
    return httpx.AsyncClient(transport=transport, base_url="http://analyzer")


async def test_it_is_not_ready_before_the_engine_has_shown_that_it_works() -> None:
    async with client_of(SETTINGS) as not_begun:
        assert (await not_begun.get("/readiness")).status_code == 503


@pytest.mark.parametrize(
    "path", ["/health", "/health/detailed", "/liveness", "/readiness", "/metrics", "/version", "/docs"]
)
async def test_a_running_service_answers_200(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


async def test_version_tells_what_runs(client: httpx.AsyncClient) -> None:
    assert (await client.get("/version")).json()["commit"] == "c0ffee"


async def test_the_seeds_request_is_answered(client: httpx.AsyncClient) -> None:
    body = {"secret_value": "sk-test", "context": "api key", "variable_name": "key"}
    answer = await client.post("/analyze", json=body, headers=KEYS)
    assert answer.status_code == 200
    assert answer.json()["is_secret"] is False
    assert answer.json()["reasons"]


async def test_a_token_is_a_secret_of_its_vendor_and_is_not_repeated(client: httpx.AsyncClient) -> None:
    token = shapes.with_checksum("ghp")
    answer = await client.post("/analyze", json={"secret_value": token}, headers=KEYS)
    assert (answer.json()["secret_type"], answer.json()["risk_level"]) == ("GitHub Token", "critical")
    assert token not in answer.text
    assert token[4:12] not in answer.text


@pytest.mark.parametrize(
    "headers",
    [pytest.param({}, id="none"), pytest.param({"X-API-KEY": "dev-key-1234"}, id="wrong"),
     pytest.param({"X-API-KEY": ""}, id="empty")],
)  # fmt: skip
async def test_without_a_known_key_nothing_is_analysed(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post("/analyze", json={"secret_value": "a"}, headers=headers)
    assert answer.status_code == 401


VALUE = "correct-horse-battery-staple"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(json.dumps({"secret_value": [VALUE]}), 422, id="wrong-type"),
        pytest.param(json.dumps({"value": VALUE}), 422, id="unknown-field"),
        pytest.param(json.dumps({"secret_value": VALUE})[:-1], 422, id="broken-json"),
        pytest.param(json.dumps(VALUE), 422, id="no-object"),
        pytest.param(VALUE.encode() + b"\xff\xfe", 400, id="no-utf-8"),
        pytest.param(json.dumps({"secret_value": VALUE * 10_000}), 413, id="too-large"),
    ],
)
async def test_a_bad_body_is_refused_without_repeating_it(
    client: httpx.AsyncClient, body: str | bytes, status: int
) -> None:
    headers = KEYS | {"Content-Type": "application/json"}
    answer = await client.post("/analyze", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert VALUE not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(rb'{"secret_value": "\ud800"}', 200, id="half-a-surrogate-pair"),
        pytest.param(rb'{"secret_value": "\u0000"}', 200, id="nul"),
        pytest.param(b"[" * 60_000, 400, id="deep-nesting"),
        pytest.param(b'{"secret_value": NaN}', 422, id="no-number"),
        pytest.param(b"null", 422, id="null"),
        pytest.param(b"", 422, id="empty"),
    ],
)
async def test_odd_bodies_never_make_an_error_of_ours(
    client: httpx.AsyncClient, body: bytes, status: int
) -> None:
    answer = await client.post("/analyze", content=body, headers=KEYS | {"Content-Type": "application/json"})
    assert answer.status_code == status


async def test_a_body_in_chunks_is_cut_off_at_the_limit(client: httpx.AsyncClient) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 1024

    answer = await client.post(
        "/analyze", content=chunks(), headers=KEYS | {"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    assert sent < 100


async def test_requests_are_counted_by_route_and_never_by_what_the_client_wrote(
    client: httpx.AsyncClient,
) -> None:
    await client.post("/analyze", json={"secret_value": shapes.with_checksum("ghp")}, headers=KEYS)
    await client.get("/no/such/path")
    await client.request("BREW", "/health")
    metrics = (await client.get("/metrics")).text
    assert 'llm_http_requests_total{endpoint="/analyze",method="POST",status_code="200"} 1.0' in metrics
    assert 'endpoint="other",method="GET",status_code="404"} 1.0' in metrics
    assert 'method="other"' in metrics
    assert "no/such" not in metrics
    assert "BREW" not in metrics
    assert 'llm_secrets_detected_total{risk_level="critical",secret_type="GitHub Token"} 1.0' in metrics
    assert 'llm_analysis_duration_seconds_count{secret_type="GitHub Token"} 1.0' in metrics


async def test_two_applications_share_no_counts() -> None:
    async with client_of(SETTINGS) as one, client_of(SETTINGS) as two:
        await one.get("/health")
        assert "/health" not in (await two.get("/metrics")).text


async def test_draining_shows_in_readiness_and_closes_connections_but_requests_are_served() -> None:
    lifecycle = Lifecycle(draining=True)
    async with client_of(SETTINGS, lifecycle) as client:
        assert (await client.get("/readiness")).status_code == 503
        assert (await client.get("/liveness")).status_code == 200
        assert (await client.get("/health/detailed")).status_code == 503
        answer = await client.post("/analyze", json={"secret_value": "a"}, headers=KEYS)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")


async def test_when_too_many_wait_the_next_is_told_to_come_back() -> None:
    app = create_app(replace(SETTINGS, workers=1, max_waiting=0))
    workers = app.state.runtime.workers
    begun, release = threading.Event(), threading.Event()

    def occupy() -> None:
        begun.set()
        release.wait(30)

    busy = asyncio.create_task(workers.run(occupy))
    await asyncio.to_thread(begun.wait, 30)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
        answer = await client.post("/analyze", json={"secret_value": "a"}, headers=KEYS)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        release.set()
        await busy
        assert (await client.post("/analyze", json={"secret_value": "a"}, headers=KEYS)).status_code == 200


async def test_request_ids_are_kept_when_harmless_and_made_otherwise(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health", headers={"X-Request-Id": "run-1.a"})).headers[
        "x-request-id"
    ] == "run-1.a"
    assert len((await client.get("/health", headers={"X-Request-Id": "a\tb"})).headers["x-request-id"]) == 32


async def test_no_log_line_holds_a_value(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = shapes.with_checksum("ghp")
    await client.post("/analyze", json={"secret_value": token, "context": token}, headers=KEYS)
    await client.post("/analyze", content=token, headers=KEYS)
    assert token not in caplog.text
