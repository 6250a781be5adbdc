"""The ReplicaSets of a Deployment: which is the current one, and what a new one looks like."""

from __future__ import annotations

import hashlib
import json

from local_platform.cluster.controllers.resources import DEPLOYMENTS, Object, name_of, owner_reference
from local_platform.cluster.controllers.rolling import Counts

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
HISTORY = "deployment.kubernetes.io/revision-history"
NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
}
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def revision_of(item: Object) -> int:
    text = (item["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def counts_of(replica_set: Object) -> Counts:
    status = replica_set.get("status") or {}
    return Counts(
        name_of(replica_set),
        replica_set["spec"].get("replicas", 0),
        status.get("replicas", 0),
        status.get("availableReplicas", 0),
        replica_set["metadata"].get("creationTimestamp", "") + name_of(replica_set),
    )


def template_hash(template: Object, collisions: int) -> str:
    """A short name for a pod template, in the letters of Kubernetes' generated names."""
    raw = json.dumps([template, collisions], sort_keys=True).encode()
    number = int.from_bytes(hashlib.sha256(raw).digest()[:8], "big")
    letters = ""
    for _ in range(9):
        number, index = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[index]
    return letters


def _without_hash(template: Object) -> Object:
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    metadata["labels"] = {
        key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL
    }
    return {**template, "metadata": metadata}


def find_new_set(deployment: Object, sets: list[Object]) -> Object | None:
    """The oldest set whose template is the Deployment's."""
    wanted = _without_hash(deployment["spec"]["template"])
    matching = [one for one in sets if _without_hash(one["spec"]["template"]) == wanted]
    return min(matching, key=lambda one: str(one["metadata"]["creationTimestamp"]), default=None)


def copied_annotations(deployment: Object) -> dict[str, str]:
    annotations = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key not in NOT_COPIED}


def new_replica_set(deployment: Object, revision: str, size: int, maximum: int) -> Object:
    """The set for the Deployment's current template."""
    spec = deployment["spec"]
    template = spec["template"]
    name = template_hash(template, (deployment.get("status") or {}).get("collisionCount", 0))
    labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: name}
    selector = dict(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: name}
    annotations = copied_annotations(deployment) | {
        DESIRED: str(spec.get("replicas", 1)),
        MAXIMUM: str(maximum),
        REVISION: revision,
    }
    body: Object = {
        "metadata": {
            "name": f"{name_of(deployment)}-{name}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(deployment, DEPLOYMENTS)],
        },
        "spec": {
            "replicas": size,
            "selector": selector,
            "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
        },
    }
    if wait := spec.get("minReadySeconds"):
        body["spec"]["minReadySeconds"] = wait
    return body
