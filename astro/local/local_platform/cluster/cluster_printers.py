"""Columns and cells of configuration, nodes, events, access rules and the rest."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from . import printing
from .columns import (
    AGE,
    Cells,
    Column,
    Printer,
    age_of,
    age_only,
    spec_of,
    status_of,
)
from .printing import NONE, UNKNOWN, since

JSON = dict[str, Any]


def _config_map(document: JSON, now: datetime) -> Cells:
    return [len(document.get("data") or {}) + len(document.get("binaryData") or {}), age_of(document, now)]


def _secret(document: JSON, now: datetime) -> Cells:
    return [document.get("type", ""), len(document.get("data") or {}), age_of(document, now)]


def _namespace(document: JSON, now: datetime) -> Cells:
    return [status_of(document).get("phase", ""), age_of(document, now)]


def _node(document: JSON, now: datetime) -> Cells:
    status = status_of(document)
    ready = [one for one in status.get("conditions") or [] if one["type"] == "Ready"]
    words = [("Ready" if ready[0]["status"] == "True" else "NotReady") if ready else "Unknown"]
    if spec_of(document).get("unschedulable"):
        words.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    marks = document["metadata"].get("labels") or {}
    roles = sorted(key.removeprefix(prefix) for key in marks if key.startswith(prefix) and key != prefix)
    info = status.get("nodeInfo") or {}
    addresses: dict[str, str] = {}
    for one in status.get("addresses") or []:
        addresses.setdefault(one["type"], one["address"])
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    return [
        ",".join(words),
        ",".join(roles) or NONE,
        age_of(document, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _event(document: JSON, now: datetime) -> Cells:
    first = document.get("firstTimestamp") or document.get("eventTime")
    last = document.get("lastTimestamp") or first
    count = document.get("count") or 1
    series = document.get("series")
    if series:
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    about = document.get("involvedObject") or {}
    subject = about.get("kind", "").lower()
    if about.get("name"):
        subject += f"/{about['name']}"
    return [
        since(last, now),
        document.get("type", ""),
        document.get("reason", ""),
        subject,
        about.get("fieldPath", ""),
        printing.event_source(document),
        (document.get("message") or "").strip(),
        since(first, now),
        count,
        document["metadata"]["name"],
    ]


def _binding(document: JSON, now: datetime) -> Cells:
    reference = document.get("roleRef") or {}
    groups: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in document.get("subjects") or []:
        home = f"{subject['namespace']}/" if subject.get("namespace") else ""
        groups.setdefault(subject.get("kind", ""), []).append(home + subject.get("name", ""))
    held = [", ".join(groups[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [f"{reference.get('kind')}/{reference.get('name')}", age_of(document, now), *held]


def _created_at(document: JSON, now: datetime) -> Cells:
    return [document["metadata"].get("creationTimestamp")]


def _lease(document: JSON, now: datetime) -> Cells:
    return [spec_of(document).get("holderIdentity", ""), age_of(document, now)]


def _priority_class(document: JSON, now: datetime) -> Cells:
    policy = document.get("preemptionPolicy", "PreemptLowerPriority")
    return [document.get("value", 0), bool(document.get("globalDefault")), age_of(document, now), policy]


_BINDING_COLUMNS = (
    Column("Role", ".roleRef"),
    AGE,
    Column("Users", "Users in the roleBinding", wide=True),
    Column("Groups", "Groups in the roleBinding", wide=True),
    Column("ServiceAccounts", "ServiceAccounts in the roleBinding", wide=True),
)

CREATED_AT = Printer((Column("Created At", ".metadata.creationTimestamp", "date"),), _created_at)

CLUSTER: dict[str, Printer] = {
    "ConfigMap": Printer((Column("Data", ".data"), AGE), _config_map),
    "Secret": Printer((Column("Type", ".type"), Column("Data", ".data"), AGE), _secret),
    "Namespace": Printer((Column("Status", "The status of the namespace"), AGE), _namespace),
    "ServiceAccount": Printer((AGE,), age_only),
    "Node": Printer(
        (
            Column("Status", "The status of the node"),
            Column("Roles", "The roles of the node"),
            AGE,
            Column("Version", ".status.nodeInfo.kubeletVersion"),
            Column("Internal-IP", ".status.addresses", wide=True),
            Column("External-IP", ".status.addresses", wide=True),
            Column("OS-Image", ".status.nodeInfo.osImage", wide=True),
            Column("Kernel-Version", ".status.nodeInfo.kernelVersion", wide=True),
            Column("Container-Runtime", ".status.nodeInfo.containerRuntimeVersion", wide=True),
        ),
        _node,
    ),
    "Event": Printer(
        (
            Column("Last Seen", ".lastTimestamp"),
            Column("Type", ".type"),
            Column("Reason", ".reason"),
            Column("Object", ".involvedObject"),
            Column("Subobject", ".involvedObject.fieldPath", wide=True),
            Column("Source", ".source", wide=True),
            Column("Message", ".message"),
            Column("First Seen", ".firstTimestamp", wide=True),
            Column("Count", ".count", wide=True),
            Column("Name", ".metadata.name", wide=True),
        ),
        _event,
        named=False,
    ),
    "Role": CREATED_AT,
    "ClusterRole": CREATED_AT,
    "RoleBinding": Printer(_BINDING_COLUMNS, _binding),
    "ClusterRoleBinding": Printer(_BINDING_COLUMNS, _binding),
    "Lease": Printer((Column("Holder", ".spec.holderIdentity"), AGE), _lease),
    "PriorityClass": Printer(
        (
            Column("Value", ".value", "integer"),
            Column("Global-Default", ".globalDefault", "boolean"),
            AGE,
            Column("PreemptionPolicy", ".preemptionPolicy", wide=True),
        ),
        _priority_class,
    ),
    "LimitRange": CREATED_AT,
    "CustomResourceDefinition": CREATED_AT,
}
