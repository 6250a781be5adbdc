"""Images in a registry, and the command that builds one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from platform_ops.core.errors import NotFound, Refused, Unavailable
from platform_ops.core.ports import ImageFacts

from .image_contents import installed
from .registry import INDEX_TYPES, Registry

log = logging.getLogger(__name__)

DEFAULT_BUILD_COMMAND = (
    "docker", "buildx", "build", "--push", "--provenance=false",
    "--metadata-file", "{metadata_file}", "--tag", "{repository}:{tag}", "{context}",
)  # fmt: skip
"""As https://docs.docker.com/reference/cli/docker/buildx/build/ has it; `--label` arguments are appended."""
_SECRETS = "PLATFORM_OPS_"
_SHOWN_LINES = 15


@dataclass(frozen=True)
class ImageName:
    """Where a service's images are: registry host (and port), and the name below it."""

    host: str
    name: str

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.name}"


class RegistryImages:
    """The `Images` port over registries (by host) and a build command.

    `names` maps a service to its image name. The command's arguments may hold {context}, {repository}, {tag}
    and {metadata_file}; the file must afterwards hold `containerimage.digest`, as buildx writes it.
    """

    def __init__(
        self,
        registries: Mapping[str, Registry],
        names: Mapping[str, ImageName],
        build_command: Sequence[str] = DEFAULT_BUILD_COMMAND,
        *,
        build_limit: timedelta = timedelta(minutes=30),
    ) -> None:
        self._registries = registries
        self._names = names
        self._build_command = build_command
        self._build_limit = build_limit

    @property
    def build_command(self) -> tuple[str, ...]:
        """As it is configured, with its placeholders."""
        return tuple(self._build_command)

    def reference(self, service: str, digest: str) -> str:
        return f"{self._name(service).repository}@{digest}"

    async def find(self, service: str, tag: str) -> str | None:
        name = self._name(service)
        return await self._registries[name.host].manifest_digest(name.name, tag)

    async def inspect(self, service: str, digest: str) -> ImageFacts:
        name = self._name(service)
        registry = self._registries[name.host]
        manifests = await _manifests(registry, name.name, digest)
        blobs = {
            layer["digest"]: layer["size"] for one in manifests for layer in [one["config"], *one["layers"]]
        }
        for blob, size in blobs.items():
            stored = await registry.blob_size(name.name, blob)
            if stored != size:
                state = "is missing" if stored is None else f"has {stored} bytes instead of {size}"
                raise Refused(
                    f"{self.reference(service, digest)}: the blob {blob} {state}; push the image again"
                )
        text, _ = await registry.document(name.name, "blobs", manifests[0]["config"]["digest"])
        config = json.loads(text).get("config") or {}
        layers = tuple(layer["digest"] for layer in manifests[0]["layers"])
        size, labels = sum(blobs.values()), config.get("Labels") or {}
        return ImageFacts(digest, size, labels, config.get("User") or "", layers)

    async def bill_of_materials(self, service: str, digest: str, created: datetime) -> bytes:
        from .sbom import bill_of_materials

        name, facts = self._name(service), await self.inspect(service, digest)
        registry = self._registries[name.host]
        packages = await installed(registry, name.name, await _manifests(registry, name.name, digest))
        return bill_of_materials(name.repository, digest, facts.labels, created, packages)

    async def build(self, service: str, source: Path, tag: str, labels: Mapping[str, str]) -> str:
        name = self._name(service)
        with tempfile.TemporaryDirectory() as folder:
            metadata = Path(folder, "metadata.json")
            values = {
                "{context}": str(source),
                "{repository}": name.repository,
                "{tag}": tag,
                "{metadata_file}": str(metadata),
            }
            command = [_filled(argument, values) for argument in self._build_command]
            command += [
                word for key, value in sorted(labels.items()) for word in ("--label", f"{key}={value}")
            ]
            await self._run(command, _epoch(labels))
            digest = await asyncio.to_thread(_built_digest, metadata, command)
        if await self.find(service, tag) != digest:
            raise Refused(
                f"{name.repository}:{tag} is not the image that was built ({digest}); build it again"
            )
        return digest

    async def _run(self, command: Sequence[str], epoch: Mapping[str, str]) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_SECRETS)}
        environment = {**kept, **epoch}
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as missing:
            raise Refused(
                f"the build command {command[0]!r} cannot be started ({missing.strerror}); "
                "install it or set PLATFORM_OPS_BUILD_COMMAND"
            ) from missing
        try:
            async with asyncio.timeout(self._build_limit.total_seconds()):
                last = await _logged(process)
                code = await process.wait()
        except TimeoutError:
            raise Unavailable(f"the build took longer than {self._build_limit}") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if code:
            raise Refused(f"the build failed with exit code {code}:\n" + "\n".join(last))

    def _name(self, service: str) -> ImageName:
        if service not in self._names:
            raise NotFound(f"no image for {service!r} in the catalog; it has {', '.join(self._names)}")
        return self._names[service]


async def _manifests(registry: Registry, name: str, digest: str) -> list[dict[str, Any]]:
    """The image's manifest; of an index those of all its platforms, linux/amd64 first."""
    try:
        text, media_type = await registry.document(name, "manifests", digest)
    except NotFound as missing:
        raise Refused(f"{name}@{digest} is not in the registry ({missing})") from missing
    document = json.loads(text)
    if media_type not in INDEX_TYPES and document.get("mediaType") not in INDEX_TYPES:
        return [document]
    inner = sorted(document["manifests"], key=_platform_order)
    found = [await _manifests(registry, name, one["digest"]) for one in inner]
    return [manifest for manifests in found for manifest in manifests]


async def _logged(process: asyncio.subprocess.Process) -> deque[str]:
    """Pass the command's output on to the log as it comes; returns the last lines."""
    last: deque[str] = deque(maxlen=_SHOWN_LINES)
    assert process.stdout is not None
    rest = b""
    while chunk := await process.stdout.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            last.append(line.decode(errors="replace").rstrip())
            log.info("%s", last[-1])
    if rest:
        last.append(rest.decode(errors="replace"))
    return last


def _filled(argument: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        argument = argument.replace(placeholder, value)
    return argument


def _epoch(labels: Mapping[str, str]) -> dict[str, str]:
    """The commit's time as the image's (https://reproducible-builds.org/specs/source-date-epoch/)."""
    created = labels.get("org.opencontainers.image.created")
    return {"SOURCE_DATE_EPOCH": str(int(datetime.fromisoformat(created).timestamp()))} if created else {}


def _platform_order(entry: Mapping[str, Any]) -> bool:
    platform = entry.get("platform", {})
    return (platform.get("os"), platform.get("architecture")) != ("linux", "amd64")


def _built_digest(metadata: Path, command: Sequence[str]) -> str:
    try:
        return str(json.loads(metadata.read_bytes())["containerimage.digest"])
    except (OSError, ValueError, KeyError) as missing:
        raise Refused(f"{command[0]} wrote no containerimage.digest into its metadata file") from missing
