"""DELETE: at once, gracefully, or by way of finalizers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .errors import conflict, invalid, method_not_allowed
from .incoming import Options, timestamp
from .registry import Registry, dry
from .resources import Resource
from .store import Stored
from .validation import Cause

JSON = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_POLICIES = ("Foreground", "Background", "Orphan")
# Kinds whose DELETE answers with the object even when it is gone at once (ReturnDeletedObject).
_RETURN_OBJECT = frozenset(
    {
        "Namespace",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "ReplicationController",
        "ResourceQuota",
        "Service",
        "ServiceAccount",
    }
)
JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
    "them or set propagationPolicy=Orphan to suppress this warning"
)
# Kinds that leave their dependents behind when the request does not say otherwise.
_ORPHAN_BY_DEFAULT = frozenset({("batch", "Job"), ("", "ReplicationController")})


@dataclass(frozen=True)
class DeleteOptions:
    """A DELETE's body and query, checked."""

    grace_seconds: int | None = None
    policy: str | None = None
    uid: str | None = None
    revision: str | None = None
    dry_run: bool = False

    @classmethod
    def read(cls, body: JSON, query: dict[str, str]) -> DeleteOptions:
        """Raises 422 for a policy that does not exist."""
        grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        policy = body.get("propagationPolicy", query.get("propagationPolicy"))
        orphan = body.get("orphanDependents", query.get("orphanDependents"))
        if policy is not None and policy not in _POLICIES:
            known = ", ".join(f'"{one}"' for one in (*_POLICIES, "nil"))
            message = f'Unsupported value: "{policy}": supported values: {known}'
            cause = Cause("FieldValueNotSupported", message, "propagationPolicy")
            raise invalid("meta.k8s.io", "DeleteOptions", "", [cause])
        if policy is None and orphan is not None:
            policy = "Orphan" if str(orphan).lower() == "true" else "Background"
        preconditions = body.get("preconditions") or {}
        return cls(
            grace_seconds=None if grace is None else int(grace),
            policy=policy,
            uid=preconditions.get("uid"),
            revision=preconditions.get("resourceVersion"),
            dry_run=bool(body.get("dryRun")) or query.get("dryRun") == "All",
        )


def delete(
    registry: Registry, resource: Resource, namespace: str, name: str, wanted: DeleteOptions, options: Options
) -> tuple[Stored, bool]:
    """The object after the request, and whether the answer is that object rather than a Status.

    Raises 404, and 409 when a precondition does not hold.
    """
    live = registry.get(resource, namespace, name)
    if "delete" not in resource.verbs:
        raise method_not_allowed()
    _check(resource, live, wanted)
    document = live.copy()
    metadata = document["metadata"]
    finalizers = _finalizers(resource, metadata, wanted)
    grace = _grace(resource, document, wanted)
    deleting = "deletionTimestamp" in metadata
    stays = bool(finalizers) or bool(grace) or _namespace_stays(document)
    if not stays:
        if wanted.dry_run:
            return dry(document), resource.kind in _RETURN_OBJECT
        if resource.kind == "Pod":
            if not deleting:
                metadata["generation"] = metadata.get("generation", 0) + 1
            _mark(metadata, 0, options)
        gone = registry.store.delete(resource.bucket, namespace, name, document)
        return gone, resource.kind in _RETURN_OBJECT
    before = (metadata.get("finalizers") or [], metadata.get("deletionGracePeriodSeconds"))
    if finalizers:
        metadata["finalizers"] = finalizers
    if not deleting:
        _mark(metadata, grace or 0, options)
        if metadata.get("generation"):
            metadata["generation"] += 1
        if resource.kind == "Namespace":
            document["status"] = {"phase": "Terminating"}
            metadata.pop("deletionGracePeriodSeconds", None)
    elif grace is not None and grace < (metadata.get("deletionGracePeriodSeconds") or 0):
        _mark(metadata, grace, options)
    elif before == (finalizers, metadata.get("deletionGracePeriodSeconds")):
        return live, True
    if wanted.dry_run:
        return dry(document), True
    return registry.store.put(resource.bucket, document), True


def _check(resource: Resource, live: Stored, wanted: DeleteOptions) -> None:
    have = live.document["metadata"]["uid"]
    if wanted.uid and wanted.uid != have:
        raise conflict(
            resource.group,
            resource.kind,
            live.name,
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({have}). "
            "The object might have been deleted and then recreated",
        )
    if wanted.revision and wanted.revision != str(live.revision):
        raise conflict(
            resource.group,
            resource.kind,
            live.name,
            f"the ResourceVersion in the precondition ({wanted.revision}) does not match the ResourceVersion "
            f"in record ({live.revision}). The object might have been modified",
        )


def _finalizers(resource: Resource, metadata: JSON, wanted: DeleteOptions) -> list[str]:
    kept = [one for one in metadata.get("finalizers") or [] if one not in (FOREGROUND, ORPHAN)]
    policy = wanted.policy
    if policy is None:
        present = metadata.get("finalizers") or []
        if ORPHAN in present:
            policy = "Orphan"
        elif FOREGROUND in present:
            policy = "Foreground"
        elif (resource.group, resource.kind) in _ORPHAN_BY_DEFAULT:
            policy = "Orphan"
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    return kept


def _grace(resource: Resource, document: JSON, wanted: DeleteOptions) -> int | None:
    """Seconds that the object stays for its node; only Pods have them."""
    if resource.kind != "Pod":
        return None
    spec, status = document.get("spec") or {}, document.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    seconds = wanted.grace_seconds
    if seconds is None:
        seconds = document["metadata"].get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = spec.get("terminationGracePeriodSeconds", 30)
    return int(max(seconds, 0)) if seconds >= 0 else 1


def _namespace_stays(document: JSON) -> bool:
    return document["kind"] == "Namespace" and bool((document.get("spec") or {}).get("finalizers"))


def _mark(metadata: JSON, grace: int, options: Options) -> None:
    metadata["deletionTimestamp"] = timestamp(options.now + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace


def deletion_status(resource: Resource, gone: Stored) -> JSON:
    """The Status that answers the DELETE of an object that is gone."""
    details: JSON = {"name": gone.name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    details["uid"] = gone.document["metadata"]["uid"]
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
