"""The scheduler: gives pods to nodes whose labels they accept."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from local_platform.cluster.controllers.api import ApiError
from local_platform.cluster.controllers.controller import Context, Controller, Key
from local_platform.cluster.controllers.pods import condition, is_deleting
from local_platform.cluster.controllers.recorder import now_text, object_reference
from local_platform.cluster.controllers.resources import (
    EVENTS_V1,
    NODES,
    PODS,
    Object,
    key_of,
    matches_labels,
    name_of,
)


class Scheduler(Controller):
    """One node is enough here, so requests may exceed it: pods are processes, and a full machine is slow,
    not wrong.
    """

    component = "default-scheduler"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.client = context.client.named("kube-scheduler")
        self._pods = self.watch(PODS)
        self._nodes = self.watch(NODES, self._waiting)

    def _waiting(self, _: Object) -> list[Key]:
        return [key_of(pod) for pod in self._pods.all() if not pod["spec"].get("nodeName")]

    async def reconcile(self, namespace: str, name: str) -> None:
        pod = self._pods.get(namespace, name)
        if pod is None or pod["spec"].get("nodeName") or is_deleting(pod):
            return
        if pod["spec"].get("schedulingGates"):
            return
        nodes = list(self._nodes.all())
        fitting = [node for node in nodes if not why_not(pod, node)]
        if not fitting:
            await self._refuse(pod, nodes)
            return
        chosen = min(fitting, key=name_of)
        body = {"metadata": {"name": name, "namespace": namespace, "uid": pod["metadata"]["uid"]}}
        target = {"target": {"apiVersion": "v1", "kind": "Node", "name": name_of(chosen)}}
        binding = {"apiVersion": "v1", "kind": "Binding", **body, **target}
        try:
            await self.client.request("POST", PODS.path(namespace, name, "binding"), binding)
        except ApiError as error:
            if error.not_found or error.conflict:
                return
            raise
        await self._event(
            pod,
            "Normal",
            "Scheduled",
            f"Successfully assigned {namespace}/{name} to {name_of(chosen)}",
            "Binding",
        )

    async def _refuse(self, pod: Object, nodes: list[Object]) -> None:
        message = explain(pod, nodes)
        known = condition(pod, "PodScheduled")
        if known and known.get("message") == message:
            return
        entry = {
            "type": "PodScheduled",
            "observedGeneration": pod["metadata"].get("generation", 1),
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": known["lastTransitionTime"] if known else now_text(),
            "reason": "Unschedulable",
            "message": message,
        }
        others = [
            one for one in (pod.get("status") or {}).get("conditions") or [] if one["type"] != "PodScheduled"
        ]
        namespace, name = key_of(pod)
        await self.client.patch(
            PODS, namespace, name, {"status": {"conditions": [*others, entry]}}, subresource="status"
        )
        await self._event(pod, "Warning", "FailedScheduling", message, "Scheduling")

    async def _event(self, pod: Object, kind: str, reason: str, note: str, action: str) -> None:
        namespace, name = key_of(pod)
        body = {
            "metadata": {"name": f"{name}.{time.time_ns():x}", "namespace": namespace},
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": self.component,
            "reportingInstance": self.component,
            "action": action,
            "reason": reason,
            "regarding": object_reference(pod),
            "note": note,
            "type": kind,
        }
        await self.client.create(EVENTS_V1, namespace, body)


def why_not(pod: Object, node: Object) -> str:
    """Why a pod cannot run on a node, in the scheduler's words; empty when it can."""
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    labels = node["metadata"].get("labels") or {}
    if not matches_labels(pod["spec"].get("nodeSelector") or {}, labels):
        return "node(s) didn't match Pod's node affinity/selector"
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if affinity and not any(_term_matches(term, labels, node) for term in affinity["nodeSelectorTerms"]):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] in ("NoSchedule", "NoExecute") and not _tolerated(taint, pod):
            return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
    return ""


def explain(pod: Object, nodes: list[Object]) -> str:
    if not nodes:
        return "no nodes available to schedule pods"
    reasons: dict[str, int] = {}
    for node in nodes:
        reasons[why_not(pod, node)] = reasons.get(why_not(pod, node), 0) + 1
    total = len(nodes)
    parts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return (
        f"0/{total} nodes are available: {parts}. no new claims to deallocate, "
        f"preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
    )


def _term_matches(term: Object, labels: dict[str, str], node: Object) -> bool:
    expressions = [(one, labels) for one in term.get("matchExpressions") or []]
    expressions += [(one, {"metadata.name": name_of(node)}) for one in term.get("matchFields") or []]
    return all(_expression_matches(one, values) for one, values in expressions)


def _expression_matches(expression: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and int(value) > int(values[0])
        case _:
            return value is not None and int(value) < int(values[0])


def _tolerated(taint: Object, pod: Object) -> bool:
    for toleration in pod["spec"].get("tolerations") or []:
        if toleration.get("effect") not in (None, "", taint["effect"]):
            continue
        if not toleration.get("key") and toleration.get("operator") == "Exists":
            return True
        if toleration.get("key") == taint["key"] and (
            toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
        ):
            return True
    return False
