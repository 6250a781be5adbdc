"""LIST: selectors, pages, and the versions that a list can be asked for."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import bad_request, expired, future_revision, invalid
from .resources import Resource
from .selectors import Predicate, everything, exact_name, field_selector, label_selector
from .store import CompactedError, Store, Stored
from .validation import Cause

JSON = dict[str, Any]

CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned "
    "and now may show up in the list."
)
LIST_TOO_OLD = "The resourceVersion for the provided list is too old."


def integer(text: str) -> int:
    """A whole number of a query; raises 400 in the words of Go's parser."""
    try:
        return int(text)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


@dataclass(frozen=True)
class ListOptions:
    """The query of a LIST or WATCH, checked."""

    labels: Predicate = everything
    fields: Predicate = everything
    name: str | None = None
    selective: bool = False
    limit: int = 0
    continue_token: str = ""
    revision: str = ""
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout_seconds: int | None = None

    @classmethod
    def read(cls, query: Mapping[str, str], resource: Resource, *, watch: bool = False) -> ListOptions:
        """Raises 400 for what does not parse and 422 for what does not go together."""
        watching = watch or truth(query.get("watch"))
        custom = _selectable(resource)
        fields_text = query.get("fieldSelector", "")
        labels_text = query.get("labelSelector", "")
        timeout = query.get("timeoutSeconds")
        initial = query.get("sendInitialEvents")
        options = cls(
            labels=label_selector(labels_text),
            fields=field_selector(fields_text, resource.kind, custom),
            name=exact_name(fields_text),
            selective=bool(fields_text or labels_text),
            limit=integer(query.get("limit") or "0"),
            continue_token=query.get("continue", ""),
            revision=query.get("resourceVersion", ""),
            match=query.get("resourceVersionMatch", ""),
            watch=watching,
            bookmarks=truth(query.get("allowWatchBookmarks")),
            initial_events=None if initial is None else truth(initial),
            timeout_seconds=integer(timeout) if timeout else None,
        )
        options._check()
        return options

    def selects(self, document: JSON) -> bool:
        return self.labels(document) and self.fields(document)

    def _check(self) -> None:
        causes = self._watch_causes() if self.watch else self._list_causes()
        if causes:
            raise invalid("meta.k8s.io", "ListOptions", "", causes)

    def _list_causes(self) -> list[Cause]:
        if self.initial_events is not None:
            return [_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
        if not self.match:
            return []
        if not self.revision:
            text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            return [_forbidden("resourceVersionMatch", text)]
        if self.continue_token:
            return [
                _forbidden(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
                )
            ]
        if self.match not in ("Exact", "NotOlderThan"):
            return [_unsupported(self.match, '"Exact", "NotOlderThan", ""')]
        if self.match == "Exact" and self.revision == "0":
            text = 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
            return [_forbidden("resourceVersionMatch", text)]
        return []

    def _watch_causes(self) -> list[Cause]:
        causes = []
        if self.initial_events is not None and not self.match:
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            causes.append(_forbidden("resourceVersionMatch", text))
        elif self.match:
            if self.initial_events is None:
                text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
                causes.append(_forbidden("resourceVersionMatch", text))
            if self.match != "NotOlderThan":
                causes.append(_unsupported(self.match, '"NotOlderThan"'))
        return causes


def truth(text: str | None) -> bool:
    """Booleans of a query: present and empty, `1` and `True` are true as well."""
    return text is not None and text.lower() not in ("0", "f", "false")


def _selectable(resource: Resource) -> tuple[str, ...]:
    declared = (resource.custom or {}).get("selectableFields") or []
    return tuple(one["jsonPath"].lstrip(".") for one in declared)


def _forbidden(field: str, text: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {text}", field)


def _unsupported(value: str, known: str) -> Cause:
    return Cause(
        "FieldValueNotSupported",
        f'Unsupported value: "{value}": supported values: {known}',
        "resourceVersionMatch",
    )


@dataclass(frozen=True)
class Page:
    """A list's answer: its items, the version it shows, and how it goes on."""

    items: list[Stored]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


def parse_revision(text: str) -> int:
    """Raises ValueError with the server's words."""
    if not text:
        return 0
    if not text.isdigit():
        raise ValueError(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def list_page(store: Store, resource: Resource, namespace: str | None, options: ListOptions) -> Page:
    """Raises 400, 410 (too old) or 504 (from the future)."""
    try:
        revision = parse_revision(options.revision)
    except ValueError as error:
        raise bad_request(f"invalid resource version: {error}") from error
    if options.continue_token:
        return _continued(store, resource, namespace, options)
    if revision > store.revision:
        raise future_revision(revision, store.revision)
    exact = options.match == "Exact" or (options.limit and revision and not options.match)
    shown = revision if exact and revision else store.revision
    try:
        candidates = _candidates(store, resource, namespace, shown)
    except CompactedError as error:
        raise expired(LIST_TOO_OLD) from error
    # a list from the cache (resourceVersion=0) comes whole
    limit = 0 if revision == 0 and options.revision == "0" else options.limit
    return _cut(
        [one for one in candidates if options.selects(one.document)], shown, limit, options, namespace
    )


def _continued(store: Store, resource: Resource, namespace: str | None, options: ListOptions) -> Page:
    if options.revision and options.revision != "0":
        raise bad_request("specifying resource version is not allowed when using continue")
    shown, start = _decode_token(options.continue_token)
    if shown < 0:
        shown = store.revision
    try:
        candidates = _candidates(store, resource, namespace, shown)
    except CompactedError as error:
        raise expired(CONTINUE_TOO_OLD, continue_token=_encode_token(-1, start)) from error
    later = [one for one in candidates if _key(one, namespace) >= start and options.selects(one.document)]
    return _cut(later, shown, options.limit, options, namespace)


def _candidates(store: Store, resource: Resource, namespace: str | None, revision: int) -> list[Stored]:
    bucket = store.bucket(resource.bucket)
    if revision == store.revision:
        return list(bucket.ordered(namespace))
    past = bucket.at(revision)
    return [past[key] for key in sorted(past) if namespace is None or key[0] == namespace]


def _cut(items: list[Stored], revision: int, limit: int, options: ListOptions, namespace: str | None) -> Page:
    if limit <= 0 or len(items) <= limit:
        return Page(items, revision)
    token = _encode_token(revision, _key(items[limit - 1], namespace) + "\x00")
    remaining = None if options.selective else len(items) - limit
    return Page(items[:limit], revision, token, remaining)


def _key(stored: Stored, namespace: str | None) -> str:
    if namespace is None and stored.namespace:
        return f"{stored.namespace}/{stored.name}"
    return stored.name


def _encode_token(revision: int, start: str) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_token(token: str) -> tuple[int, str]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError) as error:
        raise bad_request("invalid continue token: continue key is not valid: illegal base64 data") from error
    try:
        value = json.loads(raw)
        return int(value["rv"]), str(value["start"])
    except (ValueError, KeyError, TypeError) as error:
        first = raw.decode("latin-1")[:1]
        shown = f"\\u{ord(first):04x}" if first and not first.isprintable() else first
        raise bad_request(
            "invalid continue token: continue key is not valid: "
            f"invalid character '{shown}' looking for beginning of value"
        ) from error
