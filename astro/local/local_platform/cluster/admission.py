"""What single kinds add to the generic registry: strategies and admission plugins of the API server."""

from __future__ import annotations

import base64
import random
from typing import Any

from .errors import forbidden, not_found, object_details, qualified
from .networks import ServiceAddresses
from .resources import Resource, storage_version
from .store import Store
from .validation import Cause

JSON = dict[str, Any]

NAMESPACES = "namespaces"
SERVICE_ACCOUNTS = "serviceaccounts"
TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
EVICTION_SECONDS = 300
# Where nothing but status is written through the status path, its metadata stays as it was.
_STATUS_MAY_LABEL = frozenset({"Node", "Pod", "Namespace", "Service", "PersistentVolumeClaim"})


class Admission:
    """Per-kind rules around a write. `mutate` may change the object, `refusals` names causes of a 422."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._addresses = ServiceAddresses(store)

    def check_namespace(self, resource: Resource, namespace: str) -> None:
        """NamespaceLifecycle: raises 404 for a namespace that does not exist, 403 for one that goes away."""
        if not resource.namespaced:
            return
        found = self._store.get(NAMESPACES, "", namespace)
        if found is None:
            raise not_found("", NAMESPACES, namespace)

    def refuse_terminating(self, resource: Resource, namespace: str, name: str) -> None:
        found = self._store.get(NAMESPACES, "", namespace) if resource.namespaced else None
        if found is None or not found.document["metadata"].get("deletionTimestamp"):
            return
        details = object_details(resource.group, resource.plural, name)
        details["causes"] = [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
        ]
        raise forbidden(
            f'{qualified(resource.group, resource.plural)} "{name}" is forbidden: unable to create '
            f"new content in namespace {namespace} because it is being terminated",
            details,
        )

    def prepare(self, document: JSON) -> JSON:
        """Defaults that need the object's name."""
        if document["kind"] == "Namespace":
            labels = document["metadata"].setdefault("labels", {})
            labels["kubernetes.io/metadata.name"] = document["metadata"]["name"]
        return document

    def mutate(self, resource: Resource, document: JSON, old: JSON | None) -> JSON:
        if old is None:
            metadata = document["metadata"]
            self.refuse_terminating(resource, metadata.get("namespace", ""), metadata["name"])
        match resource.kind:
            case "Namespace":
                self._namespace(document, old)
            case "Service":
                self._addresses.assign(document, old)
            case "Pod" if old is None:
                self._pod(document)
            case "Job" if old is None:
                self._job(document)
            case "CustomResourceDefinition" if old is None:
                document["status"] = {
                    "conditions": None,
                    "acceptedNames": {"plural": "", "kind": ""},
                    "storedVersions": [storage_version(document)],
                }
            case "Secret":
                self._secret(document)
        return document

    def refusals(self, resource: Resource, document: JSON, old: JSON | None) -> list[Cause]:
        if resource.kind == "Service":
            return self._addresses.refusals(document, old)
        return []

    def stored(self, resource: Resource, namespace: str) -> None:
        """Called after a write was stored."""
        if resource.kind == "Service":
            self._addresses.forget()

    def ends_deletion(self, document: JSON) -> bool:
        """Whether this write took the last reason why a deleted object still exists."""
        metadata = document["metadata"]
        if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
            return False
        if document["kind"] == "Namespace":
            return not (document.get("spec") or {}).get("finalizers")
        return not metadata.get("deletionGracePeriodSeconds")

    def status_update(self, resource: Resource, old: JSON, document: JSON) -> JSON:
        """The object with the new status and otherwise the old content."""
        result = dict(old)
        if "status" in document:
            result["status"] = document["status"]
        else:
            result.pop("status", None)
        metadata = dict(old["metadata"])
        sent = document["metadata"]
        allowed = ["managedFields", "resourceVersion"]
        if resource.kind in _STATUS_MAY_LABEL:
            allowed += ["labels", "annotations", "finalizers"]
        elif resource.custom is None:
            allowed += ["annotations"]
        for name in allowed:
            metadata.pop(name, None)
            if name in sent:
                metadata[name] = sent[name]
        if resource.kind == "Pod" and "ownerReferences" in old["metadata"]:
            metadata["ownerReferences"] = old["metadata"]["ownerReferences"]
        result["metadata"] = metadata
        return result

    def _namespace(self, document: JSON, old: JSON | None) -> None:
        document["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = document["metadata"][
            "name"
        ]
        if old is None:
            finalizers = (document.get("spec") or {}).get("finalizers") or []
            if "kubernetes" not in finalizers:
                finalizers = [*finalizers, "kubernetes"]
            document["spec"] = {"finalizers": finalizers}
            document["status"] = {"phase": "Active"}
        else:
            document["spec"] = old.get("spec", {})

    def _secret(self, document: JSON) -> None:
        """stringData becomes data, base64 of it."""
        plain = document.pop("stringData", None)
        if plain:
            data = document.get("data") or {}
            data.update({key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()})
            document["data"] = dict(sorted(data.items()))

    def _job(self, document: JSON) -> None:
        spec = document["spec"]
        metadata = document["metadata"]
        if spec.get("manualSelector"):
            return
        uid, name = metadata["uid"], metadata["name"]
        generated = {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": name,
            "controller-uid": uid,
            "job-name": name,
        }
        template = spec.setdefault("template", {}).setdefault("metadata", {})
        # A Job without labels takes its template's, in Go the very same map: both then show what is added.
        shared = (metadata.get("labels") or {}) == (template.get("labels") or {})
        template["labels"] = {**(template.get("labels") or {}), **generated}
        if shared:
            metadata["labels"] = dict(template["labels"])
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}

    def _pod(self, document: JSON) -> None:
        spec = document.setdefault("spec", {})
        namespace = document["metadata"]["namespace"]
        account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        found = self._store.get(SERVICE_ACCOUNTS, namespace, account)
        if found is None:
            name = document["metadata"]["name"]
            raise forbidden(
                f'pods "{name}" is forbidden: error looking up service account {namespace}/{account}: '
                f'serviceaccount "{account}" not found',
                object_details("", "pods", name),
            )
        spec["serviceAccountName"] = spec["serviceAccount"] = account
        self._priority(spec, document["metadata"]["name"])
        mounts_token = spec.get("automountServiceAccountToken")
        if mounts_token is None:
            mounts_token = found.document.get("automountServiceAccountToken", True)
        if mounts_token:
            _mount_token(spec)
        _tolerate_node_troubles(spec)
        document["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}

    def _priority(self, spec: JSON, pod: str) -> None:
        wanted = spec.get("priorityClassName")
        value, policy = 0, "PreemptLowerPriority"
        if wanted:
            known = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
            found = self._store.get("scheduling.k8s.io/priorityclasses", "", wanted)
            if found is None and wanted not in known:
                raise forbidden(
                    f'pods "{pod}" is forbidden: no PriorityClass with name {wanted} was found',
                    object_details("", "pods", pod),
                )
            if found is not None:
                value = found.document.get("value", 0)
                policy = found.document.get("preemptionPolicy", policy)
            else:
                value = known[wanted]
        spec["priority"] = value
        spec.setdefault("preemptionPolicy", policy)


def _mount_token(spec: JSON) -> None:
    """ServiceAccount admission: a projected volume with token, CA and namespace, mounted into every
    container.
    """
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    name = "kube-api-access-" + "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
    mounted = False
    for container in containers:
        mounts = container.setdefault("volumeMounts", [])
        if any(mount.get("mountPath") == TOKEN_MOUNT for mount in mounts):
            continue
        mounts.append({"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT})
        mounted = True
    if not mounted:
        return
    spec.setdefault("volumes", []).append(
        {
            "name": name,
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                    {
                        "configMap": {
                            "name": "kube-root-ca.crt",
                            "items": [{"key": "ca.crt", "path": "ca.crt"}],
                        }
                    },
                    {
                        "downwardAPI": {
                            "items": [
                                {
                                    "path": "namespace",
                                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                                }
                            ]
                        }
                    },
                ],
                "defaultMode": 420,
            },
        }
    )


def _tolerate_node_troubles(spec: JSON) -> None:
    """DefaultTolerationSeconds admission."""
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if any(
            one.get("key") in (key, None, "") and one.get("effect") in ("NoExecute", None)
            for one in tolerations
        ):
            continue
        tolerations.append(
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": EVICTION_SECONDS}
        )


def quality_of_service(spec: JSON) -> str:
    """Guaranteed when all limits equal their requests, BestEffort when nobody asks for anything."""
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    guaranteed, asked = True, False
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            asked = asked or name in limits or name in requests
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
