"""Defaults of a pod's spec, in a Pod and in templates (k8s.io/kubernetes `pkg/apis/core/v1/defaults.go`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_FILE_MODE = 0o644
_VOLUME_SOURCES_WITH_MODE = ("configMap", "secret", "downwardAPI", "projected")


def default_pod_spec(spec: dict[str, Any]) -> None:
    """Fills a pod's spec in place."""
    _fill(
        spec,
        dnsPolicy="ClusterFirst",
        restartPolicy="Always",
        securityContext={},
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
    )
    for name in _CONTAINER_LISTS:
        for container in _objects(spec.get(name)):
            _container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in _objects(spec.get("volumes")):
        _volume(volume)


def default_resource_requests(spec: Mapping[str, Any]) -> None:
    """In a Pod (not in a template) a limit is also the request where none is given."""
    for name in _CONTAINER_LISTS:
        for container in _objects(spec.get(name)):
            resources = container.get("resources") or {}
            limits = resources.get("limits")
            if limits:
                resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _container(container: dict[str, Any], *, host_network: bool) -> None:
    _fill(container, resources={})
    _fill(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    if container.get("image"):
        _fill(container, imagePullPolicy=_pull_policy(str(container["image"])))
    for port in _objects(container.get("ports")):
        _fill(port, protocol="TCP")
        if host_network and port.get("containerPort"):
            _fill(port, hostPort=port["containerPort"])
    for entry in _objects(container.get("env")):
        source = entry.get("valueFrom")
        if isinstance(source, dict):
            _field_reference(source)
            if isinstance(source.get("resourceFieldRef"), dict):
                _fill(source["resourceFieldRef"], divisor="0")
    for name in _PROBES:
        if isinstance(container.get(name), dict):
            _probe(container[name])
    for hook in _objects((container.get("lifecycle") or {}).values()):
        _http_get(hook)


def _pull_policy(image: str) -> str:
    last = image.rsplit("/", 1)[-1]
    if "@" in last:
        return "IfNotPresent"
    _, _, tag = last.partition(":")
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _probe(probe: dict[str, Any]) -> None:
    _http_get(probe)
    if isinstance(probe.get("grpc"), dict):
        _fill(probe["grpc"], service="")
    for name, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(name):
            probe[name] = value


def _http_get(holder: Mapping[str, Any]) -> None:
    action = holder.get("httpGet")
    if isinstance(action, dict):
        for name, value in (("path", "/"), ("scheme", "HTTP")):
            if not action.get(name):
                action[name] = value


def _field_reference(holder: Mapping[str, Any]) -> None:
    if isinstance(holder.get("fieldRef"), dict):
        _fill(holder["fieldRef"], apiVersion="v1")


def _volume(volume: dict[str, Any]) -> None:
    if not any(name != "name" for name in volume):
        volume["emptyDir"] = {}
    for name in _VOLUME_SOURCES_WITH_MODE:
        if isinstance(volume.get(name), dict):
            _fill(volume[name], defaultMode=_FILE_MODE)
    for item in _objects((volume.get("downwardAPI") or {}).get("items")):
        _field_reference(item)
    if isinstance(volume.get("hostPath"), dict):
        _fill(volume["hostPath"], type="")
    for source in _objects((volume.get("projected") or {}).get("sources")):
        if isinstance(source.get("serviceAccountToken"), dict):
            _fill(source["serviceAccountToken"], expirationSeconds=3600)
        for item in _objects((source.get("downwardAPI") or {}).get("items")):
            _field_reference(item)


def _fill(target: dict[str, Any], **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def _objects(items: Iterable[Any] | None) -> list[dict[str, Any]]:
    return [item for item in items or () if isinstance(item, dict)]
