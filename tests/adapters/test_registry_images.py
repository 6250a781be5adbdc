"""Images against a real registry; the build command is one that pushes over the same protocol."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Servers

from platform_ops.adapters.images import ImageName, RegistryImages
from platform_ops.adapters.registry import Credentials, Registry
from platform_ops.core.errors import NotFound, Refused, Unavailable

SERVICE = "llm-service"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LABELS = {"org.opencontainers.image.revision": "c" * 40}


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Pusher:
    """A client that pushes over the distribution API."""

    def __init__(self, http: httpx.AsyncClient, host: str, name: str) -> None:
        self.http = http
        self.base = f"http://{host}/v2/{name}"

    async def blob(self, content: bytes) -> dict[str, Any]:
        started = await self.http.post(f"{self.base}/blobs/uploads/")
        where = httpx.URL(started.headers["location"]).copy_merge_params({"digest": digest_of(content)})
        (await self.http.put(where, content=content)).raise_for_status()
        return {"mediaType": "application/octet-stream", "digest": digest_of(content), "size": len(content)}

    async def manifest(self, document: Mapping[str, Any], tag: str) -> str:
        content = json.dumps(document).encode()
        headers = {"content-type": document["mediaType"]}
        pushed = await self.http.put(f"{self.base}/manifests/{tag}", content=content, headers=headers)
        pushed.raise_for_status()
        return digest_of(content)

    async def image(self, tag: str, layer: bytes = b"layer") -> str:
        config = await self.blob(json.dumps({"config": {"Labels": LABELS, "User": "10001"}}).encode())
        layers = [await self.blob(layer)]
        return await self.manifest(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}, tag
        )


@pytest.fixture
def name(servers: Servers, request: pytest.FixtureRequest) -> ImageName:
    return ImageName(servers["REGISTRY"], f"tests/{digest_of(request.node.name.encode())[7:19]}")


@pytest.fixture
def pusher(http: httpx.AsyncClient, name: ImageName) -> Pusher:
    return Pusher(http, name.host, name.name)


@pytest.fixture
def images(http: httpx.AsyncClient, name: ImageName) -> RegistryImages:
    return building(http, name, ())


def building(http: httpx.AsyncClient, name: ImageName, command: tuple[str, ...]) -> RegistryImages:
    registry = Registry(http, name.host, Credentials(), plain_http=True)
    return RegistryImages({name.host: registry}, {SERVICE: name}, command)


async def test_a_tag_is_its_digest_and_no_tag_is_none(images: RegistryImages, pusher: Pusher) -> None:
    assert await images.find(SERVICE, "1.0.0") is None
    digest = await pusher.image("1.0.0")
    assert await images.find(SERVICE, "1.0.0") == digest


async def test_facts_come_from_the_config_that_the_digest_covers(
    images: RegistryImages, pusher: Pusher
) -> None:
    facts = await images.inspect(SERVICE, await pusher.image("1.0.0", b"x" * 5000))
    assert (facts.labels, facts.user) == (LABELS, "10001")
    assert facts.size > 5000


async def test_an_index_is_inspected_with_all_its_platforms(images: RegistryImages, pusher: Pusher) -> None:
    manifests = []
    for architecture in ("arm64", "amd64"):
        digest = await pusher.image(f"only-{architecture}", architecture.encode() * 100)
        stored = (
            await pusher.http.get(f"{pusher.base}/manifests/{digest}", headers={"accept": MANIFEST})
        ).content
        platform = {"os": "linux", "architecture": architecture}
        manifests.append({"mediaType": MANIFEST, "digest": digest, "size": len(stored), "platform": platform})
    index = await pusher.manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, "both")
    assert (await images.inspect(SERVICE, index)).size > 1000


async def test_a_digest_that_is_not_there_is_refused(images: RegistryImages) -> None:
    with pytest.raises(Refused, match="is not in the registry"):
        await images.inspect(SERVICE, "sha256:" + "0" * 64)


async def test_a_missing_layer_is_found(images: RegistryImages, pusher: Pusher) -> None:
    digest = await pusher.image("1.0.0", b"will be lost")
    lost = digest_of(b"will be lost")
    deleted = await pusher.http.delete(f"{pusher.base}/blobs/{lost}")
    assert deleted.status_code == 202
    with pytest.raises(Refused, match=f"{lost} is missing; push the image again"):
        await images.inspect(SERVICE, digest)


async def test_a_manifest_that_was_changed_on_its_way_is_refused(name: ImageName) -> None:
    answer = httpx.Response(200, content=b'{"schemaVersion": 2}', headers={"content-type": MANIFEST})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer)) as client:
        with pytest.raises(Refused, match="really has the digest"):
            await building(client, name, ()).inspect(SERVICE, "sha256:" + "1" * 64)


async def test_a_registry_that_asks_for_a_token_gets_one(name: ImageName) -> None:
    """The exchange of GHCR and Docker Hub: challenge, token, once more."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/token":
            assert dict(request.url.params) == {"scope": f"repository:{name.name}:pull", "service": "reg"}
            return httpx.Response(200, json={"token": "granted"})
        if request.headers.get("authorization") == "Bearer granted":
            return httpx.Response(200, headers={"docker-content-digest": "sha256:found"})
        challenge = 'Bearer realm="http://auth/token",service="reg"'
        return httpx.Response(401, headers={"www-authenticate": challenge})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        images = building(client, name, ())
        assert await images.find(SERVICE, "1.0.0") == "sha256:found"
        assert await images.find(SERVICE, "1.0.1") == "sha256:found"
    assert asked.count("/token") == 1


