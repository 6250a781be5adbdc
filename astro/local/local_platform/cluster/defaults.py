"""What the server fills in where the client said nothing.

Only the defaults of the API version (k8s.io/kubernetes `pkg/apis/*/v1/defaults.go`), which managedFields
count as set by the client. What admission and the registries add later is in `admission`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from .pod_defaults import default_pod_spec, default_resource_requests
from .schema import GroupVersionKind, Schema, TypeSchema, kind_of

Spec: TypeAlias = dict[str, Any]


def apply_defaults(obj: dict[str, Any], old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Fills `obj` in place and returns it; `old` is the stored object at an update."""
    kind = kind_of(obj)
    if default := _BY_KIND.get(kind):
        default(obj)
    schema = Schema.for_kind(kind)
    if schema is not None:
        if schema.custom:
            _declared(obj, schema)
        else:
            _structs(obj, schema)
            _null_times(obj, schema)
    return obj


def _declared(value: Any, schema: TypeSchema | None) -> None:
    """The `default`s of a CustomResourceDefinition's schema, wherever their parent exists."""
    if schema is None:
        return
    if isinstance(value, dict):
        for name, child in schema.fields.items():
            if child.custom and "default" in child.source and value.get(name) is None:
                value[name] = _copied(child.declared_default)
        for name, item in value.items():
            _declared(item, schema.child(name))
    elif isinstance(value, list):
        for item in value:
            _declared(item, schema.items)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_copied(child) for child in value]
    return value


def _structs(value: Any, schema: TypeSchema | None) -> None:
    """Structs that Go always writes, as `{}`."""
    if schema is None:
        return
    if isinstance(value, dict):
        for name in schema.by_value_structs:
            value.setdefault(name, {})
        for name, item in value.items():
            _structs(item, schema.child(name))
    elif isinstance(value, list):
        for item in value:
            _structs(item, schema.items)


def _null_times(value: Any, schema: TypeSchema | None) -> None:
    if schema is None:
        return
    if isinstance(value, dict):
        for name in schema.null_times:
            value.setdefault(name, None)
        for name, item in value.items():
            _null_times(item, schema.child(name))
    elif isinstance(value, list):
        for item in value:
            _null_times(item, schema.items)


