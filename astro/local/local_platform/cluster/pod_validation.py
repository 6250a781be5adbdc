"""Rules of Pods and of pod specs in templates (k8s.io/kubernetes `pkg/apis/core/validation`)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from .causes import Cause, duplicate, forbidden, invalid_value, required, unsupported
from .container_validation import container_causes
from .metadata_validation import label_causes
from .name_formats import label_errors, subdomain_errors

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_UPDATE_FORBIDDEN = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    """A Pod; an update may change little more than images and tolerations."""
    spec = obj.get("spec") or {}
    causes = pod_spec_causes(spec, "spec")
    policy = spec.get("restartPolicy")
    if policy and policy not in _RESTART_POLICIES:
        causes.append(unsupported("spec.restartPolicy", policy, _RESTART_POLICIES))
    if old is not None:
        causes += _update(spec, old.get("spec") or {})
    return causes


def pod_spec_causes(spec: Mapping[str, Any], field: str) -> list[Cause]:
    """The spec of a Pod or of a template; the choice of restartPolicy is left to the kind."""
    causes, volumes = _volumes(spec.get("volumes"), f"{field}.volumes")
    if not spec.get("containers"):
        causes.append(required(f"{field}.containers"))
    names: set[str] = set()
    for list_name in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(list_name) or ()):
            where = f"{field}.{list_name}[{index}]"
            causes += container_causes(container, where, volumes, init=list_name == "initContainers")
            name = container.get("name")
            if name and name in names:
                causes.append(duplicate(f"{where}.name", name))
            names.add(name)
    causes += _settings(spec, field)
    return causes


def _settings(spec: Mapping[str, Any], field: str) -> list[Cause]:
    causes = []
    policy = spec.get("dnsPolicy")
    if policy and policy not in _DNS_POLICIES:
        causes.append(unsupported(f"{field}.dnsPolicy", policy, _DNS_POLICIES))
    causes += label_causes(f"{field}.nodeSelector", spec.get("nodeSelector"))
    account = spec.get("serviceAccountName")
    if account:
        causes += [
            invalid_value(f"{field}.serviceAccountName", account, one) for one in subdomain_errors(account)
        ]
    grace = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0:
        causes.append(
            invalid_value(
                f"{field}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0"
            )
        )
    deadline = spec.get("activeDeadlineSeconds")
    if isinstance(deadline, int) and deadline < 1:
        causes.append(
            invalid_value(
                f"{field}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive"
            )
        )
    return causes


def _volumes(volumes: Any, field: str) -> tuple[list[Cause], set[str]]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, volume in enumerate(volumes or ()):
        where = f"{field}[{index}]"
        name = volume.get("name", "")
        if not name:
            causes.append(required(f"{where}.name"))
        else:
            causes += [invalid_value(f"{where}.name", name, one) for one in label_errors(name)]
        if name in names:
            causes.append(duplicate(f"{where}.name", name))
        names.add(name)
        sources = [key for key in volume if key != "name"]
        causes += [
            forbidden(f"{where}.{key}", "may not specify more than 1 volume type") for key in sources[1:]
        ]
        causes += _volume_source(volume, where)
    return causes, names


def _volume_source(volume: Mapping[str, Any], where: str) -> list[Cause]:
    causes = []
    for source, name in (("secret", "secretName"), ("configMap", "name"), ("hostPath", "path")):
        value = volume.get(source)
        if isinstance(value, Mapping) and not value.get(name):
            causes.append(required(f"{where}.{source}.{name}"))
    claim = volume.get("persistentVolumeClaim")
    if isinstance(claim, Mapping) and not claim.get("claimName"):
        causes.append(required(f"{where}.persistentVolumeClaim.claimName"))
    return causes


def _update(spec: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    causes = []
    for name in ("containers", "initContainers"):
        before, after = old.get(name) or [], spec.get(name) or []
        if len(before) != len(after):
            causes.append(forbidden(f"spec.{name}", "pod updates may not add or remove containers"))
    if causes:
        return causes
    if _comparable(spec, old) != _comparable(old, old):
        causes.append(forbidden("spec", _UPDATE_FORBIDDEN))
    return causes


def _comparable(spec: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """A spec with the old values where a change is allowed."""
    plain = copy.deepcopy(dict(spec))
    for name in ("containers", "initContainers"):
        for container, before in zip(plain.get(name) or (), old.get(name) or (), strict=True):
            container["image"] = before.get("image")
    plain["activeDeadlineSeconds"] = old.get("activeDeadlineSeconds")
    before_tolerations = old.get("tolerations") or []
    if all(one in (plain.get("tolerations") or []) for one in before_tolerations):
        plain["tolerations"] = before_tolerations
    if (
        plain.get("terminationGracePeriodSeconds") == 1
        and (old.get("terminationGracePeriodSeconds") or 0) < 0
    ):
        plain["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    # spec.nodeName is set by the binding subresource, and gates may only be taken away.
    plain["nodeName"] = old.get("nodeName")
    gates = plain.get("schedulingGates") or []
    if all(one in (old.get("schedulingGates") or []) for one in gates):
        plain["schedulingGates"] = old.get("schedulingGates")
    return plain