async def test_a_registry_that_is_away_is_a_temporary_error(http: httpx.AsyncClient) -> None:
    with pytest.raises(Unavailable):
        await building(http, ImageName("127.0.0.1:1", "x"), ()).find(SERVICE, "1.0.0")


async def test_a_service_without_image_is_not_found(images: RegistryImages) -> None:
    with pytest.raises(NotFound, match="it has llm-service"):
        images.reference("llm-servise", "sha256:0")


BUILDER = """
import json, os, sys
print("building", *sys.argv[1:])
print("secrets:", sorted(key for key in os.environ if key.startswith("PLATFORM_OPS_")))
if "fail" in sys.argv: sys.exit("no space left on device")
metadata = sys.argv[sys.argv.index("--metadata") + 1]
digest = open(os.path.join(os.environ["CONTEXT"], "digest")).read()
json.dump({"containerimage.digest": digest}, open(metadata, "w"))
"""


async def test_a_build_returns_the_digest_that_the_registry_has(
    http: httpx.AsyncClient,
    name: ImageName,
    pusher: Pusher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    digest = await pusher.image("1.0.0")
    (tmp_path / "digest").write_text(digest)
    monkeypatch.setenv("CONTEXT", str(tmp_path))
    monkeypatch.setenv("PLATFORM_OPS_LEDGER_DSN", "postgresql://secret")
    command = (
        sys.executable,
        "-c",
        BUILDER,
        "{context}",
        "{repository}:{tag}",
        "--metadata",
        "{metadata_file}",
    )
    caplog.set_level("INFO")
    assert await building(http, name, command).build(SERVICE, tmp_path, "1.0.0", LABELS) == digest
    said = caplog.text
    assert f"{name.repository}:1.0.0" in said
    assert f"--label org.opencontainers.image.revision={'c' * 40}" in said
    assert "secrets: []" in said


async def test_a_failed_build_shows_its_last_words(
    http: httpx.AsyncClient, name: ImageName, tmp_path: Path
) -> None:
    command = (sys.executable, "-c", BUILDER, "fail")
    with pytest.raises(Refused, match=r"exit code 1:\n(.|\n)*no space left on device"):
        await building(http, name, command).build(SERVICE, tmp_path, "1.0.0", {})


async def test_a_build_that_pushed_something_else_is_refused(
    http: httpx.AsyncClient, name: ImageName, pusher: Pusher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pusher.image("1.0.0")
    (tmp_path / "digest").write_text("sha256:" + "0" * 64)
    monkeypatch.setenv("CONTEXT", str(tmp_path))
    command = (sys.executable, "-c", BUILDER, "--metadata", "{metadata_file}")
    with pytest.raises(Refused, match=r"is not (what|the image that) was built"):
        await building(http, name, command).build(SERVICE, tmp_path, "1.0.0", {})


async def test_a_build_command_that_is_missing_says_which_setting(
    http: httpx.AsyncClient, name: ImageName, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="set PLATFORM_OPS_BUILD_COMMAND"):
        await building(http, name, ("no-such-builder",)).build(SERVICE, tmp_path, "1.0.0", {})
