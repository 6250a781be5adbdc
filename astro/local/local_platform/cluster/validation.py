"""What the server refuses: fields that do not exist (400) and values that are not allowed (422)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .causes import Cause, quoted
from .custom_validation import custom_causes
from .decoding import decode_error, go_text, strict_errors
from .metadata_validation import metadata_causes
from .pod_validation import pod_causes
from .schema import GroupVersionKind, Schema, kind_of
from .service_validation import service_causes
from .storage_validation import config_map_causes, secret_causes
from .workload_validation import (
    cron_job_causes,
    daemon_set_causes,
    deployment_causes,
    job_causes,
    replica_set_causes,
    stateful_set_causes,
)

__all__ = ["Cause", "decode_error", "invalid", "strict_errors", "undecodable_patch"]


def invalid(obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Cause]:
    """The causes of a 422; none when the object may be stored. `old` is the stored object at an update."""
    kind = kind_of(obj)
    causes = metadata_causes(obj, old)
    schema = Schema.for_kind(kind)
    if schema is not None and schema.custom:
        return causes + custom_causes(obj, schema)
    if check := _BY_KIND.get(kind):
        causes += check(obj, old)
    return causes


def undecodable_patch(patched: Any, error: str) -> Cause:
    """The one cause of a patch whose result the type cannot hold (its Status names no object).

    `patched` is the patch itself for a strategic merge, the text of the patched object for the JSON formats.
    """
    shown = patched if isinstance(patched, str) else go_text(patched)
    return Cause("FieldValueInvalid", f"Invalid value: {quoted(shown)}: {error}", "patch")


_BY_KIND: Mapping[GroupVersionKind, Callable[[Mapping[str, Any], Mapping[str, Any] | None], list[Cause]]] = {
    ("", "v1", "Pod"): pod_causes,
    ("", "v1", "Service"): service_causes,
    ("", "v1", "ConfigMap"): config_map_causes,
    ("", "v1", "Secret"): secret_causes,
    ("apps", "v1", "Deployment"): deployment_causes,
    ("apps", "v1", "ReplicaSet"): replica_set_causes,
    ("apps", "v1", "StatefulSet"): stateful_set_causes,
    ("apps", "v1", "DaemonSet"): daemon_set_causes,
    ("batch", "v1", "Job"): job_causes,
    ("batch", "v1", "CronJob"): cron_job_causes,
}
