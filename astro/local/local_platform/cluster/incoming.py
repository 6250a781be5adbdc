"""What the object of a request has to be before it may change anything."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .decoding import decode, decode_error, strict_errors
from .errors import bad_request, conflict, invalid, modified
from .resources import Resource, Resources
from .store import Stored
from .validation import Cause, undecodable_patch

JSON = dict[str, Any]


def timestamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Options:
    """What a write carries beside its object. `warnings` collects texts for Warning headers."""

    manager: str
    now: datetime
    dry_run: bool = False
    validation: str = "Warn"  # Strict, Warn or Ignore
    force: bool = False
    duplicates: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def time(self) -> str:
        return timestamp(self.now)


def identify(resources: Resources, resource: Resource, document: JSON) -> None:
    kind = document.get("kind") or resource.kind
    api_version = document.get("apiVersion") or resource.api_version
    group, _, version = str(api_version).rpartition("/")
    if (group, version, kind) != resource.gvk:
        if resource.custom or group != resource.group or resources.by_kind(group, version, kind) is None:
            raise bad_request(
                f"the API version in the data ({api_version}) does not match the expected API version "
                f"({resource.api_version})"
                if kind == resource.kind
                else f'{kind} in version "{version}" cannot be handled as a {resource.kind}: '
                f'no kind "{kind}" is registered for version "{api_version}" in scheme'
            )
        internal = resource.group.partition(".")[0] or "core"
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: converting '
            f"({version}.{kind}) to ({internal}.{resource.kind}): unknown conversion"
        )
    document["kind"], document["apiVersion"] = kind, api_version


def place(resource: Resource, namespace: str, metadata: JSON) -> None:
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    if metadata.get("namespace", namespace) != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = namespace


def check_name(name: str, metadata: JSON) -> None:
    """Raises 400 when the object is not the one that the path names."""
    found = metadata.get("name", "")
    if found != name:
        raise bad_request(f"the name of the object ({found}) does not match the name on the URL ({name})")


def refuse_new_uid(resource: Resource, live: Stored, metadata: JSON) -> None:
    uid = metadata.get("uid")
    if uid and uid != live.document["metadata"]["uid"]:
        cause = Cause("FieldValueInvalid", f'Invalid value: "{uid}": field is immutable', "metadata.uid")
        raise invalid(resource.group, resource.kind, live.name, [cause, cause])


def check_preconditions(resource: Resource, live: Stored, metadata: JSON) -> None:
    uid, have = metadata.get("uid"), live.document["metadata"]["uid"]
    if uid and uid != have:
        key = f"/registry/{resource.bucket}/{live.namespace}/{live.name}".replace("//", "/")
        raise conflict(
            resource.group,
            resource.plural,
            live.name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {have}",
        )
    revision = metadata.get("resourceVersion")
    if revision and revision != "0" and revision != str(live.revision):
        raise modified(resource.group, resource.plural, live.name)


def _problems(document: JSON, options: Options) -> str:
    """What keeps the document from being decoded; unknown fields count as fieldValidation says."""
    wrong = decode_error(document)
    if wrong:
        return wrong
    problems = [] if options.validation == "Ignore" else [*options.duplicates, *strict_errors(document)]
    if options.validation != "Strict":
        options.warnings += problems
        return ""
    return f"strict decoding error: {', '.join(problems)}" if problems else ""


def decoded(document: JSON, options: Options) -> JSON:
    """The document without what its type does not declare. Raises 400."""
    problem = _problems(document, options)
    if problem:
        kind, version = document["kind"], document["apiVersion"].rpartition("/")[2]
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}')
    return decode(document)


def decoded_patch(document: JSON, shown: Any, options: Options) -> JSON:
    """The same for a patched object, which is refused with 422."""
    problem = _problems(document, options)
    if problem:
        if shown is None:
            shown = json.dumps(document, sort_keys=True, separators=(",", ":"))
        raise invalid("", "", "", [undecodable_patch(shown, problem)])
    return decode(document)
