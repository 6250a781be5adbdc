"""The Status bodies in which a Kubernetes API server reports failures.

Wordings and fields follow k8s.io/apimachinery/pkg/api/errors, release 1.36.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .validation import Cause

JSON = dict[str, Any]


class StatusError(Exception):
    """A failure that is answered with a Status body.

    `details=None` leaves the field out, as the server does for errors that name no object.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: JSON | None = None,
        *,
        headers: dict[str, str] | None = None,
        metadata: JSON | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}
        self.metadata = metadata or {}

    def status(self) -> JSON:
        """The Status object, in the order in which the server writes its fields."""
        body: JSON = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def object_details(group: str, kind: str, name: str) -> JSON:
    """The `details` of an error about one object; `kind` is the plural or the kind, as the caller's error
    has it.
    """
    details: JSON = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    return details


def qualified(group: str, name: str) -> str:
    """`deployments.apps`, or the bare name in the core group."""
    return f"{name}.{group}" if group else name


def not_found(group: str, plural: str, name: str) -> StatusError:
    message = f'{qualified(group, plural)} "{name}" not found'
    return StatusError(404, "NotFound", message, object_details(group, plural, name))


def unknown_resource() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(group: str, plural: str, name: str) -> StatusError:
    message = f'{qualified(group, plural)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, object_details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> StatusError:
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return StatusError(409, "Conflict", message, object_details(group, plural, name))


def modified(group: str, plural: str, name: str) -> StatusError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(group, plural, name, why)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def unsupported_patch_type() -> StatusError:
    return StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def unsupported_body() -> StatusError:
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
    return StatusError(415, "UnsupportedMediaType", message)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> StatusError:
    """422: the object cannot be accepted; one cause reads as a sentence, several as a bracketed list."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    unique = list(dict.fromkeys(texts))
    summary = unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"
    details = object_details(group, kind, name)
    details["causes"] = [
        {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
    ]
    message = f'{qualified(group, kind)} "{name}" is invalid: {summary}'
    return StatusError(422, "Invalid", message, details)


def forbidden(message: str, details: JSON) -> StatusError:
    return StatusError(403, "Forbidden", message, details)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def expired(message: str, *, continue_token: str = "") -> StatusError:
    metadata = {"continue": continue_token} if continue_token else {}
    return StatusError(410, "Expired", message, metadata=metadata)


def future_revision(asked: int, current: int) -> StatusError:
    """504 of a list that asks for a version that does not exist yet."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return StatusError(504, "Timeout", message, details, headers={"Retry-After": "1"})


def internal(message: str) -> StatusError:
    details = {"causes": [{"message": message}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details)
