"""The kinds that the server knows: the built-in ones from a table, custom ones from their definitions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
# The same for custom kinds, in the order in which the server lists them.
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_READ_WRITE = ("get", "patch", "update")

# group/version: plural Kind flags [short names] (categories) {subresources}
#   flags: N namespaced, G has metadata.generation, C create only, X no deletecollection, - none of them
# From the discovery documents of Kubernetes 1.36.
_TABLE = """
v1: bindings Binding NC
v1: componentstatuses ComponentStatus R [cs]
v1: configmaps ConfigMap N [cm]
v1: endpoints Endpoints N [ep]
v1: events Event N [ev]
v1: limitranges LimitRange N [limits]
v1: namespaces Namespace X [ns] {finalize,status}
v1: nodes Node - [no] {proxy,status}
v1: persistentvolumeclaims PersistentVolumeClaim N [pvc] {status}
v1: persistentvolumes PersistentVolume - [pv] {status}
v1: pods Pod NG [po] (all) {attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,resize,status}
v1: podtemplates PodTemplate NG
v1: replicationcontrollers ReplicationController NG [rc] (all) {scale,status}
v1: resourcequotas ResourceQuota N [quota] {status}
v1: secrets Secret N
v1: serviceaccounts ServiceAccount N [sa] {token}
v1: services Service N [svc] (all) {proxy,status}
apiregistration.k8s.io/v1: apiservices APIService - (api-extensions) {status}
apps/v1: controllerrevisions ControllerRevision N
apps/v1: daemonsets DaemonSet NG [ds] (all) {status}
apps/v1: deployments Deployment NG [deploy] (all) {scale,status}
apps/v1: replicasets ReplicaSet NG [rs] (all) {scale,status}
apps/v1: statefulsets StatefulSet NG [sts] (all) {scale,status}
events.k8s.io/v1: events Event N [ev]
authentication.k8s.io/v1: selfsubjectreviews SelfSubjectReview C
authentication.k8s.io/v1: tokenreviews TokenReview C
authorization.k8s.io/v1: localsubjectaccessreviews LocalSubjectAccessReview NC
authorization.k8s.io/v1: selfsubjectaccessreviews SelfSubjectAccessReview C
authorization.k8s.io/v1: selfsubjectrulesreviews SelfSubjectRulesReview C
authorization.k8s.io/v1: subjectaccessreviews SubjectAccessReview C
autoscaling/v2: horizontalpodautoscalers HorizontalPodAutoscaler N [hpa] (all) {status}
autoscaling/v1: horizontalpodautoscalers HorizontalPodAutoscaler N [hpa] (all) {status}
batch/v1: cronjobs CronJob NG [cj] (all) {status}
batch/v1: jobs Job NG (all) {status}
certificates.k8s.io/v1: certificatesigningrequests CertificateSigningRequest - [csr] {approval,status}
networking.k8s.io/v1: ingressclasses IngressClass G
networking.k8s.io/v1: ingresses Ingress NG [ing] {status}
networking.k8s.io/v1: ipaddresses IPAddress - [ip]
networking.k8s.io/v1: networkpolicies NetworkPolicy NG [netpol]
networking.k8s.io/v1: servicecidrs ServiceCIDR - {status}
policy/v1: poddisruptionbudgets PodDisruptionBudget NG [pdb] {status}
rbac.authorization.k8s.io/v1: clusterrolebindings ClusterRoleBinding -
rbac.authorization.k8s.io/v1: clusterroles ClusterRole -
rbac.authorization.k8s.io/v1: rolebindings RoleBinding N
rbac.authorization.k8s.io/v1: roles Role N
storage.k8s.io/v1: csidrivers CSIDriver -
storage.k8s.io/v1: csinodes CSINode -
storage.k8s.io/v1: csistoragecapacities CSIStorageCapacity N
storage.k8s.io/v1: storageclasses StorageClass - [sc]
storage.k8s.io/v1: volumeattachments VolumeAttachment - {status}
storage.k8s.io/v1: volumeattributesclasses VolumeAttributesClass - [vac]
admissionregistration.k8s.io/v1: mutatingadmissionpolicies MutatingAdmissionPolicy G (api-extensions)
admissionregistration.k8s.io/v1: mutatingadmissionpolicybindings MutatingAdmissionPolicyBinding G (api-extensions)
admissionregistration.k8s.io/v1: mutatingwebhookconfigurations MutatingWebhookConfiguration G (api-extensions)
admissionregistration.k8s.io/v1: validatingadmissionpolicies ValidatingAdmissionPolicy G (api-extensions) {status}
admissionregistration.k8s.io/v1: validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding G (api-extensions)
admissionregistration.k8s.io/v1: validatingwebhookconfigurations ValidatingWebhookConfiguration G (api-extensions)
apiextensions.k8s.io/v1: customresourcedefinitions CustomResourceDefinition G [crd,crds] (api-extensions) {status}
scheduling.k8s.io/v1: priorityclasses PriorityClass G [pc]
coordination.k8s.io/v1: leases Lease N
node.k8s.io/v1: runtimeclasses RuntimeClass -
discovery.k8s.io/v1: endpointslices EndpointSlice NG
resource.k8s.io/v1: deviceclasses DeviceClass G
resource.k8s.io/v1: resourceclaims ResourceClaim N {status}
resource.k8s.io/v1: resourceclaimtemplates ResourceClaimTemplate N
resource.k8s.io/v1: resourceslices ResourceSlice G
flowcontrol.apiserver.k8s.io/v1: flowschemas FlowSchema G {status}
flowcontrol.apiserver.k8s.io/v1: prioritylevelconfigurations PriorityLevelConfiguration G {status}
metrics.k8s.io/v1beta1: nodes NodeMetrics R
metrics.k8s.io/v1beta1: pods PodMetrics NR
"""  # noqa: E501

_SINGULAR_EXCEPTIONS = {"metrics.k8s.io/nodes": "", "metrics.k8s.io/pods": ""}
# Kinds that several groups or versions serve from one store, and the version in which they are kept.
_SHARED = {
    "events.k8s.io/events": "events",
    "autoscaling/horizontalpodautoscalers": "autoscaling/horizontalpodautoscalers",
}
_STORED_AS = {
    "events": "/v1/Event",
    "autoscaling/horizontalpodautoscalers": "autoscaling/v2/HorizontalPodAutoscaler",
    "admissionregistration.k8s.io/mutatingadmissionpolicies": (
        "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"
    ),
    "admissionregistration.k8s.io/mutatingadmissionpolicybindings": (
        "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicyBinding"
    ),
    "apiextensions.k8s.io/customresourcedefinitions": "apiextensions.k8s.io/v1beta1/CustomResourceDefinition",
}
_SUBRESOURCE_KINDS: Mapping[str, tuple[str, tuple[str, ...], str, str]] = {
    "attach": ("PodAttachOptions", ("create", "get"), "", ""),
    "binding": ("Binding", ("create",), "", ""),
    "ephemeralcontainers": ("Pod", _READ_WRITE, "", ""),
    "eviction": ("Eviction", ("create",), "policy", "v1"),
    "exec": ("PodExecOptions", ("create", "get"), "", ""),
    "finalize": ("Namespace", ("update",), "", ""),
    "log": ("Pod", ("get",), "", ""),
    "portforward": ("PodPortForwardOptions", ("create", "get"), "", ""),
    "scale": ("Scale", _READ_WRITE, "autoscaling", "v1"),
    "token": ("TokenRequest", ("create",), "authentication.k8s.io", "v1"),
}


@dataclass(frozen=True)
class Subresource:
    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""  # of the kind, where it is not the resource's own
    version: str = ""


@dataclass(frozen=True)
class Resource:
    """One kind in one version. `bucket` names its objects in the store."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str
    bucket: str
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    counts_generation: bool = False
    custom: JSON | None = field(default=None, compare=False)  # the version entry of its definition
    list_kind: str = ""
    stored_as: str = ""  # group/version/Kind of its objects in the store, where it is another version

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def gvk(self) -> tuple[str, str, str]:
        return self.group, self.version, self.kind

    @property
    def storage_version_hash(self) -> str:
        """As discovery shows it: the head of a digest over group, version and kind."""
        kept = self.stored_as or f"{self.group}/{self.version}/{self.kind}"
        digest = hashlib.sha256(kept.encode()).digest()
        return base64.b64encode(digest[:8]).decode()

    def subresource(self, name: str) -> Subresource | None:
        return next((one for one in self.subresources if one.name == name), None)


