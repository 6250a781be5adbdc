"""Plays the cluster's controllers: gives a colour's Deployment its ReplicaSet, pods and endpoints."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from platform_ops.adapters.kube_api import KubeApi, object_path
from platform_ops.adapters.manifests import Manifests
from platform_ops.catalog.load import load
from platform_ops.core.release import Colour, Target

ROOT = Path(__file__).parents[2]
CATALOG = load(ROOT / "astro" / "local" / "services.yaml")
MANIFESTS = Manifests(ROOT / "include" / "config" / "manifests", CATALOG)
DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64


def image(digest: str = DIGEST) -> str:
    return f"registry.example.com/llm-service@{digest}"


async def fresh_target(admin: KubeApi) -> Target:
    """A namespace of the test's own, in which the product may act."""
    name = f"test-{secrets.token_hex(4)}"
    await admin.patch(
        "production",
        f"/api/v1/namespaces/{name}",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        "application/apply-patch+yaml",
    )
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "platform-ops-release"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "platform-ops-release",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "controller", "namespace": "platform-ops"}],
    }
    path = object_path("rbac.authorization.k8s.io/v1", "RoleBinding", name)
    await admin.request("production", "POST", path, body=binding)
    return Target("llm-service", "production", "production", name, "https://api.llm-service.example.com")


async def replica_set(admin: KubeApi, target: Target, colour: Colour, revision: int) -> str:
    """A revision's ReplicaSet, and the Deployment's status that it was seen; returns the pods' hash."""
    name = target.deployment(colour)
    deployment = await admin.get("production", object_path("apps/v1", "Deployment", target.namespace, name))
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": name,
        "uid": deployment["metadata"]["uid"],
        "controller": True,
    }
    template_hash = f"hash{revision}"
    labels = {"app": target.service, "version": colour.value, "pod-template-hash": template_hash}
    template = {**deployment["spec"]["template"]}
    template["metadata"] = {"labels": labels}
    body = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name}-{template_hash}",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [owner],
        },
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }
    path = object_path("apps/v1", "ReplicaSet", target.namespace)
    await admin.request("production", "POST", path, body=body)
    deployment_path = object_path("apps/v1", "Deployment", target.namespace, name)
    await admin.patch(
        "production",
        deployment_path,
        {"metadata": {"annotations": {"deployment.kubernetes.io/revision": str(revision)}}},
    )
    seen = await admin.get("production", deployment_path)
    await admin.patch(
        "production",
        f"{deployment_path}/status",
        {"status": {"observedGeneration": seen["metadata"]["generation"]}},
    )
    return template_hash


async def pod(
    admin: KubeApi, target: Target, colour: Colour, name: str, template_hash: str, container: dict[str, Any]
) -> None:
    """A pod with the status of its one container; `ready` of the container is the pod's."""
    labels = {"app": target.service, "version": colour.value, "pod-template-hash": template_hash}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "serviceAccountName": target.deployment(colour),
            "containers": [{"name": target.service, "image": image()}],
        },
    }
    path = object_path("v1", "Pod", target.namespace)
    await admin.request("production", "POST", path, body=body)
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": str(container["ready"])}],
        "containerStatuses": [
            {"name": target.service, "image": image(), "imageID": "", "restartCount": 0, **container}
        ],
    }
    await admin.patch("production", f"{path}/{name}/status", {"status": status})


async def endpoints(
    admin: KubeApi, target: Target, colour: Colour, ready: dict[str, bool], service: str = ""
) -> None:
    """The EndpointSlice of the colour's Service, or of another one: pod name to whether it gets requests."""
    service = service or target.deployment(colour)
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [f"127.64.0.{number}"],
                "conditions": {"ready": is_ready},
                "targetRef": {"kind": "Pod", "name": name, "namespace": target.namespace},
            }
            for number, (name, is_ready) in enumerate(ready.items(), start=2)
        ],
    }
    path = object_path("discovery.k8s.io/v1", "EndpointSlice", target.namespace)
    await admin.request("production", "POST", path, body=body)
