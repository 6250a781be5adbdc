"""The HTTP interface, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from fm_llm_solver.app import MAX_BODY, Lifecycle, create_app

STABLE = [[-1, 2], [0, -3]]


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle()


@pytest.fixture
async def client(lifecycle: Lifecycle) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(lifecycle))
    async with httpx.AsyncClient(transport=transport, base_url="http://solver") as opened:
        yield opened


@pytest.mark.parametrize("path", ["/health", "/liveness", "/readiness", "/version"])
async def test_it_answers_and_says_that_it_is_a_stand_in(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["stand_in"]) == (200, True)


async def test_it_is_not_ready_once_it_drains(client: httpx.AsyncClient, lifecycle: Lifecycle) -> None:
    lifecycle.draining = True
    assert (await client.get("/readiness")).status_code == 503
    assert (await client.get("/health")).json()["status"] == "draining"


async def test_a_certificate_is_computed_judged_and_counted(client: httpx.AsyncClient) -> None:
    computed = await client.post("/api/certificates", json={"system": STABLE})
    assert computed.json()["valid"] is True
    judged = await client.post(
        "/api/certificates", json={"system": STABLE, "candidate": computed.json()["candidate"]}
    )
    assert judged.json() == computed.json()
    metrics = (await client.get("/api/metrics")).text
    assert 'fm_certificates_total{outcome="valid"} 2.0' in metrics


async def test_an_unstable_system_has_none_and_the_answer_says_why(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/certificates", json={"system": [[1, 0], [0, 1]]})
    assert (answer.json()["valid"], answer.json()["candidate"]) == (False, None)
    assert "not asymptotically stable" in answer.json()["reason"]


@pytest.mark.parametrize(
    "body", [b"{", b'{"system": [[1, 2]]}', b'{"system": [[1e9, 0], [0, 1]]}', b'{"other": 1}']
)
async def test_what_is_no_system_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await client.post("/api/certificates", content=body)).status_code == 422


async def test_a_body_has_a_limit(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/certificates", content=b" " * (MAX_BODY + 1))
    assert answer.status_code == 413