def _fill(target: Spec, **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def _spec(obj: Mapping[str, Any]) -> Spec:
    spec: Spec = obj.get("spec") or {}
    return spec


def _template(spec: Spec) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        default_pod_spec(template["spec"])


def _pod(obj: Spec) -> None:
    spec = _spec(obj)
    _fill(spec, enableServiceLinks=True)
    default_resource_requests(spec)
    default_pod_spec(spec)


def _deployment(obj: Spec) -> None:
    spec = _spec(obj)
    _template(spec)
    _fill(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec["strategy"]
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy, rollingUpdate={})
        _fill(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _replica_set(obj: Spec) -> None:
    spec = _spec(obj)
    _template(spec)
    _fill(spec, replicas=1)


def _stateful_set(obj: Spec) -> None:
    spec = _spec(obj)
    _template(spec)
    _fill(spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10, updateStrategy={})
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _fill(spec["updateStrategy"], rollingUpdate={})
        _fill(spec["updateStrategy"]["rollingUpdate"], partition=0)
    _fill(spec, persistentVolumeClaimRetentionPolicy={})
    _fill(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        _volume_claim(claim)


def _daemon_set(obj: Spec) -> None:
    spec = _spec(obj)
    _template(spec)
    _fill(spec, updateStrategy={}, revisionHistoryLimit=10)
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _fill(spec["updateStrategy"], rollingUpdate={})
        _fill(spec["updateStrategy"]["rollingUpdate"], maxUnavailable=1, maxSurge=0)


def _job_spec(spec: Spec) -> None:
    _template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _fill(spec, parallelism=1, backoffLimit=2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
    _fill(
        spec,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed",
    )


def _job(obj: Spec) -> None:
    spec = _spec(obj)
    _job_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    metadata = obj.setdefault("metadata", {})
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def _cron_job(obj: Spec) -> None:
    spec = _spec(obj)
    _fill(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    template = spec.get("jobTemplate")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        inner = template["spec"]
        _job_spec(inner)
        inner.pop("manualSelector", None)


def _service(obj: Spec) -> None:
    spec = _spec(obj)
    obj["spec"] = spec
    _fill(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "ClientIP":
        _fill(spec, sessionAffinityConfig={})
        _fill(spec["sessionAffinityConfig"], clientIP={})
        _fill(spec["sessionAffinityConfig"]["clientIP"], timeoutSeconds=10800)
    for port in _objects(spec.get("ports")):
        _fill(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0) and port.get("port") is not None:
            port["targetPort"] = port["port"]
    exposed = spec["type"] in ("NodePort", "LoadBalancer")
    if exposed:
        _fill(spec, externalTrafficPolicy="Cluster")
    if exposed or spec["type"] == "ClusterIP":
        _fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _fill(spec, allocateLoadBalancerNodePorts=True)


def _secret(obj: Spec) -> None:
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        data.update({key: base64.b64encode(text.encode()).decode() for key, text in plain.items()})
    _fill(obj, type="Opaque")


def _namespace(obj: Spec) -> None:
    metadata = obj.setdefault("metadata", {})
    if metadata.get("name"):
        labels = metadata.get("labels") or {}
        metadata["labels"] = {**labels, "kubernetes.io/metadata.name": metadata["name"]}


def _event(obj: Spec) -> None:
    _fill(obj, reportingComponent="", reportingInstance="")


def _endpoints(obj: Spec) -> None:
    for subset in _objects(obj.get("subsets")):
        for port in _objects(subset.get("ports")):
            _fill(port, protocol="TCP")


def _endpoint_slice(obj: Spec) -> None:
    for port in _objects(obj.get("ports")):
        _fill(port, name="", protocol="TCP")


def _network_policy(obj: Spec) -> None:
    spec = _spec(obj)
    for rule in [*_objects(spec.get("ingress")), *_objects(spec.get("egress"))]:
        for port in _objects(rule.get("ports")):
            _fill(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _role_binding(obj: Spec) -> None:
    role = obj.get("roleRef")
    if isinstance(role, dict):
        _fill(role, apiGroup="rbac.authorization.k8s.io")
    for subject in _objects(obj.get("subjects")):
        if subject.get("kind") in ("User", "Group"):
            _fill(subject, apiGroup="rbac.authorization.k8s.io")


def _autoscaler(obj: Spec) -> None:
    spec = _spec(obj)
    _fill(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _volume(obj: Spec) -> None:
    _fill(_spec(obj), persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")


def _volume_claim(obj: Spec) -> None:
    _fill(_spec(obj), volumeMode="Filesystem")


def _storage_class(obj: Spec) -> None:
    _fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _priority_class(obj: Spec) -> None:
    _fill(obj, preemptionPolicy="PreemptLowerPriority")


def _custom_definition(obj: Spec) -> None:
    spec = _spec(obj)
    names = spec.get("names")
    if isinstance(names, dict) and isinstance(names.get("kind"), str):
        _fill(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")
    _fill(spec, conversion={"strategy": "None"})


def _admission_policy(obj: Spec) -> None:
    spec = _spec(obj)
    _fill(spec, failurePolicy="Fail")
    constraints = spec.get("matchConstraints")
    if isinstance(constraints, dict):
        _match_constraints(constraints)


def _admission_binding(obj: Spec) -> None:
    constraints = _spec(obj).get("matchResources")
    if isinstance(constraints, dict):
        _match_constraints(constraints)


def _match_constraints(constraints: Spec) -> None:
    _fill(constraints, namespaceSelector={}, objectSelector={}, matchPolicy="Equivalent")
    for rule in [
        *_objects(constraints.get("resourceRules")),
        *_objects(constraints.get("excludeResourceRules")),
    ]:
        _fill(rule, scope="*")


def _objects(items: Any) -> Iterable[Spec]:
    return [item for item in items or () if isinstance(item, dict)]


_BY_KIND: Mapping[GroupVersionKind, Callable[[Spec], None]] = {
    ("", "v1", "Pod"): _pod,
    ("", "v1", "PodTemplate"): _template,
    ("", "v1", "ReplicationController"): _replica_set,
    ("", "v1", "Service"): _service,
    ("", "v1", "Secret"): _secret,
    ("", "v1", "Namespace"): _namespace,
    ("", "v1", "Endpoints"): _endpoints,
    ("", "v1", "Event"): _event,
    ("", "v1", "PersistentVolume"): _volume,
    ("", "v1", "PersistentVolumeClaim"): _volume_claim,
    ("apps", "v1", "Deployment"): _deployment,
    ("apps", "v1", "ReplicaSet"): _replica_set,
    ("apps", "v1", "StatefulSet"): _stateful_set,
    ("apps", "v1", "DaemonSet"): _daemon_set,
    ("batch", "v1", "Job"): _job,
    ("batch", "v1", "CronJob"): _cron_job,
    ("discovery.k8s.io", "v1", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "v1", "NetworkPolicy"): _network_policy,
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"): _role_binding,
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"): _role_binding,
    ("autoscaling", "v2", "HorizontalPodAutoscaler"): _autoscaler,
    ("storage.k8s.io", "v1", "StorageClass"): _storage_class,
    ("scheduling.k8s.io", "v1", "PriorityClass"): _priority_class,
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"): _custom_definition,
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"): _admission_policy,
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding"): _admission_binding,
}
