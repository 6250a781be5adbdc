"""Volumes as folders of the host, shown to containers by bind mounts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from local_platform.cluster.controllers.resources import Object
from local_platform.node.environment import ConfigError, Lookup, field, item_data, resource_field
from local_platform.node.runtime.sandbox import Bind

TokenSource = Callable[[Object], Awaitable[str]]
"""Asks for a token of the pod's service account, by a serviceAccountToken projection."""


class VolumeError(Exception):
    """A volume cannot be set up (yet): FailedMount, and the kubelet tries again."""


async def prepare_volumes(
    pod: Object, folder: Path, lookup: Lookup, tokens: TokenSource, allocatable: Mapping[str, str]
) -> None:
    """Make or refresh every volume of the pod below `folder`.

    Raises:
        VolumeError: naming the volume and what is missing.
    """
    for volume in pod["spec"].get("volumes") or []:
        target = folder / volume["name"]
        if "emptyDir" in volume:
            target.mkdir(parents=True, exist_ok=True)
            continue
        contents = await _contents(volume, pod, lookup, tokens, allocatable)
        target.mkdir(parents=True, exist_ok=True)
        _publish(target, contents)


async def _contents(
    volume: Object, pod: Object, lookup: Lookup, tokens: TokenSource, allocatable: Mapping[str, str]
) -> dict[str, tuple[bytes, int]]:
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            source = dict(volume[kind])
            if kind == "secret":
                source["name"] = source.get("secretName")
            return await _source(
                volume["name"], kind, source, pod, lookup, allocatable, source.get("defaultMode", 0o644)
            )
    if "projected" not in volume:
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise VolumeError(
            f'MountVolume.SetUp failed for volume "{volume["name"]}" : {kinds} is not offered by the '
            "local node; use emptyDir, configMap, secret, downwardAPI or projected"
        )
    result: dict[str, tuple[bytes, int]] = {}
    mode = volume["projected"].get("defaultMode", 0o644)
    for part in volume["projected"].get("sources") or []:
        if token := part.get("serviceAccountToken"):
            result[token["path"]] = ((await tokens(token)).encode(), 0o600)
            continue
        for kind in ("configMap", "secret", "downwardAPI"):
            if kind in part:
                result |= await _source(volume["name"], kind, part[kind], pod, lookup, allocatable, mode)
    return result


async def _source(
    volume: str,
    kind: str,
    source: Object,
    pod: Object,
    lookup: Lookup,
    allocatable: Mapping[str, str],
    mode: int,
) -> dict[str, tuple[bytes, int]]:
    if kind == "downwardAPI":
        return {
            item["path"]: (_downward(item, pod, allocatable).encode(), item.get("mode", mode))
            for item in source.get("items") or []
        }
    item = await lookup(kind.lower(), source["name"])
    if item is None:
        if source.get("optional"):
            return {}
        raise VolumeError(
            f'MountVolume.SetUp failed for volume "{volume}" : {kind.lower()} "{source["name"]}" not found'
        )
    data = item_data(item)
    if not source.get("items"):
        return {key: (value, mode) for key, value in data.items()}
    result = {}
    for entry in source["items"]:
        if entry["key"] not in data:
            if source.get("optional"):
                continue
            raise VolumeError(
                f'MountVolume.SetUp failed for volume "{volume}" : '
                f"references non-existent {kind.lower()} key: {entry['key']}"
            )
        result[entry["path"]] = (data[entry["key"]], entry.get("mode", mode))
    return result


def _downward(item: Object, pod: Object, allocatable: Mapping[str, str]) -> str:
    try:
        if reference := item.get("fieldRef"):
            return field(pod, reference["fieldPath"])
        return resource_field(item["resourceFieldRef"], {}, pod, allocatable)
    except ConfigError as error:
        raise VolumeError(str(error)) from error


def _publish(target: Path, contents: Mapping[str, tuple[bytes, int]]) -> None:
    """Replace all files at once, as the kubelet's atomic writer does: names link to `..data`, and that is
    swapped.
    """
    current = target / "..data"
    if current.exists() and _read(current) == {path: data for path, (data, _) in contents.items()}:
        return
    fresh = target / f"..{time.time_ns()}"
    fresh.mkdir()
    for path, (data, mode) in contents.items():
        file = fresh / path
        if ".." in Path(path).parts or Path(path).is_absolute():
            raise VolumeError(f"volume item path {path!r} leads outside the volume")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(mode | 0o400)
    old = current.resolve() if current.exists() else None
    link = target / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    os.replace(link, current)
    wanted = {Path(path).parts[0] for path in contents}
    for name in wanted:
        if not (target / name).is_symlink():
            (target / name).symlink_to(f"..data/{name}")
    for entry in target.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _read(folder: Path) -> dict[str, bytes]:
    root = folder.resolve()
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def binds(
    container: Object, pod: Object, folder: Path, expand_path: Callable[[str], str] = lambda path: path
) -> list[Bind]:
    """The container's volumeMounts.

    Raises:
        ConfigError: a mount of a volume that the pod does not have, or a subPath that leads outside.
    """
    known = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    result = []
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in known:
            raise ConfigError(
                f'volume "{mount["name"]}" of container "{container["name"]}" is not in the pod'
            )
        source = folder / mount["name"]
        sub = expand_path(mount.get("subPathExpr", "")) or mount.get("subPath", "")
        if sub:
            source = (source / sub).resolve()
            if not source.is_relative_to(folder.resolve()):
                raise ConfigError(f"subPath {sub!r} of volume {mount['name']!r} leads outside the volume")
            if not source.exists():
                source.mkdir(parents=True)
        read_only = bool(mount.get("readOnly")) or "emptyDir" not in known[mount["name"]]
        result.append(Bind(str(source), mount["mountPath"], read_only))
    # A mount inside another one has to come after it.
    return sorted(result, key=lambda bind: bind.target.count("/"))