def _subresource(name: str, kind: str) -> Subresource:
    if name == "proxy":
        return Subresource(name, f"{kind}ProxyOptions", ("create", "delete", "get", "patch", "update"))
    special = _SUBRESOURCE_KINDS.get(name)
    if special is None:
        return Subresource(name, kind, _READ_WRITE)
    special_kind, verbs, group, version = special
    return Subresource(name, special_kind, verbs, group, version)


def _between(text: str, opening: str, closing: str) -> tuple[str, ...]:
    _, found, rest = text.partition(opening)
    return tuple(rest.partition(closing)[0].split(",")) if found else ()


def _built_in(line: str) -> Resource:
    api_version, _, rest = line.partition(": ")
    plural, kind, flags = rest.split()[:3]
    group, _, version = api_version.rpartition("/")
    key = f"{group}/{plural}" if group else plural
    verbs: tuple[str, ...] = ALL_VERBS
    if "C" in flags:
        verbs = ("create",)
    elif "R" in flags:
        verbs = ("get", "list")
    elif "X" in flags:
        verbs = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced="N" in flags,
        singular=_SINGULAR_EXCEPTIONS.get(plural, _SINGULAR_EXCEPTIONS.get(key, kind.lower())),
        bucket=_SHARED.get(key, key),
        verbs=verbs,
        short_names=_between(rest, "[", "]"),
        categories=_between(rest, "(", ")"),
        subresources=tuple(_subresource(name, kind) for name in _between(rest, "{", "}")),
        counts_generation="G" in flags,
        stored_as=_STORED_AS.get(_SHARED.get(key, key), ""),
    )


