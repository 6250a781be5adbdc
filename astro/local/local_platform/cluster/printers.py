"""Columns and cells per kind, as the server prints them for `kubectl get` (pkg/printers/internalversion of 1.36)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import printing
from .pod_status import summarise
from .printing import NONE, UNKNOWN, UNSET, since

JSON = dict[str, Any]
Cells = list[Any]


@dataclass(frozen=True)
class Column:
    """`text` is the description, or a path like `.status.replicas` into the kind's own documentation."""

    name: str
    text: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Printer:
    """The columns after the name and the function that fills them; `named=False` when it prints the name itself."""

    columns: tuple[Column, ...]
    cells: Callable[[JSON, datetime], Cells]
    named: bool = True


AGE = Column("Age", ".metadata.creationTimestamp")
CONTAINERS = Column("Containers", "Names of each container in the template.", wide=True)
IMAGES = Column("Images", "Images referenced by each container in the template.", wide=True)
READY_PODS = Column("Ready", "Number of the pod with ready state")


def _age(document: JSON, now: datetime) -> str:
    return since(document["metadata"].get("creationTimestamp"), now)


def _spec(document: JSON) -> JSON:
    spec: JSON = document.get("spec") or {}
    return spec


def _status(document: JSON) -> JSON:
    status: JSON = document.get("status") or {}
    return status


def _template(document: JSON) -> Cells:
    return list(printing.containers(_spec(document).get("template") or {}))


def _age_only(document: JSON, now: datetime) -> Cells:
    return [_age(document, now)]


def _pod(document: JSON, now: datetime) -> Cells:
    spec, status = _spec(document), _status(document)
    summary = summarise(document)
    addresses = status.get("podIPs") or [{"ip": status.get("podIP") or NONE}]
    gates = spec.get("readinessGates") or []
    true = {one["type"] for one in status.get("conditions") or [] if one["status"] == "True"}
    passed = f"{sum(one['conditionType'] in true for one in gates)}/{len(gates)}" if gates else NONE
    return [
        f"{summary.ready}/{summary.total}",
        summary.reason,
        summary.restarts_text(now),
        _age(document, now),
        addresses[0].get("ip") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        passed,
    ]


def _deployment(document: JSON, now: datetime) -> Cells:
    spec, status = _spec(document), _status(document)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    chosen = printing.selector(spec.get("selector"))
    return [ready, updated, available, _age(document, now), *_template(document), chosen]


def _replica_set(document: JSON, now: datetime) -> Cells:
    spec, status = _spec(document), _status(document)
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [*counts, _age(document, now), *_template(document), printing.selector(spec.get("selector"))]


def _replication_controller(document: JSON, now: datetime) -> Cells:
    cells = _replica_set({**document, "spec": {**_spec(document), "selector": None}}, now)
    cells[-1] = printing.labels(_spec(document).get("selector"))
    return cells


def _stateful_set(document: JSON, now: datetime) -> Cells:
    ready = f"{_status(document).get('readyReplicas', 0)}/{_spec(document).get('replicas', 0)}"
    return [ready, _age(document, now), *_template(document)]


def _daemon_set(document: JSON, now: datetime) -> Cells:
    spec, status = _spec(document), _status(document)
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
    return [*counts, nodes, _age(document, now), *_template(document), chosen]


