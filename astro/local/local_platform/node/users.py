"""Which user a container runs as: the pod's word, else the image's."""

from __future__ import annotations

from pathlib import Path

from local_platform.cluster.controllers.resources import Object
from local_platform.node.environment import ConfigError
from local_platform.node.images import Image


def security_setting(name: str, container: Object, pod: Object) -> object:
    """A field of the container's securityContext, else of the pod's."""
    own = container.get("securityContext") or {}
    return own.get(name, (pod["spec"].get("securityContext") or {}).get(name))


def user_of(container: Object, pod: Object, image: Image) -> tuple[int, int]:
    """User and group id.

    Raises:
        ConfigError: an unknown user name, or root where runAsNonRoot forbids it.
    """
    name, _, group = image.user.partition(":")
    wanted, wanted_group = (
        security_setting("runAsUser", container, pod),
        security_setting("runAsGroup", container, pod),
    )
    uid, gid = (0, 0) if not name else _look_up(name, image.root)
    if group:
        gid = int(group) if group.isdigit() else _find(image.root / "etc/group", group)[2]
    if isinstance(wanted, int):
        uid = wanted
    if isinstance(wanted_group, int):
        gid = wanted_group
    if security_setting("runAsNonRoot", container, pod):
        where = f'pod: "{pod["metadata"]["name"]}_{pod["metadata"]["namespace"]}({pod["metadata"]["uid"]})"'
        if uid == 0:
            raise ConfigError(
                "container has runAsNonRoot and image will run as root "
                f"({where}, container: {container['name']})"
            )
        if name and not name.isdigit() and wanted is None:
            raise ConfigError(
                f"container has runAsNonRoot and image has non-numeric user ({name}), "
                f"cannot verify user is non-root ({where}, container: {container['name']})"
            )
    return uid, gid


def _look_up(name: str, root: Path) -> tuple[int, int]:
    passwd = root / "etc/passwd"
    if name.isdigit():
        for line in passwd.read_text().splitlines() if passwd.exists() else ():
            fields = line.split(":")
            if len(fields) > 3 and fields[2] == name:
                return int(name), int(fields[3])
        return int(name), 0
    entry = _find(passwd, name)
    return entry[2], entry[3]


def _find(file: Path, name: str) -> tuple[str, str, int, int]:
    for line in file.read_text().splitlines() if file.exists() else ():
        fields = line.split(":")
        if fields[0] == name and fields[2].isdigit():
            gid = int(fields[3]) if len(fields) > 3 and fields[3].isdigit() else int(fields[2])
            return fields[0], fields[1], int(fields[2]), gid
    raise ConfigError(f"unable to find user {name}: no matching entries in {file.name} of the image")
