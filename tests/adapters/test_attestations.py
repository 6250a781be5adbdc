"""Documents beside an image, in a real registry without referrers API and in one that has it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from datetime import UTC, datetime

import httpx
import pytest
from conftest import Servers
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from test_registry_images import INDEX, MANIFEST, SERVICE, Pusher, building, digest_of, name, pusher

from platform_ops.adapters.attestations import RegistryAttestations
from platform_ops.adapters.image_contents import Installed, packages
from platform_ops.adapters.images import ImageName
from platform_ops.adapters.registry import Credentials, Registry
from platform_ops.core.errors import Refused, Unavailable

__all__ = ["name", "pusher"]

SBOM, PROVENANCE = "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def attestations(http: httpx.AsyncClient, name: ImageName) -> RegistryAttestations:
    registry = Registry(http, name.host, Credentials(), plain_http=True)
    return RegistryAttestations({name.host: registry}, {SERVICE: name})


async def test_documents_are_found_by_the_image_and_attached_once(
    http: httpx.AsyncClient, name: ImageName, pusher: Pusher
) -> None:
    digest, beside = await pusher.image("1.0.0"), attestations(http, name)
    assert await beside.of(SERVICE, digest) == ()
    first = await beside.attach(SERVICE, digest, SBOM, b'{"a": 1}')
    assert await beside.attach(SERVICE, digest, SBOM, b'{"a": 1}') == first
    second = await beside.attach(SERVICE, digest, PROVENANCE, b'{"b": 2}')
    found = await beside.of(SERVICE, digest)
    assert {(one.artifact_type, one.digest, one.content) for one in found} == {
        (SBOM, first, b'{"a": 1}'),
        (PROVENANCE, second, b'{"b": 2}'),
    }


async def test_other_clients_find_them_as_the_specification_says(
    http: httpx.AsyncClient, name: ImageName, pusher: Pusher
) -> None:
    """The fallback tag's index, and artifact manifests whose subject is the image."""
    digest = await pusher.image("1.0.0")
    stored = await attestations(http, name).attach(SERVICE, digest, SBOM, b"{}")
    index = (
        await http.get(f"{pusher.base}/manifests/{digest.replace(':', '-')}", headers={"accept": INDEX})
    ).json()
    assert [(one["digest"], one["artifactType"]) for one in index["manifests"]] == [(stored, SBOM)]
    manifest = (await http.get(f"{pusher.base}/manifests/{stored}", headers={"accept": MANIFEST})).json()
    assert manifest["subject"]["digest"] == digest
    assert manifest["artifactType"] == SBOM
    image = (await http.get(f"{pusher.base}/manifests/{digest}", headers={"accept": MANIFEST})).content
    assert manifest["subject"]["size"] == len(image)


async def test_a_registry_with_the_referrers_api_is_asked_and_gets_no_tag(name: ImageName) -> None:
    stored: dict[str, bytes] = {}
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(f"/v2/{name.name}/")
        asked.append(f"{request.method} {path}")
        if request.method == "POST":
            return httpx.Response(202, headers={"location": f"/v2/{name.name}/blobs/uploads/1"})
        if request.method == "PUT" and path.startswith("blobs/uploads/"):
            stored[f"blobs/{request.url.params['digest']}"] = request.content
            return httpx.Response(201)
        if request.method == "PUT":
            stored[path] = request.content
            return httpx.Response(201, headers={"oci-subject": digest})
        if path.startswith("referrers/"):
            made = [
                {"digest": key.partition("/")[2], "mediaType": MANIFEST}
                for key, value in stored.items()
                if key.startswith("manifests/") and b"subject" in value
            ]
            return httpx.Response(200, json={"schemaVersion": 2, "manifests": made})
        if path in stored:
            return httpx.Response(200, content=stored[path], headers={"content-type": MANIFEST})
        return httpx.Response(404)

    image = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST}).encode()
    digest = digest_of(image)
    stored[f"manifests/{digest}"] = image
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        beside = attestations(client, name)
        await beside.attach(SERVICE, digest, SBOM, b'{"a": 1}')
        assert [one.content for one in await beside.of(SERVICE, digest)] == [b'{"a": 1}']
    assert not [one for one in asked if one.startswith("PUT manifests/sha256-")]


async def test_a_token_for_reading_is_not_used_for_writing(name: ImageName) -> None:
    """As GHCR and Docker Hub do it: the challenge of a write asks for the right to push."""
    scopes: list[str] = []
    image = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST}).encode()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            scopes.append(request.url.params["scope"].rpartition(":")[2])
            return httpx.Response(200, json={"token": scopes[-1]})
        wanted = "pull" if request.method in ("GET", "HEAD") else "pull,push"
        if request.headers.get("authorization") != f"Bearer {wanted}":
            challenge = f'Bearer realm="http://auth/token",service="r",scope="repository:x:{wanted}"'
            return httpx.Response(401, headers={"www-authenticate": challenge})
        if request.method == "POST":
            return httpx.Response(202, headers={"location": "/v2/uploads/1"})
        if request.method == "PUT":
            return httpx.Response(201, headers={"oci-subject": digest_of(image)})
        if request.method == "GET":
            return httpx.Response(200, content=image, headers={"content-type": MANIFEST})
        return httpx.Response(404)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        await attestations(client, name).attach(SERVICE, digest_of(image), SBOM, b"{}")
    assert scopes == ["pull", "pull,push"]


