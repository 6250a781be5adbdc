"""The objects of one service in mid-rollout, as a cluster would show them: nothing runs behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from platform_ops.core.release import Colour, Target

PODS = 2
"""Of each colour."""
PORT = 8000
HASH = "5d4f8c7b9"
Object = dict[str, Any]


def objects(target: Target, digests: Mapping[Colour, str], uids: Mapping[str, str]) -> Iterator[Object]:
    """Each one after its owner. `uids` holds those of the objects so far, by kind and name."""
    yield _route(target)
    for colour in Colour:
        name = target.deployment(colour)
        labels = {"app": target.service, "version": colour.value}
        hashed = {**labels, "pod-template-hash": HASH}
        template = {"metadata": {"labels": labels}, "spec": _pod_spec(target, digests[colour])}
        yield _deployment(name, labels, template)
        yield _replica_set(name, hashed, template, uids[f"Deployment {name}"])
        for number in range(PODS):
            yield _pod(pod_name(name, number), hashed, template["spec"], name, uids)
        yield _slice(name, uids)


def pod_name(deployment: str, number: int) -> str:
    return f"{deployment}-{HASH}-pod{number}0"


def _pod_spec(target: Target, digest: str) -> Object:
    image = f"registry.example.com/{target.service}@{digest}"
    port = {"name": "http", "containerPort": PORT}
    return {"containers": [{"name": target.service, "image": image, "ports": [port]}]}


def _deployment(name: str, labels: Mapping[str, str], template: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "1"},
        },
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template},
        "status": {"observedGeneration": 1, "replicas": PODS, "readyReplicas": PODS},
    }


def _replica_set(name: str, labels: Mapping[str, str], template: Object, owner: str) -> Object:
    hashed = {**template, "metadata": {"labels": labels}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name}-{HASH}",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [_owner("apps/v1", "Deployment", name, owner)],
        },
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels}, "template": hashed},
    }


def _pod(
    name: str, labels: Mapping[str, str], spec: Object, deployment: str, uids: Mapping[str, str]
) -> Object:
    owner = f"{deployment}-{HASH}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": labels,
            "ownerReferences": [_owner("apps/v1", "ReplicaSet", owner, uids[f"ReplicaSet {owner}"])],
        },
        "spec": spec,
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _slice(name: str, uids: Mapping[str, str]) -> Object:
    pods = [pod_name(name, number) for number in range(PODS)]
    endpoints = [
        {
            "addresses": [f"127.64.0.{number + 1}"],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": pod, "uid": uids[f"Pod {pod}"]},
        }
        for number, pod in enumerate(pods)
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-slice", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": endpoints,
    }


def _route(target: Target) -> Object:
    shares = {Colour.BLUE: 75, Colour.GREEN: 25}
    backends = [
        {"name": target.deployment(colour), "port": 80, "weight": share} for colour, share in shares.items()
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": target.service},
        "spec": {
            "parentRefs": [{"name": "gateway", "namespace": "platform-ops"}],
            "hostnames": [f"{target.service}.example.com"],
            "rules": [{"backendRefs": backends}],
        },
    }


def _owner(api_version: str, kind: str, name: str, uid: str) -> Object:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
