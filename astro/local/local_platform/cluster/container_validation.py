"""Rules of one container (k8s.io/kubernetes `pkg/apis/core/validation`, `validateContainers`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .causes import Cause, duplicate, forbidden, invalid_value, not_found, required, unsupported
from .name_formats import environment_name_errors, label_errors, port_name_errors, port_number_errors
from .quantity import QuantityError, parse_quantity

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TERMINATION_POLICIES = ("FallbackToLogsOnError", "File")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def container_causes(
    container: Mapping[str, Any], field: str, volumes: set[str], *, init: bool
) -> list[Cause]:
    """`volumes` are the names that volumeMounts may refer to."""
    name = container.get("name", "")
    causes = []
    if not name:
        causes.append(required(f"{field}.name"))
    else:
        causes += [invalid_value(f"{field}.name", name, one) for one in label_errors(name)]
    image = container.get("image", "")
    if not image:
        causes.append(required(f"{field}.image"))
    elif image != image.strip():
        causes.append(invalid_value(f"{field}.image", image, "must not have leading or trailing whitespace"))
    causes += _policies(container, field)
    causes += _ports(container.get("ports"), f"{field}.ports")
    causes += _environment(container.get("env"), f"{field}.env")
    causes += _mounts(container.get("volumeMounts"), f"{field}.volumeMounts", volumes)
    causes += _resources(container.get("resources") or {}, f"{field}.resources")
    sidecar = container.get("restartPolicy") == "Always"
    for probe in _PROBES:
        if probe not in container:
            continue
        if init and not sidecar:
            causes.append(
                forbidden(
                    f"{field}.{probe}", "may not be set for init containers without restartPolicy=Always"
                )
            )
        else:
            causes += _probe(container[probe], f"{field}.{probe}", once=probe != "readinessProbe")
    return causes


def _policies(container: Mapping[str, Any], field: str) -> list[Cause]:
    causes = []
    pull = container.get("imagePullPolicy")
    if pull is not None and pull not in _PULL_POLICIES:
        causes.append(unsupported(f"{field}.imagePullPolicy", pull, _PULL_POLICIES))
    message = container.get("terminationMessagePolicy")
    if message is not None and message not in _TERMINATION_POLICIES:
        causes.append(unsupported(f"{field}.terminationMessagePolicy", message, _TERMINATION_POLICIES))
    return causes


def _ports(ports: Any, field: str) -> list[Cause]:
    causes = []
    names: set[str] = set()
    for index, port in enumerate(ports or ()):
        where = f"{field}[{index}]"
        name = port.get("name")
        if name:
            causes += [invalid_value(f"{where}.name", name, one) for one in port_name_errors(name)]
            if name in names:
                causes.append(duplicate(f"{where}.name", name))
            names.add(name)
        number = port.get("containerPort", 0)
        if number == 0:
            causes.append(required(f"{where}.containerPort"))
        else:
            errors = port_number_errors(number)
            causes += [invalid_value(f"{where}.containerPort", number, one) for one in errors]
        protocol = port.get("protocol")
        if not protocol:
            causes.append(required(f"{where}.protocol"))
        elif protocol not in _PROTOCOLS:
            causes.append(unsupported(f"{where}.protocol", protocol, _PROTOCOLS))
    return causes


def _environment(entries: Any, field: str) -> list[Cause]:
    causes = []
    for index, entry in enumerate(entries or ()):
        where = f"{field}[{index}]"
        name = entry.get("name", "")
        if not name:
            causes.append(required(f"{where}.name"))
        else:
            causes += [invalid_value(f"{where}.name", name, one) for one in environment_name_errors(name)]
        source = entry.get("valueFrom")
        if source is None:
            continue
        if entry.get("value"):
            detail = "may not be specified when `value` is not empty"
            causes.append(invalid_value(f"{where}.valueFrom", "", detail))
        if not source:
            causes.append(
                invalid_value(
                    f"{where}.valueFrom",
                    "",
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` "
                    "or `fileKeyRef`",
                )
            )
    return causes


def _mounts(mounts: Any, field: str, volumes: set[str]) -> list[Cause]:
    causes = []
    paths: set[str] = set()
    for index, mount in enumerate(mounts or ()):
        where = f"{field}[{index}]"
        if not mount.get("name"):
            causes.append(required(f"{where}.name"))
        elif mount["name"] not in volumes:
            causes.append(not_found(f"{where}.name", mount["name"]))
        path = mount.get("mountPath", "")
        if not path:
            causes.append(required(f"{where}.mountPath"))
        elif path in paths:
            causes.append(invalid_value(f"{where}.mountPath", path, "must be unique"))
        paths.add(path)
    return causes


def _resources(resources: Mapping[str, Any], field: str) -> list[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    causes = []
    for list_name, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if _amount(amount) is not None and _amount(amount) < 0:
                detail = "must be greater than or equal to 0"
                causes.append(invalid_value(f"{field}.{list_name}[{name}]", amount, detail))
    for name, amount in requests.items():
        wanted, limit = _amount(amount), _amount(limits.get(name))
        if wanted is not None and limit is not None and wanted > limit:
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.append(invalid_value(f"{field}.requests", amount, detail))
    return causes


def _amount(text: Any) -> Any:
    if text is None:
        return None
    try:
        return parse_quantity(text)
    except QuantityError:
        return None


def _probe(probe: Mapping[str, Any], field: str, *, once: bool) -> list[Cause]:
    causes = _handler(probe, field)
    for name in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        value = probe.get(name)
        if isinstance(value, int) and value < 0:
            causes.append(invalid_value(f"{field}.{name}", value, "must be greater than or equal to 0"))
    if once and probe.get("successThreshold", 1) != 1:
        causes.append(invalid_value(f"{field}.successThreshold", probe["successThreshold"], "must be 1"))
    return causes


def _handler(probe: Mapping[str, Any], field: str) -> list[Cause]:
    chosen = [name for name in _HANDLERS if probe.get(name) is not None]
    if not chosen:
        return [required(field, "must specify a handler type")]
    causes = [forbidden(f"{field}.{name}", "may not specify more than 1 handler type") for name in chosen[1:]]
    for name in ("httpGet", "tcpSocket"):
        action = probe.get(name)
        if isinstance(action, Mapping):
            port = action.get("port", 0)
            errors = port_name_errors(port) if isinstance(port, str) else port_number_errors(port)
            causes += [invalid_value(f"{field}.{name}.port", port, one) for one in errors]
    command = probe.get("exec")
    if isinstance(command, Mapping) and not command.get("command"):
        causes.append(required(f"{field}.exec.command"))
    return causes
