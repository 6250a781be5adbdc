"""The object store port against a real S3 server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from conftest import Servers

from platform_ops.adapters.object_store import S3ObjectStore
from platform_ops.core.errors import Refused, Unavailable


@pytest.fixture
def objects(servers: Servers) -> S3ObjectStore:
    return S3ObjectStore(
        servers["S3_URL"], servers["S3_BUCKET"], servers["S3_ACCESS_KEY"], servers["S3_SECRET_KEY"]
    )


@pytest.mark.parametrize("size", [0, 1000, 20_000_000], ids=["empty", "small", "multipart"])
async def test_what_was_put_comes_back_by_the_link(
    objects: S3ObjectStore, http: httpx.AsyncClient, tmp_path: Path, size: int
) -> None:
    file = tmp_path / "source.bundle"
    file.write_bytes(b"x" * size)
    await objects.put("source/llm-service/a b.bundle", file)
    link = await objects.presigned_get("source/llm-service/a b.bundle", timedelta(minutes=1))
    answer = await http.get(link)
    assert (answer.status_code, len(answer.content)) == (200, size)


async def test_without_the_signature_nobody_gets_it(
    objects: S3ObjectStore, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = tmp_path / "source.bundle"
    file.write_bytes(b"private")
    await objects.put("private.bundle", file)
    link = await objects.presigned_get("private.bundle", timedelta(minutes=1))
    answer = await http.get(link.partition("?")[0])
    assert answer.is_client_error
    assert b"private" not in answer.content


async def test_wrong_keys_are_refused(servers: Servers, tmp_path: Path) -> None:
    file = tmp_path / "source.bundle"
    file.write_bytes(b"private")
    store = S3ObjectStore(servers["S3_URL"], servers["S3_BUCKET"], "nobody", "nothing")
    with pytest.raises(Refused, match="check PLATFORM_OPS_S3_"):
        await store.put("key", file)


async def test_a_store_that_is_away_is_a_temporary_error(tmp_path: Path) -> None:
    file = tmp_path / "source.bundle"
    file.write_bytes(b"private")
    with pytest.raises(Unavailable):
        await S3ObjectStore("http://127.0.0.1:1", "platform-ops", "a", "b").put("key", file)
