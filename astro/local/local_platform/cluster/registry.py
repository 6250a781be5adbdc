"""Create, read, update, patch and delete of every kind: the generic registry of an API server.

The order is the server's: decode, admission (mutating), defaults, validation, managed fields, store. What a single
kind adds stands in `admission`; types, defaults and patches in their own modules.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from . import apply, managed_fields, patching, versions
from .admission import Admission
from .decoding import decode, decode_error, strict_errors
from .defaults import apply_defaults
from .errors import StatusError, already_exists, bad_request, conflict, invalid, modified, not_found
from .resources import Resource, Resources
from .schema import Schema
from .store import Store, Stored
from .validation import Cause, undecodable_patch
from .validation import invalid as find_invalid

JSON = dict[str, Any]
Change = Callable[[JSON], JSON]

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery util/rand: no vowels, no look-alikes
GENERATED_NAME_ROOM = 63 - 5
_ATTEMPTS = 5

# Kinds whose PUT creates what is not there (AllowCreateOnUpdate of their strategies).
_CREATED_BY_UPDATE = frozenset(
    {"Endpoints", "Event", "Lease", "LimitRange", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
)


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


class Registry:
    """All objects, with the rules that hold for every kind."""

    def __init__(self, store: Store, resources: Resources) -> None:
        self.store = store
        self.resources = resources
        self.admission = Admission(store)

    # reading

    def get(self, resource: Resource, namespace: str, name: str) -> Stored:
        """Raises 404."""
        stored = self.store.get(resource.bucket, namespace, name)
        if stored is None:
            raise not_found(resource.group, resource.plural, name)
        return stored

    # writing

    def create(self, resource: Resource, namespace: str, document: JSON, options: Options) -> Stored:
        """Raises 400, 403, 404 (namespace), 409 or 422; nothing is stored in a dry run."""
        self._identify(resource, document)
        document = _decoded(document, options)
        metadata = document.setdefault("metadata", {})
        self._place(resource, namespace, metadata)
        self.admission.check_namespace(resource, namespace)
        self._name(resource, namespace, document)
        for name in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(name, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = options.time
        metadata.pop("generation", None)
        if resource.counts_generation:
            metadata["generation"] = 1
        document = versions.to_stored(resource, document)
        if resource.custom is None or resource.subresource("status"):
            document.pop("status", None)
        document = apply_defaults(self.admission.prepare(document), None)
        self._track(document, None, options, "")
        document = self._admitted(resource, document, None)
        name = metadata["name"]
        if self.store.get(resource.bucket, namespace, name) is not None:
            raise already_exists(resource.group, resource.plural, name)
        self._validate(resource, document, None)
        return self._store(resource, document, options)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        document: JSON,
        options: Options,
        subresource: str = "",
    ) -> Stored:
        """PUT. Raises 400, 404, 409 or 422."""
        self._identify(resource, document)
        document = _decoded(document, options)
        metadata = document.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = name
        if metadata["name"] != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        self._place(resource, namespace, metadata)
        live = self.store.get(resource.bucket, namespace, name)
        if live is None:
            if resource.kind in _CREATED_BY_UPDATE and not subresource:
                return self.create(resource, namespace, document, options)
            raise not_found(resource.group, resource.plural, name)
        self._check_preconditions(resource, live, metadata)
        if resource.custom and not metadata.get("resourceVersion"):
            message = "Invalid value: 0: must be specified for an update"
            cause = Cause("FieldValueInvalid", message, "metadata.resourceVersion")
            raise invalid(resource.group, resource.plural, name, [cause])
        document = versions.to_stored(resource, document)
        return self._replace(resource, live, document, options, subresource)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Change,
        options: Options,
        subresource: str = "",
        shown: Any = None,
    ) -> Stored:
        """Apply `change` to the live object. Raises what it raises, 404, 409 or 422.

        `shown` is what a refusal quotes: the patch where it is strategic, otherwise (None) the patched object.
        """
        live = self.get(resource, namespace, name)
        before = versions.from_stored(resource, live.copy())
        after = change(before)
        self._identify(resource, after)
        after = _decoded_patch(after, shown, options)
        metadata = after.setdefault("metadata", {})
        if metadata.get("name") != name:
            raise bad_request(
                f"the name of the object ({metadata.get('name', '')}) does not match the name on the URL ({name})"
            )
        self._refuse_new_uid(resource, live, metadata)
        self._check_preconditions(resource, live, metadata)
        after = versions.to_stored(resource, after)
        return self._replace(resource, live, after, options, subresource)

    def server_side_apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        applied: JSON,
        options: Options,
        subresource: str = "",
    ) -> tuple[Stored, bool]:
        """The object after the apply, and whether it was created by it. Raises 404, 409 with causes, 422 or 500."""
        self._identify(resource, applied)
        metadata = applied.setdefault("metadata", {})
        metadata.setdefault("name", name)
        if metadata["name"] != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        self._place(resource, namespace, metadata)
        if "managedFields" in metadata:
            raise bad_request("metadata.managedFields must be nil")
        live = self.store.get(resource.bucket, namespace, name)
        if live is None:
            self.admission.check_namespace(resource, namespace)
        if live is not None:
            self._check_preconditions(resource, live, metadata)
        before = versions.from_stored(resource, live.copy()) if live else None
        merged = self._applied(resource, before, applied, options, subresource)
        if live is None:
            stored = self._create_applied(resource, namespace, merged, options)
            return stored, True
        merged = versions.to_stored(resource, merged)
        return self._replace(resource, live, merged, options, subresource, tracked=True), False

    def _create_applied(self, resource: Resource, namespace: str, merged: JSON, options: Options) -> Stored:
        metadata = merged["metadata"]
        entries = metadata.pop("managedFields")
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=options.time)
        if resource.counts_generation:
            metadata["generation"] = 1
        document = decode(versions.to_stored(resource, merged))
        if resource.subresource("status"):
            document.pop("status", None)
        document = self._admitted(resource, apply_defaults(self.admission.prepare(document), None), None)
        document["metadata"]["managedFields"] = entries
        self._validate(resource, document, None)
        return self._store(resource, document, options)

    def _applied(
        self, resource: Resource, before: JSON | None, applied: JSON, options: Options, subresource: str
    ) -> JSON:
        schema = Schema.for_kind(resource.gvk)
        try:
            return apply.server_side_apply(
                before,
                applied,
                manager=options.manager,
                force=options.force,
                now=options.time,
                schema=schema,
                subresource=subresource,
            )
        except apply.ApplyConflict as refused:
            causes = [
                {"reason": cause.reason, "message": cause.message, "field": cause.field}
                for cause in refused.causes
            ]
            raise StatusError(409, "Conflict", str(refused), {"causes": causes}) from refused
        except patching.PatchError as refused:
            raise StatusError(refused.status, refused.reason, refused.message, None) from refused

    def _replace(
        self,
        resource: Resource,
        live: Stored,
        document: JSON,
        options: Options,
        subresource: str,
        *,
        tracked: bool = False,
    ) -> Stored:
        old = live.copy()
        metadata = document["metadata"]
        for name in (
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ):
            metadata.pop(name, None)
            if name in old["metadata"]:
                metadata[name] = old["metadata"][name]
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        document = self._scoped(resource, old, document, subresource)
        if tracked:
            document = decode(document)
        document = apply_defaults(self.admission.prepare(document), old)
        if not tracked:
            self._track(document, old, options, subresource)
        document = self._admitted(resource, document, old, subresource)
        if resource.counts_generation and self._changes_generation(resource, old, document):
            document["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        self._validate(resource, document, old, subresource)
        if managed_fields.same_but_for_times(old, document):
            return live
        gone = self.admission.ends_deletion(document)
        if gone and not options.dry_run:
            return self.store.delete(resource.bucket, live.namespace, live.name, document)
        return self._store(resource, document, options)

    def _scoped(self, resource: Resource, old: JSON, document: JSON, subresource: str) -> JSON:
        """Only the part of the object that the path may write."""
        if subresource == "status":
            return self.admission.status_update(resource, old, document)
        if subresource == "finalize":
            finalizers = (document.get("spec") or {}).get("finalizers") or []
            return {**old, "spec": {"finalizers": finalizers} if finalizers else {}}
        if resource.subresource("status") and subresource == "":
            document.pop("status", None)
            if "status" in old:
                document["status"] = old["status"]
        return document

    def _changes_generation(self, resource: Resource, old: JSON, new: JSON) -> bool:
        ignored = {"metadata", "status"} if resource.subresource("status") else {"metadata"}
        keys = (set(old) | set(new)) - ignored
        return any(old.get(key) != new.get(key) for key in keys)

    def _admitted(self, resource: Resource, document: JSON, old: JSON | None, subresource: str = "") -> JSON:
        if not subresource:
            document = self.admission.mutate(resource, document, old)
        return _in_order(document)

    def _track(self, document: JSON, old: JSON | None, options: Options, subresource: str) -> None:
        """Managed fields are taken before admission: what plugins add belongs to nobody."""
        entries = managed_fields.track(
            old,
            document,
            manager=options.manager,
            operation="Update",
            now=options.time,
            schema=Schema.for_object(document),
            subresource=subresource,
        )
        document["metadata"].pop("managedFields", None)
        if entries:
            document["metadata"]["managedFields"] = entries

    def _validate(self, resource: Resource, document: JSON, old: JSON | None, subresource: str = "") -> None:
        causes = find_invalid(document, old)
        if not subresource:
            causes = [*causes, *self.admission.refusals(resource, document, old)]
        if causes:
            raise invalid(resource.group, resource.kind, document["metadata"].get("name", ""), causes)

    def _store(self, resource: Resource, document: JSON, options: Options) -> Stored:
        metadata = document["metadata"]
        if options.dry_run:
            return dry(document)
        stored = self.store.put(resource.bucket, document)
        self.admission.stored(resource, metadata.get("namespace", ""))
        return stored

    # what a request's object has to be

    def _identify(self, resource: Resource, document: JSON) -> None:
        kind = document.get("kind") or resource.kind
        api_version = document.get("apiVersion") or resource.api_version
        group, _, version = str(api_version).rpartition("/")
        if (group, version, kind) != resource.gvk:
            if (
                resource.custom
                or group != resource.group
                or self.resources.by_kind(group, version, kind) is None
            ):
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

    def _place(self, resource: Resource, namespace: str, metadata: JSON) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace

    def _name(self, resource: Resource, namespace: str, document: JSON) -> None:
        metadata = document["metadata"]
        if metadata.get("name"):
            return
        stem = metadata.get("generateName")
        if not stem:
            message = "Required value: name or generateName is required"
            raise invalid(
                resource.group, resource.kind, "", [Cause("FieldValueRequired", message, "metadata.name")]
            )
        for _ in range(_ATTEMPTS):
            ending = "".join(random.choices(NAME_ALPHABET, k=5))
            metadata["name"] = stem[:GENERATED_NAME_ROOM] + ending
            if self.store.get(resource.bucket, namespace, metadata["name"]) is None:
                return

    def _refuse_new_uid(self, resource: Resource, live: Stored, metadata: JSON) -> None:
        uid = metadata.get("uid")
        if uid and uid != live.document["metadata"]["uid"]:
            cause = Cause("FieldValueInvalid", f'Invalid value: "{uid}": field is immutable', "metadata.uid")
            raise invalid(resource.group, resource.kind, live.name, [cause, cause])

    def _check_preconditions(self, resource: Resource, live: Stored, metadata: JSON) -> None:
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
    """What keeps the document from being decoded; unknown and repeated fields count as fieldValidation says."""
    wrong = decode_error(document)
    if wrong:
        return wrong
    problems = [] if options.validation == "Ignore" else [*options.duplicates, *strict_errors(document)]
    if options.validation != "Strict":
        options.warnings += problems
        return ""
    return f"strict decoding error: {', '.join(problems)}" if problems else ""


def _decoded(document: JSON, options: Options) -> JSON:
    """The document without what its type does not declare. Raises 400."""
    problem = _problems(document, options)
    if problem:
        kind, version = document["kind"], document["apiVersion"].rpartition("/")[2]
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}')
    return decode(document)


def _decoded_patch(document: JSON, shown: Any, options: Options) -> JSON:
    """The same for a patched object, which is refused with 422."""
    problem = _problems(document, options)
    if problem:
        if shown is None:
            shown = json.dumps(document, sort_keys=True, separators=(",", ":"))
        raise invalid("", "", "", [undecodable_patch(shown, problem)])
    return decode(document)


def dry(document: JSON) -> Stored:
    """A version that exists only in the answer of a dry run."""
    metadata = document["metadata"]
    return Stored(metadata.get("namespace", ""), metadata["name"], 0, document, msgspec.json.encode(document))


_FIRST = ("kind", "apiVersion", "metadata", "spec", "status")
_METADATA = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def _in_order(document: JSON) -> JSON:
    """The object with its fields in the order in which the server writes them."""
    metadata = {name: document["metadata"][name] for name in _METADATA if name in document["metadata"]}
    metadata.update(document["metadata"])
    document["metadata"] = metadata
    ordered = {name: document[name] for name in ("kind", "apiVersion", "metadata") if name in document}
    ordered.update((key, value) for key, value in document.items() if key != "status")
    if "status" in document:
        ordered["status"] = document["status"]
    return ordered
