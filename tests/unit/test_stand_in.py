"""The stand-in of fm-llm-solver: it says what it is, does its small work, and drains."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

SOURCE = Path(__file__).parents[2] / "astro/local/stand_in/fm_llm_solver/src"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[httpx.Client]:
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "FM_DRAIN_SECONDS": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fm_llm_solver", "serve", "--port", "0"],
        stderr=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        address = next(m[0] for line in process.stderr if (m := re.search(r"http://127\.0\.0\.1:\d+", line)))
        with httpx.Client(base_url=address) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("path", ["/health", "/liveness", "/readiness", "/version"])
def test_it_answers_and_says_that_it_is_a_stand_in(stand_in: httpx.Client, path: str) -> None:
    answer = stand_in.get(path)
    assert (answer.status_code, answer.json()["stand_in"]) == (200, True)


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        pytest.param({"system": [[-1, 2], [0, -3]]}, True, id="stable"),
        pytest.param({"system": [[0, 1], [-4, -0.5]]}, True, id="oscillating-and-stable"),
        pytest.param({"system": [[0, 1], [-1, 0]]}, False, id="undamped"),
        pytest.param({"system": [[1, 0], [0, -3]]}, False, id="unstable"),
        pytest.param(
            {"system": [[-1, 2], [0, -3]], "candidate": [[1, 0], [0, 1]]}, True, id="good-candidate"
        ),
        pytest.param(
            {"system": [[-1, 9], [0, -1]], "candidate": [[1, 0], [0, 1]]}, False, id="bad-candidate"
        ),
        pytest.param({"system": [[-1, 0], [0, -1]], "candidate": [[1, 2], [3, 9]]}, False, id="asymmetric"),
        pytest.param({"system": [[-1, 0], [0, -1]], "candidate": [[1, 2], [2, 1]]}, False, id="indefinite"),
    ],
)
def test_a_certificate_is_valid_exactly_when_it_proves_stability(
    stand_in: httpx.Client, body: dict[str, object], valid: bool
) -> None:
    answer = stand_in.post("/api/certificates", json=body)
    assert (answer.status_code, answer.json()["valid"]) == (200, valid)
    assert answer.json()["reason"]


def test_a_computed_certificate_is_accepted_as_a_candidate(stand_in: httpx.Client) -> None:
    system = [[-0.3, 5.0], [-2.0, -0.1]]
    computed = stand_in.post("/api/certificates", json={"system": system}).json()["candidate"]
    again = stand_in.post("/api/certificates", json={"system": system, "candidate": computed})
    assert again.json()["valid"] is True


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(b"{", 422, id="no-json"),
        pytest.param(b'{"system": [[1, 2]]}', 422, id="one-row"),
        pytest.param(b'{"system": [[1e99, 2], [1, 2]]}', 422, id="too-big-numbers"),
        pytest.param(b" " * 20_000, 413, id="too-large"),
    ],
)
def test_a_bad_request_is_refused(stand_in: httpx.Client, content: bytes, status: int) -> None:
    assert stand_in.post("/api/certificates", content=content).status_code == status


def test_outcomes_are_counted(stand_in: httpx.Client) -> None:
    stand_in.post("/api/certificates", json={"system": [[-1, 0], [0, -1]]})
    for path in ("/api/metrics", "/metrics"):
        assert 'fm_certificates_total{outcome="valid"}' in stand_in.get(path).text