_JOB_STATES = ("Complete", "Failed", "", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def _job_state(document: JSON) -> str:
    held = {one["type"] for one in _status(document).get("conditions") or [] if one["status"] == "True"}
    for state in _JOB_STATES:
        if state in held:
            return state
        if not state and document["metadata"].get("deletionTimestamp"):
            return "Terminating"
    return "Running"


def _job(document: JSON, now: datetime) -> Cells:
    spec, status = _spec(document), _status(document)
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
    return [_job_state(document), completions, took, _age(document, now), *_template(document), chosen]


def _cron_job(document: JSON, now: datetime) -> Cells:
    spec, status = _spec(document), _status(document)
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = since(status["lastScheduleTime"], now) if status.get("lastScheduleTime") else NONE
    return [
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        bool(spec.get("suspend")),
        len(status.get("active") or []),
        last,
        _age(document, now),
        *printing.containers(job.get("template") or {}),
        printing.selector(job.get("selector")),
    ]


def _service(document: JSON, now: datetime) -> Cells:
    spec = _spec(document)
    kind = spec.get("type", "ClusterIP")
    address = (spec.get("clusterIPs") or [spec.get("clusterIP") or NONE])[0]
    external = ",".join(spec.get("externalIPs") or [])
    if kind == "ExternalName":
        external = spec.get("externalName", "")
    elif kind == "LoadBalancer":
        ingress = (_status(document).get("loadBalancer") or {}).get("ingress") or []
        balanced = [one.get("ip") or one.get("hostname", "") for one in ingress]
        external = ",".join([*balanced, *(spec.get("externalIPs") or [])]) or "<pending>"
    ports = printing.service_ports(spec.get("ports"))
    return [
        kind,
        address,
        external or NONE,
        ports,
        _age(document, now),
        printing.labels(spec.get("selector")),
    ]


def _config_map(document: JSON, now: datetime) -> Cells:
    return [len(document.get("data") or {}) + len(document.get("binaryData") or {}), _age(document, now)]


def _secret(document: JSON, now: datetime) -> Cells:
    return [document.get("type", ""), len(document.get("data") or {}), _age(document, now)]


def _namespace(document: JSON, now: datetime) -> Cells:
    return [_status(document).get("phase", ""), _age(document, now)]


def _node(document: JSON, now: datetime) -> Cells:
    status = _status(document)
    ready = [one for one in status.get("conditions") or [] if one["type"] == "Ready"]
    words = [("Ready" if ready[0]["status"] == "True" else "NotReady") if ready else "Unknown"]
    if _spec(document).get("unschedulable"):
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
        _age(document, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _endpoints(document: JSON, now: datetime) -> Cells:
    return [printing.subset_endpoints(document.get("subsets")), _age(document, now)]


def _endpoint_slice(document: JSON, now: datetime) -> Cells:
    ports = [str(one["port"]) if one.get("port") else "*" for one in document.get("ports") or []]
    addresses = [address for one in document.get("endpoints") or [] for address in one.get("addresses") or []]
    return [
        document.get("addressType", ""),
        printing.shortened(ports, UNSET),
        printing.shortened(addresses, UNSET),
        _age(document, now),
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


def _autoscaler(document: JSON, now: datetime) -> Cells:
    spec, status = _spec(document), _status(document)
    target = spec.get("scaleTargetRef") or {}
    least = spec.get("minReplicas")
    return [
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _targets(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(least) if least is not None else UNSET,
        str(spec.get("maxReplicas", 0)),
        str(status.get("currentReplicas", 0)),
        _age(document, now),
    ]


def _targets(wanted: list[JSON], seen: list[JSON]) -> str:
    if not wanted:
        return NONE
    texts = []
    for index, metric in enumerate(wanted[:2]):
        source = metric.get("resource") or {}
        limit = (source.get("target") or {}).get("averageUtilization")
        current = (seen[index].get("resource") or {}).get("current") if index < len(seen) else None
        now = (current or {}).get("averageUtilization")
        shown = f"{now}%" if now is not None else UNKNOWN
        texts.append(
            f"{source.get('name', metric['type'].lower())}: {shown}/{limit}%" if limit else f"{UNKNOWN}/auto"
        )
    more = f" + {len(wanted) - 2} more..." if len(wanted) > 2 else ""
    return ", ".join(texts) + more


def _disruption_budget(document: JSON, now: datetime) -> Cells:
    spec = _spec(document)
    limits = [
        str(spec[name]) if spec.get(name) is not None else "N/A"
        for name in ("minAvailable", "maxUnavailable")
    ]
    return [*limits, _status(document).get("disruptionsAllowed", 0), _age(document, now)]


def _ingress(document: JSON, now: datetime) -> Cells:
    spec = _spec(document)
    hosts = [rule["host"] for rule in spec.get("rules") or [] if rule.get("host")]
    ingress = (_status(document).get("loadBalancer") or {}).get("ingress") or []
    addresses = ",".join(one.get("ip") or one.get("hostname", "") for one in ingress)
    ports = "80, 443" if spec.get("tls") else "80"
    kind = spec.get("ingressClassName") or NONE
    return [kind, printing.shortened(hosts, "*"), addresses, ports, _age(document, now)]


def _network_policy(document: JSON, now: datetime) -> Cells:
    return [printing.selector(_spec(document).get("podSelector")), _age(document, now)]


def _binding(document: JSON, now: datetime) -> Cells:
    reference = document.get("roleRef") or {}
    groups: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in document.get("subjects") or []:
        home = f"{subject['namespace']}/" if subject.get("namespace") else ""
        groups.setdefault(subject.get("kind", ""), []).append(home + subject.get("name", ""))
    held = [", ".join(groups[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [f"{reference.get('kind')}/{reference.get('name')}", _age(document, now), *held]


def _created_at(document: JSON, now: datetime) -> Cells:
    return [document["metadata"].get("creationTimestamp")]


def _lease(document: JSON, now: datetime) -> Cells:
    return [_spec(document).get("holderIdentity", ""), _age(document, now)]


def _priority_class(document: JSON, now: datetime) -> Cells:
    policy = document.get("preemptionPolicy", "PreemptLowerPriority")
    return [document.get("value", 0), bool(document.get("globalDefault")), _age(document, now), policy]


_REPLICA_COLUMNS = (
    Column("Desired", ".spec.replicas", "integer"),
    Column("Current", ".status.replicas", "integer"),
    Column("Ready", ".status.readyReplicas", "integer"),
    AGE,
    CONTAINERS,
    IMAGES,
    Column("Selector", ".spec.selector", wide=True),
)
_BINDING_COLUMNS = (
    Column("Role", ".roleRef"),
    AGE,
    Column("Users", "Users in the roleBinding", wide=True),
    Column("Groups", "Groups in the roleBinding", wide=True),
    Column("ServiceAccounts", "ServiceAccounts in the roleBinding", wide=True),
)
_AGE_ONLY = Printer((AGE,), _age_only)

CREATED_AT = Printer((Column("Created At", ".metadata.creationTimestamp", "date"),), _created_at)

PRINTERS: dict[str, Printer] = {
    "Pod": Printer(
        (
            Column("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            Column("Status", "The aggregate status of the containers in this pod."),
            Column(
                "Restarts",
                "The number of times the containers in this pod have been restarted and when the last container in "
                "this pod has restarted.",
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
    "Service": Printer(
        (
            Column("Type", ".spec.type"),
            Column("Cluster-IP", ".spec.clusterIP"),
            Column("External-IP", ".spec.externalIPs"),
            Column("Port(s)", ".spec.ports"),
            AGE,
            Column("Selector", ".spec.selector", wide=True),
        ),
        _service,
    ),
    "ConfigMap": Printer((Column("Data", ".data"), AGE), _config_map),
    "Secret": Printer((Column("Type", ".type"), Column("Data", ".data"), AGE), _secret),
    "Namespace": Printer((Column("Status", "The status of the namespace"), AGE), _namespace),
    "ServiceAccount": _AGE_ONLY,
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
    "Endpoints": Printer((Column("Endpoints", ".subsets"), AGE), _endpoints),
    "EndpointSlice": Printer(
        (
            Column("AddressType", ".addressType"),
            Column("Ports", ".ports"),
            Column("Endpoints", ".endpoints"),
            AGE,
        ),
        _endpoint_slice,
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
    "HorizontalPodAutoscaler": Printer(
        (
            Column("Reference", ".spec.scaleTargetRef"),
            Column("Targets", ".spec.metrics"),
            Column("MinPods", ".spec.minReplicas"),
            Column("MaxPods", ".spec.maxReplicas"),
            Column("Replicas", ".status.currentReplicas"),
            AGE,
        ),
        _autoscaler,
    ),
    "PodDisruptionBudget": Printer(
        (
            Column("Min Available", ".spec.minAvailable"),
            Column("Max Unavailable", ".spec.maxUnavailable"),
            Column("Allowed Disruptions", ".status.disruptionsAllowed", "integer"),
            AGE,
        ),
        _disruption_budget,
    ),
    "Ingress": Printer(
        (
            Column("Class", ".spec.ingressClassName"),
            Column("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
            Column("Address", ".status.loadBalancer"),
            Column("Ports", "Ports of TLS configurations that open"),
            AGE,
        ),
        _ingress,
    ),
    "NetworkPolicy": Printer((Column("Pod-Selector", ".spec.podSelector"), AGE), _network_policy),
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
