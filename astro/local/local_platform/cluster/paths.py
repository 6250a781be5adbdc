"""What a request path asks for."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

_SPECIAL_VERBS = {"watch", "proxy"}


@dataclass(frozen=True)
class Target:
    """A resource path taken apart. `rest` is what follows a subresource (only `proxy` has one)."""

    group: str
    version: str
    plural: str
    namespace: str
    name: str
    subresource: str
    rest: str = ""
    legacy_watch: bool = False


def parse(raw_path: str) -> Target | None:
    """The target of a path below /api/v1 or /apis/GROUP/VERSION; None for every other path."""
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, tail = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, tail = parts[1], parts[2], parts[3:]
    else:
        return None
    legacy_watch = tail[0] == "watch" and len(tail) > 1
    if legacy_watch:
        tail = tail[1:]
    namespace = ""
    if tail[0] == "namespaces" and len(tail) > 2 and tail[2] not in ("status", "finalize"):
        namespace, tail = tail[1], tail[2:]
    elif tail[0] == "namespaces" and len(tail) > 1:
        # namespaces are their own namespace when RBAC and admission look at a request
        name, rest = tail[1], tail[2:]
        return Target(group, version, "namespaces", "", name, rest[0] if rest else "", "", legacy_watch)
    return Target(
        group=group,
        version=version,
        plural=tail[0],
        namespace=namespace,
        name=tail[1] if len(tail) > 1 else "",
        subresource=tail[2] if len(tail) > 2 else "",
        rest="/".join(tail[3:]),
        legacy_watch=legacy_watch,
    )
