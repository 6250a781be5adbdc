"""Planted values are nowhere but in the requests: not in logs, cache, database, metrics, answers, files."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import analyzer_shapes as shapes
import httpx
import pytest
import redis
from analyzer_clients import KEYS, training_rows
from analyzer_servers import APPLICATION_ROLE, ValkeyServer, free_port, new_database, process_of
from postgres_server import PostgresServer, program

CANARIES = (
    shapes.with_checksum("ghp"),
    "Zq7-canary-of-the-password-Zq7",
    "Xw3-canary-of-the-context-Xw3",
    "Ym5-canary-of-the-name-Ym5",
)
TOKEN, PASSWORD, CONTEXT, NAME = CANARIES


@pytest.mark.parametrize("canary", CANARIES)
def test_a_leak_would_be_found(canary: str) -> None:
    assert leaks(f"x {canary} y".encode())
    assert leaks(base64.b64encode(canary.encode()))
    assert leaks(json.dumps({"a": canary[4:-4]}).encode())


def leaks(content: bytes) -> list[str]:
    """The canaries of which a part, or which in base64, is in `content`."""
    return [
        canary
        for canary in CANARIES
        if canary[6:-6].encode() in content or base64.b64encode(canary.encode())[:-4] in content
    ]


def requests_with_canaries(client: httpx.Client) -> Iterator[httpx.Response]:
    """Every endpoint that takes a value, in health and in all the ways to be refused."""
    body = {"secret_value": PASSWORD, "context": CONTEXT, "variable_name": NAME}
    text = f"{NAME} = '{PASSWORD}'\ntoken = {TOKEN}\n"
    rows = [*training_rows(), {"is_secret": True, **body}]
    for value in (PASSWORD, TOKEN):
        yield client.post("/analyze", json=body | {"secret_value": value})
        yield client.post("/analyze", json=body | {"secret_value": value})
    yield client.post("/analyze/batch", json={"items": [body, body | {"secret_value": TOKEN}]})
    yield client.post("/analyze/text", json={"text": text})
    yield client.post("/train", json={"rows": rows})
    yield client.post("/train", json={"rows": [*rows, {"is_secret": False, **body}]})
    yield client.post("/analyze", json={"secret_value": [PASSWORD], NAME: CONTEXT})
    yield client.post("/analyze", content=f'{{"secret_value": "{PASSWORD}"'.encode())
    yield client.post("/analyze", content=PASSWORD.encode() + b"\xff\xfe")
    yield client.post("/analyze", json={"secret_value": PASSWORD * 5000})
    yield client.post("/versions/create", json={"name": "a", "model": {PASSWORD: TOKEN}})
    yield client.post("/versions/create", json={"name": PASSWORD, "model": {}})
    yield client.post("/ab/enable", json={"arms": [{"version": PASSWORD, "weight": TOKEN}]})
    yield client.post("/keys", json={"client": PASSWORD + "!", "scopes": [TOKEN]})
    yield client.post("/analyze", json=body, headers={"X-API-KEY": TOKEN})
    yield client.get(f"/{PASSWORD}", params={"q": TOKEN})
    yield client.get("/health", headers={"X-Request-Id": f"{PASSWORD} {TOKEN}", "User-Agent": TOKEN})
    yield client.request("PUT", f"/versions/{PASSWORD}/document")


def test_no_value_is_anywhere(
    analyzer_postgres: PostgresServer, valkey: ValkeyServer, tmp_path: Path
) -> None:
    database, port, log = new_database(analyzer_postgres), free_port(), tmp_path / "log"
    env = {
        "ANALYZER_DATABASE_URL": analyzer_postgres.dsn(database, user=APPLICATION_ROLE),
        "ANALYZER_REDIS_URL": valkey.url,
        "ANALYZER_FINGERPRINT_KEY": "k",
        "ANALYZER_DRAIN_SECONDS": "0",
        "TMPDIR": str(tmp_path),
        "HOME": str(tmp_path),
    }
    written: dict[str, bytes] = {}
    with process_of(port, log, **env), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        client.headers.update(KEYS | {"Content-Type": "application/json"})
        answers = list(requests_with_canaries(client))
        statuses = [answer.status_code for answer in answers]
        assert max(statuses) < 500
        assert {200, 202, 400, 401, 404, 405, 413, 422} <= set(statuses)
        _wait_for_job(client, answers)
        written["cache"] = _cache(valkey)
        valkey.kill()
        outage = client.post("/analyze", json={"secret_value": PASSWORD, "context": CONTEXT})
        assert outage.status_code == 200
        valkey.start()
        written |= {f"answer {n}": a.content + repr(a.headers).encode() for n, a in enumerate(answers)}
        for page in ("/metrics", "/stats", "/health/detailed", "/versions", "/keys", "/openapi.json"):
            written[page] = client.get(page).content
    written["database"] = _dump(analyzer_postgres, database)
    written |= {str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert b"analyzer:verdict" in written["cache"]
    assert b"COPY analyzer.counts" in written["database"]
    assert b"answered" in written[str(log)]
    assert {place: leaks(content) for place, content in written.items() if leaks(content)} == {}


def _wait_for_job(client: httpx.Client, answers: list[httpx.Response]) -> None:
    [begun] = [answer for answer in answers if answer.status_code == 202]
    for _ in range(300):
        job = client.get(begun.headers["location"]).json()
        if job["status"] not in {"queued", "running"}:
            break
    assert job["status"] == "succeeded", job


def _cache(valkey: ValkeyServer) -> bytes:
    with redis.Redis.from_url(valkey.url) as client:
        # All keys are strings; GET, since DUMP compresses and would hide a leak.
        return b"\n".join(part for key in client.scan_iter() for part in (key, client.get(key)))


def _dump(server: PostgresServer, database: str) -> bytes:
    command = [str(program("pg_dump")), "--no-password", server.dsn(database)]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def test_a_body_of_100_mb_is_refused_and_never_held(tmp_path: Path) -> None:
    port = free_port()
    megabyte = b"a" * (1 << 20)

    def body() -> Iterator[bytes]:
        for _ in range(100):
            yield megabyte

    with process_of(port, ANALYZER_DRAIN_SECONDS="0") as process:
        before = _peak(process.pid)
        for headers in (KEYS, KEYS | {"Content-Length": str(100 << 20)}):
            for path in ("/analyze", "/analyze/text", "/train"):
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                    assert _status(client, path, body(), headers) in {413, None}
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        assert _peak(process.pid) - before < 40 << 20


def _status(client: httpx.Client, path: str, body: Iterator[bytes], headers: dict[str, str]) -> int | None:
    """None when the server closed the connection while the client was sending."""
    sent = headers | {"Content-Type": "application/json"}
    try:
        return client.post(path, content=body, headers=sent).status_code
    except httpx.TransportError:
        return None


def _peak(pid: int) -> int:
    """Bytes of the largest resident set so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10
