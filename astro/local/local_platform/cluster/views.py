"""How stored objects leave the server: as they are, as lists, as metadata only, or as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from . import tables, versions
from .empty_objects import empty_content
from .errors import StatusError
from .listing import Page
from .resources import Resource
from .store import Stored

JSON = dict[str, Any]
encode = msgspec.json.Encoder().encode

_ACCEPTED = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/*",
    "*/*",
)


@dataclass(frozen=True)
class Accepted:
    """What the Accept header asks for. `form` is '', 'Table' or 'PartialObjectMetadata'."""

    form: str = ""
    yaml: bool = False

    @classmethod
    def read(cls, header: str) -> Accepted:
        """The first acceptable choice; raises 406 when there is none. Protobuf is never chosen."""
        if not header:
            return cls()
        for part in header.split(","):
            media, *parameters = (piece.strip() for piece in part.split(";"))
            if media not in _ACCEPTED:
                continue
            chosen = dict(piece.partition("=")[::2] for piece in parameters)
            form = chosen.get("as", "")
            if media.endswith("protobuf") and "application/json" in header:
                continue
            if form in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
                return cls(form.removesuffix("List"))
            if form:
                continue
            return cls(yaml=media == "application/yaml")
        raise _not_acceptable()


def _not_acceptable() -> StatusError:
    known = (
        "application/json, application/yaml, application/vnd.kubernetes.protobuf, "
        "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    )
    message = f"406: Not Acceptable\n\nAvailable representations: {known}"
    return StatusError(406, "NotAcceptable", message, {})


def body_of(resource: Resource, stored: Stored) -> bytes:
    """The object's JSON in the version of `resource`; cached bytes wherever no conversion is needed."""
    converted = versions.from_stored(resource, stored.document)
    return stored.body if converted is stored.document else encode(converted)


class View:
    """Encodes what one request sees of a resource."""

    def __init__(
        self, resource: Resource, accepted: Accepted, now: datetime, include_object: str = "Metadata"
    ) -> None:
        self.resource = resource
        self.form = accepted.form
        self._now = now
        self._include = include_object or "Metadata"
        self._columns_sent = False

    def one(self, stored: Stored) -> bytes:
        if self.form == "Table":
            return encode(
                self._table(
                    [stored], {"resourceVersion": stored.document["metadata"].get("resourceVersion", "")}
                )
            )
        if self.form:
            return encode(partial(stored.document))
        return body_of(self.resource, stored)

    def page(self, page: Page) -> bytes:
        metadata: JSON = {"resourceVersion": str(page.revision)}
        if page.continue_token:
            metadata["continue"] = page.continue_token
            if page.remaining is not None:
                metadata["remainingItemCount"] = page.remaining
        if self.form == "Table":
            return encode(self._table(page.items, metadata))
        if self.form:
            head = {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": [partial(one.document) for one in page.items],
            }
            return encode(head)
        kind = self.resource.list_kind or f"{self.resource.kind}List"
        head = {"kind": kind, "apiVersion": self.resource.api_version, "metadata": metadata}
        if self.resource.custom:
            metadata.setdefault("continue", "")
            head = {"apiVersion": head["apiVersion"], "kind": kind, "metadata": metadata}
        items = b",".join(self._item(one) for one in page.items)
        return encode(head)[:-1] + b',"items":[' + items + b"]}"

    def event(self, kind: str, stored: Stored) -> bytes:
        if self.form == "Table":
            revision = stored.document["metadata"].get("resourceVersion", "")
            table = self._table([stored], {"resourceVersion": revision}, columns=not self._columns_sent)
            self._columns_sent = True
            body = encode(table)
        elif self.form:
            body = encode(partial(stored.document))
        else:
            body = body_of(self.resource, stored)
        return b'{"type":"' + kind.encode() + b'","object":' + body + b"}\n"

    def bookmark(self, revision: int, *, ends_initial_events: bool) -> bytes:
        metadata: JSON = {"resourceVersion": str(revision)}
        if ends_initial_events:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if self.form == "Table":
            subject: JSON = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "columnDefinitions": None,
                "rows": None,
            }
        elif self.form:
            subject = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        else:
            subject = {
                "kind": self.resource.kind,
                "apiVersion": self.resource.api_version,
                "metadata": metadata,
                **empty_content(self.resource.gvk),
            }
        return encode({"type": "BOOKMARK", "object": subject}) + b"\n"

    def _item(self, stored: Stored) -> bytes:
        """A list's item: built-in kinds leave out kind and apiVersion, as Go's encoder does."""
        body = body_of(self.resource, stored)
        if self.resource.custom:
            return body
        prefix = encode({"kind": self.resource.kind, "apiVersion": self.resource.api_version})[:-1] + b","
        if body.startswith(prefix):
            return b"{" + body[len(prefix) :]
        return body

    def _table(self, items: Iterable[Stored], metadata: JSON, *, columns: bool = True) -> JSON:
        documents = [versions.from_stored(self.resource, one.document) for one in items]
        return tables.table(
            self.resource, documents, metadata, self._now, columns=columns, include_object=self._include
        )


def partial(document: JSON) -> JSON:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": document["metadata"]}


Encoder = Callable[[Stored], bytes]