def storage_version(definition: JSON) -> str:
    versions = definition["spec"]["versions"]
    return str(next((one["name"] for one in versions if one.get("storage")), versions[0]["name"]))


def custom_resources(definition: JSON) -> Iterator[Resource]:
    """One resource per served version of a CustomResourceDefinition."""
    spec = definition["spec"]
    names = spec["names"]
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        declared = version.get("subresources") or {}
        yield Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular") or names["kind"].lower(),
            bucket=f"{spec['group']}/{names['plural']}",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=tuple(_subresource(name, names["kind"]) for name in sorted(declared)),
            counts_generation=True,
            custom=version,
            list_kind=names.get("listKind", ""),
            verbs=CUSTOM_VERBS,
            stored_as=f"{spec['group']}/{storage_version(definition)}/{names['kind']}",
        )


class Resources:
    """All resources by (group, version, plural), in the order in which discovery lists their groups."""

    def __init__(self) -> None:
        built_in = [_built_in(line) for line in _TABLE.strip().splitlines()]
        self._known = {(one.group, one.version, one.plural): one for one in built_in}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._known.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> Resource | None:
        return next((one for one in self._known.values() if one.gvk == (group, version, kind)), None)

    def served(self, group: str, version: str) -> list[Resource]:
        found = [one for one in self._known.values() if (one.group, one.version) == (group, version)]
        return sorted(found, key=lambda one: one.plural)

    def group_versions(self) -> dict[str, list[str]]:
        """Versions per group, the preferred one first; the core group is the empty name."""
        groups: dict[str, list[str]] = {}
        for one in self._known.values():
            versions = groups.setdefault(one.group, [])
            if one.version not in versions:
                versions.append(one.version)
        return groups

    def all(self) -> list[Resource]:
        return list(self._known.values())

    def install(self, definition: JSON) -> None:
        """Serve the kinds of a CustomResourceDefinition; a newer copy replaces what an older one served."""
        self.remove(definition)
        for resource in custom_resources(definition):
            self._known[(resource.group, resource.version, resource.plural)] = resource

    def remove(self, definition: JSON) -> None:
        spec = definition["spec"]
        group, plural = spec["group"], spec["names"]["plural"]
        gone = [
            key for key, one in self._known.items() if one.custom and key[0] == group and key[2] == plural
        ]
        for key in gone:
            del self._known[key]
