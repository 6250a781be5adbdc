"""Columns and cells of pods and of what makes pods."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from . import printing
from .columns import (
    AGE,
    CONTAINERS,
    IMAGES,
    READY_PODS,
    Cells,
    Column,
    Printer,
    age_of,
    spec_of,
    status_of,
    template_cells,
)
from .pod_status import summarise
from .printing import NONE, since

JSON = dict[str, Any]

_JOB_STATES = ("Complete", "Failed", "", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def _pod(document: JSON, now: datetime) -> Cells:
    spec, status = spec_of(document), status_of(document)
    summary = summarise(document)
    addresses = status.get("podIPs") or [{"ip": status.get("podIP") or NONE}]
    gates = spec.get("readinessGates") or []
    true = {one["type"] for one in status.get("conditions") or [] if one["status"] == "True"}
    passed = f"{sum(one['conditionType'] in true for one in gates)}/{len(gates)}" if gates else NONE
    return [
        f"{summary.ready}/{summary.total}",
        summary.reason,
        summary.restarts_text(now),
        age_of(document, now),
        addresses[0].get("ip") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        passed,
    ]


def _deployment(document: JSON, now: datetime) -> Cells:
    spec, status = spec_of(document), status_of(document)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    chosen = printing.selector(spec.get("selector"))
    return [ready, updated, available, age_of(document, now), *template_cells(document), chosen]


def _replica_set(document: JSON, now: datetime) -> Cells:
    spec, status = spec_of(document), status_of(document)
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [
        *counts,
        age_of(document, now),
        *template_cells(document),
        printing.selector(spec.get("selector")),
    ]


def _replication_controller(document: JSON, now: datetime) -> Cells:
    cells = _replica_set({**document, "spec": {**spec_of(document), "selector": None}}, now)
    cells[-1] = printing.labels(spec_of(document).get("selector"))
    return cells


def _stateful_set(document: JSON, now: datetime) -> Cells:
    ready = f"{status_of(document).get('readyReplicas', 0)}/{spec_of(document).get('replicas', 0)}"
    return [ready, age_of(document, now), *template_cells(document)]


def _daemon_set(document: JSON, now: datetime) -> Cells:
    spec, status = spec_of(document), status_of(document)
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    nodes = printing.labels(((spec.get("template") or {}).get("spec") or {}).get("nodeSelector"))
    counts = [status.get(name, 0) for name in names]
    chosen = printing.selector(spec.get("selector"))
    return [*counts, nodes, age_of(document, now), *template_cells(document), chosen]


def _job_state(document: JSON) -> str:
    held = {one["type"] for one in status_of(document).get("conditions") or [] if one["status"] == "True"}
    for state in _JOB_STATES:
        if state in held:
            return state
        if not state and document["metadata"].get("deletionTimestamp"):
            return "Terminating"
    return "Running"


def _job(document: JSON, now: datetime) -> Cells:
    spec, status = spec_of(document), status_of(document)
    done, parallel = status.get("succeeded", 0), spec.get("parallelism") or 0
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    took = ""
    if status.get("startTime"):
        end = status.get("completionTime")
        finished = printing.parse_time(end) if end else now
        took = printing.duration((finished - printing.parse_time(status["startTime"])).total_seconds())
    chosen = printing.selector(spec.get("selector"))
    return [_job_state(document), completions, took, age_of(document, now), *template_cells(document), chosen]


def _cron_job(document: JSON, now: datetime) -> Cells:
    spec, status = spec_of(document), status_of(document)
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = since(status["lastScheduleTime"], now) if status.get("lastScheduleTime") else NONE
    return [
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        bool(spec.get("suspend")),
        len(status.get("active") or []),
        last,
        age_of(document, now),
        *printing.containers(job.get("template") or {}),
        printing.selector(job.get("selector")),
    ]


_REPLICA_COLUMNS = (
    Column("Desired", ".spec.replicas", "integer"),
    Column("Current", ".status.replicas", "integer"),
    Column("Ready", ".status.readyReplicas", "integer"),
    AGE,
    CONTAINERS,
    IMAGES,
    Column("Selector", ".spec.selector", wide=True),
)

WORKLOADS: dict[str, Printer] = {
    "Pod": Printer(
        (
            Column("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            Column("Status", "The aggregate status of the containers in this pod."),
            Column(
                "Restarts",
                "The number of times the containers in this pod have been restarted and when the last "
                "container in this pod has restarted.",
            ),
            AGE,
            Column("IP", ".status.podIP", wide=True),
            Column("Node", ".spec.nodeName", wide=True),
            Column("Nominated Node", ".status.nominatedNodeName", wide=True),
            Column("Readiness Gates", ".spec.readinessGates", wide=True),
        ),
        _pod,
    ),
    "Deployment": Printer(
        (
            READY_PODS,
            Column("Up-to-date", ".status.updatedReplicas"),
            Column("Available", ".status.availableReplicas"),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", ".spec.selector", wide=True),
        ),
        _deployment,
    ),
    "ReplicaSet": Printer(_REPLICA_COLUMNS, _replica_set),
    "ReplicationController": Printer(_REPLICA_COLUMNS, _replication_controller),
    "StatefulSet": Printer((READY_PODS, AGE, CONTAINERS, IMAGES), _stateful_set),
    "DaemonSet": Printer(
        (
            Column("Desired", ".status.desiredNumberScheduled", "integer"),
            Column("Current", ".status.currentNumberScheduled", "integer"),
            Column("Ready", ".status.numberReady", "integer"),
            Column("Up-to-date", ".status.updatedNumberScheduled", "integer"),
            Column("Available", ".status.numberAvailable", "integer"),
            Column("Node Selector", ".spec.template.spec.nodeSelector"),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", ".spec.selector", wide=True),
        ),
        _daemon_set,
    ),
    "Job": Printer(
        (
            Column("Status", "Status of the job."),
            Column("Completions", ".status.succeeded"),
            Column("Duration", "Time required to complete the job."),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", ".spec.selector", wide=True),
        ),
        _job,
    ),
    "CronJob": Printer(
        (
            Column("Schedule", ".spec.schedule"),
            Column("Timezone", ".spec.timeZone"),
            Column("Suspend", ".spec.suspend", "boolean"),
            Column("Active", ".status.active", "integer"),
            Column("Last Schedule", ".status.lastScheduleTime"),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", ".spec.jobTemplate.spec.selector", wide=True),
        ),
        _cron_job,
    ),
}
