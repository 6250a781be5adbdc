"""The life of a CustomResourceDefinition: approved, names accepted, established, and in the end withdrawn."""

from __future__ import annotations

import asyncio
from typing import Any

from .incoming import timestamp
from .resources import storage_version
from .schema import Schema
from .state import ClusterState

JSON = dict[str, Any]

BUCKET = "apiextensions.k8s.io/customresourcedefinitions"
APPROVAL = "api-approved.kubernetes.io"
# What the real server's controllers take for each step; clients wait for Established.
APPROVE_SECONDS, ACCEPT_SECONDS, ESTABLISH_SECONDS = 0.05, 0.35, 0.05

_NAMES_ACCEPTED = ("NamesAccepted", "True", "NoConflicts", "no conflicts found")
_INSTALLING = ("Established", "False", "Installing", "the initial names have been accepted")
_ESTABLISHED = ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")


async def establish_in_steps(state: ClusterState, name: str) -> None:
    """What the server's controllers do with a new definition, one visible step after the other."""
    await asyncio.sleep(APPROVE_SECONDS)
    _approve(state, name)
    await asyncio.sleep(ACCEPT_SECONDS)
    _accept_names(state, name)
    await asyncio.sleep(ESTABLISH_SECONDS)
    establish(state, name)


def establish(state: ClusterState, name: str) -> None:
    """Serve the kinds of a stored definition; idempotent."""
    _approve(state, name)
    _accept_names(state, name)
    stored = state.store.get(BUCKET, "", name)
    if stored is None:
        return
    _write(state, name, _ESTABLISHED)
    state.resources.install(stored.document)
    Schema.remove_custom(stored.document)
    Schema.add_custom(stored.document)


def withdraw(state: ClusterState, definition: JSON) -> None:
    """Stop serving the kinds of a deleted definition; its objects go with it."""
    state.resources.remove(definition)
    Schema.remove_custom(definition)
    bucket = f"{definition['spec']['group']}/{definition['spec']['names']['plural']}"
    for stored in list(state.store.bucket(bucket).ordered(None)):
        state.store.delete(bucket, stored.namespace, stored.name)


def _approve(state: ClusterState, name: str) -> None:
    """Groups of the Kubernetes project carry the address of the review that approved them."""
    stored = state.store.get(BUCKET, "", name)
    if stored is None or not stored.document["spec"]["group"].endswith((".k8s.io", ".kubernetes.io")):
        return
    address = (stored.document["metadata"].get("annotations") or {}).get(APPROVAL)
    if address:
        kind = "KubernetesAPIApprovalPolicyConformant"
        _write(state, name, (kind, "True", "ApprovedAnnotation", f"approved in {address}"))


def _accept_names(state: ClusterState, name: str) -> None:
    stored = state.store.get(BUCKET, "", name)
    if stored is None:
        return
    established = _condition(stored.document, "Established") is not None
    _write(state, name, *((_NAMES_ACCEPTED,) if established else (_NAMES_ACCEPTED, _INSTALLING)), names=True)


def _condition(definition: JSON, kind: str) -> JSON | None:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), None)


def _write(
    state: ClusterState, name: str, *conditions: tuple[str, str, str, str], names: bool = False
) -> None:
    stored = state.store.get(BUCKET, "", name)
    if stored is None:
        return
    document = stored.copy()
    status = document.setdefault("status", {})
    status.setdefault("storedVersions", [storage_version(document)])
    held = {one["type"]: one for one in status.get("conditions") or []}
    for kind, value, reason, message in conditions:
        if (held.get(kind) or {}).get("status") != value:
            time = timestamp(state.now())
            held[kind] = {
                "type": kind,
                "status": value,
                "lastTransitionTime": time,
                "reason": reason,
                "message": message,
            }
    status["conditions"] = list(held.values())
    if names:
        status["acceptedNames"] = document["spec"]["names"]
    if document != stored.document:
        state.store.put(BUCKET, document)