async def test_a_document_whose_blob_is_gone_is_refused(
    http: httpx.AsyncClient, name: ImageName, pusher: Pusher
) -> None:
    digest, beside = await pusher.image("1.0.0"), attestations(http, name)
    await beside.attach(SERVICE, digest, SBOM, b'{"will": "be lost"}')
    lost = digest_of(b'{"will": "be lost"}')
    assert (await http.delete(f"{pusher.base}/blobs/{lost}")).status_code == 202
    with pytest.raises(Refused, match="is not whole in the registry"):
        await beside.of(SERVICE, digest)


async def test_a_layer_that_is_lost_on_the_disk_of_the_registry_is_found(
    http: httpx.AsyncClient, name: ImageName, pusher: Pusher, servers: Servers
) -> None:
    digest = await pusher.image("1.0.0", b"on a bad disk")
    hexadecimal = hashlib.sha256(b"on a bad disk").hexdigest()
    (data,) = servers.state.rglob(f"blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data")
    data.unlink()
    with pytest.raises(Refused, match=f"{hexadecimal} is missing; push the image again"):
        await building(http, name, ()).inspect(SERVICE, digest)


async def test_a_registry_that_is_away_is_a_temporary_error(http: httpx.AsyncClient) -> None:
    with pytest.raises(Unavailable):
        await attestations(http, ImageName("127.0.0.1:1", "x")).of(SERVICE, "sha256:" + "0" * 64)


def layer(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(packed.getvalue(), mtime=0)


OS = {"usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\n'}
LIBC = "Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\nDescription: C library\n with two lines\n"
COPYRIGHT = (
    "Format: https://www.debian.org/doc/\n\nFiles: *\nLicense: LGPL-2.1+\n\nFiles: x\nLicense: GPL-2\n"
)
HTTPX = (
    "Metadata-Version: 2.4\nName: HTTPX\nVersion: 0.28.1\nLicense-Expression: BSD-3-Clause\n\nName: not me\n"
)


async def pushed(pusher: Pusher, *layers: dict[str, str]) -> str:
    config = await pusher.blob(json.dumps({"config": {"Labels": {"a": "b"}, "User": "1"}}).encode())
    blobs = [await pusher.blob(layer(files)) for files in layers]
    return await pusher.manifest(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": blobs}, "1.0.0"
    )


async def test_the_bill_lists_what_the_layers_leave(
    http: httpx.AsyncClient, name: ImageName, pusher: Pusher
) -> None:
    gone = HTTPX.replace("HTTPX", "gone")
    digest = await pushed(
        pusher,
        OS
        | {
            "var/lib/dpkg/status.d/libc6": LIBC,
            "usr/share/doc/libc6/copyright": COPYRIGHT,
            "app/lib/gone-1.dist-info/METADATA": gone,
            "app/old/gone-2.dist-info/METADATA": gone,
        },
        {
            "app/lib/httpx-0.28.1.dist-info/METADATA": HTTPX,
            "app/lib/.wh.gone-1.dist-info": "",
            "app/old/.wh..wh..opq": "",
        },
    )
    images = building(http, name, ())
    bill = await images.bill_of_materials(SERVICE, digest, NOON)
    assert bill == await images.bill_of_materials(SERVICE, digest, NOON)
    document = json.loads(bill)
    assert {one["purl"]: one.get("licenses") for one in document["components"]} == {
        "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12": [
            {"license": {"id": "LGPL-2.1+"}},
            {"license": {"name": "GPL-2"}},
        ],
        "pkg:pypi/httpx@0.28.1": [{"license": {"id": "BSD-3-Clause"}}],
    }
    assert document["metadata"]["component"]["version"] == digest
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode()) is None


def test_packages_that_were_removed_are_not_installed() -> None:
    status = (
        LIBC
        + "Status: deinstall ok config-files\n\nPackage: dash\nStatus: install ok installed\nVersion: 1\n"
    )
    assert [one.name for one in packages({"var/lib/dpkg/status": status.encode()})] == ["dash"]


def test_a_licence_comes_from_the_classifiers_when_the_field_is_a_whole_text() -> None:
    text = (
        "Name: a\nVersion: 1\nLicense: first\n  second\nClassifier: License :: OSI Approved :: MIT License\n"
    )
    assert list(packages({"a.dist-info/METADATA": text.encode()})) == [
        Installed("pypi", "a", "1", ("MIT License",))
    ]


async def test_a_layer_that_cannot_be_read_is_refused(
    http: httpx.AsyncClient, name: ImageName, pusher: Pusher
) -> None:
    digest = await pusher.image("1.0.0", b"no archive at all")
    with pytest.raises(Refused, match="cannot be read"):
        await building(http, name, ()).bill_of_materials(SERVICE, digest, NOON)
