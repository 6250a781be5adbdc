"""Rules of Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs (`pkg/apis/apps|batch`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .causes import Cause, forbidden, immutable, invalid_value, required, unsupported
from .metadata_validation import label_causes
from .pod_validation import pod_spec_causes
from .selectors_validation import selector_causes, selector_matches

_NOT_NEGATIVE = "must be greater than or equal to 0"


def deployment_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _not_negative(spec, "replicas")
    causes += _selector(spec)
    causes += _template(spec, ("Always",))
    strategy = spec.get("strategy") or {}
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        causes.append(unsupported("spec.strategy.type", strategy.get("type"), ("Recreate", "RollingUpdate")))
    elif strategy["type"] == "Recreate" and strategy.get("rollingUpdate"):
        detail = "may not be specified when strategy `type` is 'Recreate'"
        causes.append(forbidden("spec.strategy.rollingUpdate", detail))
    elif strategy["type"] == "RollingUpdate":
        causes += _rolling(strategy.get("rollingUpdate") or {}, "spec.strategy.rollingUpdate")
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        causes += _not_negative(spec, name)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        causes.append(
            invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
        )
    return causes + _unchanged(spec, old, "selector")


def replica_set_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _not_negative(spec, "replicas") + _not_negative(spec, "minReadySeconds")
    causes += _selector(spec) + _template(spec, ("Always",))
    return causes + _unchanged(spec, old, "selector")


def stateful_set_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _not_negative(spec, "replicas") + _selector(spec) + _template(spec, ("Always",))
    if old is None:
        return causes
    changeable = {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
    before = old.get("spec") or {}
    if any(spec.get(name) != before.get(name) for name in {*spec, *before} - changeable):
        causes.append(
            forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                "'minReadySeconds' are forbidden",
            )
        )
    return causes


def daemon_set_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _selector(spec) + _template(spec, ("Always",))
    return causes + _unchanged(spec, old, "selector")


def job_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _job_spec(spec, "spec")
    if old is None:
        return causes
    before = old.get("spec") or {}
    if spec.get("template") != before.get("template") and not _may_change_template(spec, before, old):
        causes.append(immutable("spec.template", spec["template"]))
    for name in ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"):
        causes += _unchanged(spec, old, name)
    if spec.get("completions") != before.get("completions") and spec.get("completionMode") != "Indexed":
        causes.append(immutable("spec.completions", spec.get("completions")))
    return causes


def _may_change_template(spec: Mapping[str, Any], before: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """A suspended job that never started may change what concerns scheduling."""
    status = old.get("status") or {}
    if not before.get("suspend") or status.get("startTime"):
        return False
    return _without_scheduling(spec["template"]) == _without_scheduling(before["template"])


def _without_scheduling(template: Mapping[str, Any]) -> dict[str, Any]:
    spec = dict(template.get("spec") or {})
    for name in ("nodeSelector", "affinity", "tolerations", "schedulingGates"):
        spec.pop(name, None)
    metadata = {
        key: value
        for key, value in (template.get("metadata") or {}).items()
        if key not in ("labels", "annotations")
    }
    return {"metadata": metadata, "spec": spec}


def cron_job_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = []
    if not spec.get("schedule"):
        causes.append(required("spec.schedule"))
    elif not spec["schedule"].startswith("@") and len(spec["schedule"].split()) != 5:
        count = len(spec["schedule"].split())
        detail = f"expected exactly 5 fields, found {count}: {spec['schedule'].split()}"
        causes.append(invalid_value("spec.schedule", spec["schedule"], detail))
    policies = ("Allow", "Forbid", "Replace")
    if spec.get("concurrencyPolicy") not in policies:
        causes.append(unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), policies))
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    return causes + _job_spec(template, "spec.jobTemplate.spec")


def _job_spec(spec: Mapping[str, Any], field: str) -> list[Cause]:
    causes = []
    for name in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ):
        causes += _not_negative(spec, name, field)
    template = (spec.get("template") or {}).get("spec") or {}
    # The template's own default, Always, makes no sense for a job: the server asks for a choice.
    if template.get("restartPolicy") in (None, "", "Always"):
        chosen = {**template, "restartPolicy": "Never"}
        causes += pod_spec_causes(chosen, f"{field}.template.spec")
        missing = required(f"{field}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
        return [*causes, missing]
    return causes + pod_spec_causes(template, f"{field}.template.spec")


def _not_negative(spec: Mapping[str, Any], name: str, field: str = "spec") -> list[Cause]:
    value = spec.get(name)
    if isinstance(value, int) and value < 0:
        return [invalid_value(f"{field}.{name}", value, _NOT_NEGATIVE)]
    return []


def _selector(spec: Mapping[str, Any]) -> list[Cause]:
    selector = spec.get("selector")
    if not selector:
        if selector is None:
            return [
                required("spec.selector"),
                *_template_labels(spec, {}),
            ]
        return [invalid_value("spec.selector", {}, "empty selector is invalid for deployment")]
    causes = selector_causes(selector, "spec.selector")
    return causes or _template_labels(spec, selector)


def _template_labels(spec: Mapping[str, Any], selector: Mapping[str, Any]) -> list[Cause]:
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if selector and selector_matches(selector, labels or {}):
        return []
    detail = "`selector` does not match template `labels`"
    return [invalid_value("spec.template.metadata.labels", labels, detail)]


def _template(spec: Mapping[str, Any], policies: tuple[str, ...]) -> list[Cause]:
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    causes = label_causes("spec.template.labels", (template.get("metadata") or {}).get("labels"))
    causes += pod_spec_causes(pod, "spec.template.spec")
    if pod and pod.get("restartPolicy") not in policies:
        causes.append(unsupported("spec.template.spec.restartPolicy", pod.get("restartPolicy"), policies))
    if pod.get("activeDeadlineSeconds") is not None:
        causes.append(
            forbidden(
                "spec.template.spec.activeDeadlineSeconds",
                "activeDeadlineSeconds in ReplicaSet is not Supported",
            )
        )
    return causes


def _rolling(rolling: Mapping[str, Any], field: str) -> list[Cause]:
    causes = []
    for name in ("maxUnavailable", "maxSurge"):
        value = rolling.get(name)
        if isinstance(value, str) and not (value.endswith("%") and value[:-1].isdigit()):
            causes.append(
                invalid_value(
                    f"{field}.{name}",
                    value,
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  "
                    "or '93%', regex used for validation is '[0-9]+%')",
                )
            )
        elif isinstance(value, int) and value < 0:
            causes.append(invalid_value(f"{field}.{name}", value, _NOT_NEGATIVE))
    if not causes and all(rolling.get(name) in (0, "0%") for name in ("maxUnavailable", "maxSurge")):
        detail = "may not be 0 when `maxSurge` is 0"
        causes.append(invalid_value(f"{field}.maxUnavailable", rolling.get("maxUnavailable"), detail))
    return causes


def _unchanged(spec: Mapping[str, Any], old: Mapping[str, Any] | None, name: str) -> list[Cause]:
    if old is None or spec.get(name) == (old.get("spec") or {}).get(name):
        return []
    return [immutable(f"spec.{name}", spec.get(name))]
