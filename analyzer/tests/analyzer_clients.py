"""Settings, keys and requests that the service's tests share."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx

from analyzer.engine.privacy import Fingerprinter
from analyzer.settings import DEVELOPMENT_KEY, Settings, key_digest

KEYS = {"X-API-KEY": DEVELOPMENT_KEY}
SETTINGS = Settings(
    key_digests=frozenset({key_digest(DEVELOPMENT_KEY)}),
    admin_key_digests=frozenset({key_digest(DEVELOPMENT_KEY)}),
    fingerprint=Fingerprinter(b"k"),
    revision="c0ffee",
)
UNSURE = {"context": "client of the billing system", "variable_name": "billing_id"}
"""Where a value stands of which the engine is not sure."""


def training_rows(count: int = 200, seed: int = 1) -> list[dict[str, object]]:
    """Keys and words, under names that say secret and names that do not."""
    draw = random.Random(seed)
    places = [UNSURE, {"context": "the database", "variable_name": "db_password"}]
    others = [
        {"context": "name of the token store", "variable_name": "token_store"},
        {"context": "place of the rack", "variable_name": "rack"},
    ]
    rows: list[dict[str, object]] = []
    for _ in range(count // 4):
        rows.extend({"secret_value": random_key(draw), "is_secret": True, **place} for place in places)
        for place in others:
            words = "-".join(draw.choices(["north", "south", "blue", "green", "large", "cluster"], k=6))
            rows.append({"secret_value": words, "is_secret": False, **place})
    return rows


def random_key(draw: random.Random) -> str:
    return "".join(draw.choices(string.ascii_letters + string.digits, k=32))


def unsure_values(seed: int = 11) -> Iterator[dict[str, str]]:
    """Requests without end, each of another value."""
    draw = random.Random(seed)
    while True:
        yield {"secret_value": random_key(draw), **UNSURE}


async def eventually(
    ask: Callable[[], Awaitable[httpx.Response]], holds: Callable[[Mapping[str, Any]], bool], tries: int = 300
) -> dict[str, Any]:
    """The first answer for which `holds` is true, asked ten times a second."""
    for _ in range(tries):
        answer = await ask()
        body: dict[str, Any] = answer.json()
        if holds(body):
            return body
        await asyncio.sleep(0.1)
    raise AssertionError(f"it never came to hold; the last answer was {answer.status_code} {answer.text}")


async def trained(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """The model document of a version that a job made."""
    begun = await client.post("/train", json={"rows": training_rows(), "name": name}, headers=KEYS)
    assert begun.status_code == 202, begun.text
    location = begun.headers["location"]
    job = await eventually(
        lambda: client.get(location, headers=KEYS), lambda body: body["status"] not in {"queued", "running"}
    )
    assert job["status"] == "succeeded", job
    shown = await eventually(
        lambda: client.get(f"/versions/{name}/document", headers=KEYS),
        lambda body: body.get("model") is not None,
    )
    return dict(shown["model"])
