"""One HTTPRoute as Envoy routes, in the order of precedence that Gateway API 1.x gives them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local_platform.gateway.backends import Backend

Json = dict[str, Any]

DEFAULT_TIMEOUT_S = 60
"""Time for a whole request when the rule names none (Gateway API leaves it to the implementation)."""

# Only what is safe to send twice whatever the method: nothing of the request has reached a server yet.
RETRY_ON = "connect-failure,refused-stream,reset-before-request"

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")


class UnsupportedRoute(ValueError):
    """The route asks for something that this gateway does not do; the message names the field."""


@dataclass(frozen=True)
class Precedence:
    """Sort key of a match: the more specific one comes first (HTTPRouteRule, `matches`)."""

    exact: bool
    path_length: int
    method: bool
    headers: int
    query: int

    def key(self) -> tuple[bool, int, bool, int, int]:
        return (not self.exact, -self.path_length, not self.method, -self.headers, -self.query)


@dataclass(frozen=True)
class Route:
    """An Envoy route with what it is sorted by."""

    precedence: Precedence
    rule: int
    envoy: Json


Resolve = Callable[[Mapping[str, Any]], Backend | None]
"""Gives the backend of a backendRef, or None when there is no such Service or port."""


def seconds(duration: str) -> str:
    """A Gateway API duration (GEP-2257, `1m30s`, `250ms`) as Envoy's (`90s`, `0.25s`)."""
    match = _DURATION.fullmatch(duration)
    if not duration or match is None:
        raise UnsupportedRoute(f"duration {duration!r} is not one of GEP-2257, such as 10s or 1m30s")
    hours, minutes, secs, millis = (int(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + secs + millis / 1000
    return f"{total:g}s"


def routes_of(http_route: Mapping[str, Any], resolve: Resolve) -> list[Route]:
    """Envoy routes of all rules of an HTTPRoute.

    Raises UnsupportedRoute for a match or filter type that this gateway does not do.
    """
    found: list[Route] = []
    for index, rule in enumerate(http_route["spec"].get("rules") or [{}]):
        action = _action(rule, resolve)
        rule_filters = header_changes(rule.get("filters") or [], f"rules[{index}]")
        for match in rule.get("matches") or [{"path": {"type": "PathPrefix", "value": "/"}}]:
            precedence, envoy_match = _match(match, f"rules[{index}]")
            found.append(Route(precedence, index, {"match": envoy_match, **action, **rule_filters}))
    return found


def _action(rule: Mapping[str, Any], resolve: Resolve) -> Json:
    # Backends of weight 0 are resolved too: their clusters stay warm for the moment the weight moves.
    refs = [(ref, int(ref.get("weight", 1)), resolve(ref)) for ref in rule.get("backendRefs") or []]
    weighted = [_weighted(ref, weight, backend) for ref, weight, backend in refs if weight > 0]
    if not weighted:
        # Without a backend that has a weight the answer is 500 (HTTPRouteRule, backendRefs).
        return {
            "direct_response": {
                "status": 500,
                "body": {"inline_string": "no backend with a weight above 0\n"},
            }
        }
    timeouts = rule.get("timeouts") or {}
    retry: Json = {
        "retry_on": RETRY_ON,
        "num_retries": 2,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.050s"},
    }
    if "backendRequest" in timeouts:
        retry["per_try_timeout"] = seconds(timeouts["backendRequest"])
    return {
        "route": {
            "weighted_clusters": {"clusters": weighted},
            "timeout": seconds(timeouts["request"]) if "request" in timeouts else f"{DEFAULT_TIMEOUT_S}s",
            "retry_policy": retry,
            # A backendRef that names nothing is answered with 500 (HTTPBackendRef).
            "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
        }
    }


def _weighted(ref: Mapping[str, Any], weight: int, backend: Backend | None) -> Json:
    name = backend.cluster if backend else f"unresolved/{ref['name']}/{ref.get('port', '')}"
    return {"name": name, "weight": weight, **header_changes(ref.get("filters") or [], "backendRefs")}


def _match(match: Mapping[str, Any], where: str) -> tuple[Precedence, Json]:
    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
    kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
    envoy: Json = {}
    if kind == "Exact":
        envoy["path"] = value
    elif kind == "PathPrefix":
        prefix = value.rstrip("/")
        envoy.update({"path_separated_prefix": prefix} if prefix else {"prefix": "/"})
    elif kind == "RegularExpression":
        envoy["safe_regex"] = {"regex": value}
    else:
        raise UnsupportedRoute(f"{where}.matches.path.type {kind!r} is not supported")
    headers = [
        _value_match(header, "string_match", f"{where}.matches.headers")
        for header in match.get("headers") or []
    ]
    if "method" in match:
        headers.append({"name": ":method", "string_match": {"exact": match["method"]}})
    query = [
        _value_match(param, "string_match", f"{where}.matches.queryParams")
        for param in match.get("queryParams") or []
    ]
    if headers:
        envoy["headers"] = headers
    if query:
        envoy["query_parameters"] = query
    precedence = Precedence(
        exact=kind == "Exact",
        path_length=len(value),
        method="method" in match,
        headers=len(match.get("headers") or []),
        query=len(query),
    )
    return precedence, envoy


def _value_match(entry: Mapping[str, Any], field: str, where: str) -> Json:
    kind = entry.get("type", "Exact")
    if kind == "Exact":
        return {"name": entry["name"], field: {"exact": entry["value"]}}
    if kind == "RegularExpression":
        return {"name": entry["name"], field: {"safe_regex": {"regex": entry["value"]}}}
    raise UnsupportedRoute(f"{where}.type {kind!r} is not supported")


def header_changes(filters: list[Mapping[str, Any]], where: str) -> Json:
    """Envoy's header additions and removals for the two header modifier filters."""
    changes: Json = {}
    for entry in filters:
        if entry["type"] == "RequestHeaderModifier":
            side, modifier = "request", entry["requestHeaderModifier"]
        elif entry["type"] == "ResponseHeaderModifier":
            side, modifier = "response", entry["responseHeaderModifier"]
        else:
            raise UnsupportedRoute(f"{where}.filters.type {entry['type']!r} is not supported")
        added = [_header(header, "OVERWRITE_IF_EXISTS_OR_ADD") for header in modifier.get("set") or []]
        added += [_header(header, "APPEND_IF_EXISTS_OR_ADD") for header in modifier.get("add") or []]
        changes.setdefault(f"{side}_headers_to_add", []).extend(added)
        changes.setdefault(f"{side}_headers_to_remove", []).extend(modifier.get("remove") or [])
    return {key: value for key, value in changes.items() if value}


def _header(header: Mapping[str, str], append_action: str) -> Json:
    # Envoy reads the value as a format string, Kubernetes as text.
    value = header["value"].replace("%", "%%")
    return {"header": {"key": header["name"], "value": value}, "append_action": append_action}
