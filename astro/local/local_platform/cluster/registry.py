"""Create, read, update, patch and delete of every kind: the generic registry of an API server.

The order is the server's: decode, admission (mutating), defaults, validation, managed fields, store. What
a single kind adds stands in `admission`; types, defaults and patches in their own modules.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from . import apply, managed_fields, patching, versions
from .admission import Admission
from .decoding import decode
from .defaults import apply_defaults
from .errors import StatusError, already_exists, bad_request, invalid, not_found
from .incoming import (
    Options,
    check_name,
    check_preconditions,
    decoded,
    decoded_patch,
    identify,
    place,
    refuse_new_uid,
)
from .resources import Resource, Resources
from .schema import Schema
from .store import Store, Stored
from .validation import Cause
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
# Kinds of which this part of the metadata counts as much as the spec does (PrepareForUpdate of their
# strategies): tools leave notes for the Deployment controller in annotations.
_COUNTED_METADATA = {
    ("apps", "v1", "Deployment"): "annotations",
    ("discovery.k8s.io", "v1", "EndpointSlice"): "labels",
}


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
        identify(self.resources, resource, document)
        document = decoded(document, options)
        metadata = document.setdefault("metadata", {})
        place(resource, namespace, metadata)
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
        identify(self.resources, resource, document)
        document = decoded(document, options)
        metadata = document.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = name
        check_name(name, metadata)
        place(resource, namespace, metadata)
        live = self.store.get(resource.bucket, namespace, name)
        if live is None:
            if resource.kind in _CREATED_BY_UPDATE and not subresource:
                return self.create(resource, namespace, document, options)
            raise not_found(resource.group, resource.plural, name)
        check_preconditions(resource, live, metadata)
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

        `shown` is what a refusal quotes: the patch where it is strategic, otherwise (None) the patched
        object.
        """
        live = self.get(resource, namespace, name)
        before = versions.from_stored(resource, live.copy())
        after = change(before)
        identify(self.resources, resource, after)
        after = decoded_patch(after, shown, options)
        metadata = after.setdefault("metadata", {})
        check_name(name, metadata)
        refuse_new_uid(resource, live, metadata)
        check_preconditions(resource, live, metadata)
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
        """The object after the apply, and whether it was created by it. Raises 404, 409 with causes, 422
        or 500.
        """
        identify(self.resources, resource, applied)
        metadata = applied.setdefault("metadata", {})
        metadata.setdefault("name", name)
        check_name(name, metadata)
        place(resource, namespace, metadata)
        if "managedFields" in metadata:
            raise bad_request("metadata.managedFields must be nil")
        live = self.store.get(resource.bucket, namespace, name)
        if live is None:
            self.admission.check_namespace(resource, namespace)
        if live is not None:
            check_preconditions(resource, live, metadata)
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
        counts = resource.counts_generation and subresource != "status"
        if counts and self._changes_generation(resource, old, document):
            document["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        self._validate(resource, document, old, subresource)
        if managed_fields.same_but_for_times(old, document):
            return live
        gone = self.admission.ends_deletion(document)
        if gone and not options.dry_run:
            # Watchers see the object as it was stored, the client what it asked for.
            self.store.delete(resource.bucket, live.namespace, live.name)
            return dry(document)
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
        counted = _COUNTED_METADATA.get(resource.gvk, "")
        if counted and (old["metadata"].get(counted) or {}) != (new["metadata"].get(counted) or {}):
            return True
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


def dry(document: JSON) -> Stored:
    """A version that exists only in an answer: of a dry run, or of the write that ended a deletion."""
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
    ordered: JSON = {name: document[name] for name in ("kind", "apiVersion", "metadata") if name in document}
    ordered.update((key, value) for key, value in document.items() if key != "status")
    if "status" in document:
        ordered["status"] = document["status"]
    return ordered
