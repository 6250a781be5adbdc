"""One recorded answer against the double's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .correspondence import Correspondence
from .differing import differences
from .passing import without_passing_states
from .passing_rows import leaving
from .recordings import Exchange, decoded
from .scope import OWN_CONTENT
from .scrubbing import Scrubber, without_protobuf_zeros

_COMPARED_HEADERS = ("content-type", "warning", "allow", "retry-after")
_OPENAPI = re.compile(r"^/openapi/")
# Groups and resources of components that only one side has: signing, flow control, device claims, component
# statuses, kube-aggregator's own health checks on the recorded side, metrics.k8s.io on the double's.
_COMPONENT_NAMES = re.compile(
    r"certificates\.k8s\.io|flowcontrol\.apiserver\.k8s\.io|resource\.k8s\.io|componentstatuses"
    r"|metrics\.k8s\.io|/(?:healthz|livez|readyz)/|^/metrics|^/debug|^/logs|^/openid|^/\.well-known|^/openapi/v2"
    r"|^/flagz|^/statusz|storagemigration|internal\.apiserver"
)


class Comparison:
    """Collects the differences of one exchange and the normalisations that were needed."""

    def __init__(self, correspondence: Correspondence, node_names: Sequence[str], scenario: str = "") -> None:
        self.differences: list[str] = []
        self.normalisations: set[str] = set()
        self._known = correspondence
        self._node_names = tuple(node_names)
        self._scenario = scenario

    def answers(self, exchange: Exchange, status: int, headers: Mapping[str, str], body: Any) -> None:
        """Status, listed headers and body of a plain answer."""
        if exchange.path == "/openapi/v2" and status == 404:
            self.normalisations.add("OpenAPI documents")
            return
        if status == 404 and exchange.status == 200 and leaving(decoded(exchange.response)):
            # It has left by now; the watches tell how.
            self.normalisations.add("passing state")
            return
        if status != exchange.status:
            detail = body.get("message") if isinstance(body, Mapping) else body
            self.differences.append(
                f"status: recorded {exchange.status}, double {status}: {str(detail)[:200]}"
            )
            return
        recorded = exchange.response
        if (exchange.scenario, exchange.seq) in OWN_CONTENT:
            self.normalisations.add("own image")
            self._headers(exchange, headers)
            return
        if _OPENAPI.match(exchange.path):
            self.normalisations.add("OpenAPI documents")
            return
        self._headers(exchange, headers)
        if isinstance(recorded, Mapping) and "$protobuf" in recorded:
            self.normalisations.add("protobuf answer")
            recorded, body = without_protobuf_zeros(recorded["decoded"]), without_protobuf_zeros(body)
        recorded, body = self._narrowed(exchange.path, recorded, body)
        if isinstance(recorded, Mapping) and ("$omitted" in recorded or "$truncated" in recorded):
            self.normalisations.add("OpenAPI documents")
            return
        self.bodies(recorded, body)

    def _headers(self, exchange: Exchange, headers: Mapping[str, str]) -> None:
        for name in _COMPARED_HEADERS:
            recorded = exchange.response_headers.get(name)
            actual = next((value for key, value in headers.items() if key.lower() == name), None)
            if recorded == actual:
                continue
            if name == "content-type" and recorded and "protobuf" in recorded:
                self.normalisations.add("protobuf answer")
                continue
            if name == "content-type" and _OPENAPI.match(exchange.path):
                continue
            self.differences.append(f"header {name}: recorded {recorded!r}, double {actual!r}")

    def _narrowed(self, path: str, recorded: Any, actual: Any) -> tuple[Any, Any]:
        """Documents that speak of the server itself, without what only one of the two has by design."""
        if not isinstance(recorded, Mapping) or not isinstance(actual, Mapping):
            if path in ("/livez", "/readyz", "/healthz") and recorded != actual:
                self.normalisations.add("components")
                return str(recorded).splitlines()[-1:], str(actual).splitlines()[-1:]
            return recorded, actual
        if path.rstrip("/") == "/version":
            self.normalisations.add("build")
            return _only(recorded, ("major", "minor")), _only(actual, ("major", "minor"))
        if path.endswith("/selfsubjectreviews"):
            self.normalisations.add("build")
            return _without_user(recorded), _without_user(actual)
        if recorded.get("kind") == "APIGroupDiscoveryList":
            return self._discovery(recorded), self._discovery(actual)
        for name in ("groups", "resources", "paths"):
            if path.startswith("/api") or path == "/":
                recorded, actual = self._common(name, recorded, actual)
        if path == "/api":
            self.normalisations.add("address")
            recorded = {**recorded, "serverAddressByClientCIDRs": []}
            actual = {**actual, "serverAddressByClientCIDRs": []}
        return recorded, actual

    def _discovery(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """An aggregated discovery document without the components' groups and resources."""
        groups = []
        for group in document.get("items") or ():
            if _is_component(group.get("metadata") or {}):
                self.normalisations.add("components")
                continue
            versions = [
                {
                    **one,
                    "resources": [
                        r for r in one.get("resources") or () if not _is_component({"name": r["resource"]})
                    ],
                }
                for one in group.get("versions") or ()
            ]
            groups.append({**group, "versions": versions})
        return {**document, "items": groups}

    def _common(
        self, name: str, recorded: Mapping[str, Any], actual: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        left, right = recorded.get(name), actual.get(name)
        if not isinstance(left, list) or not isinstance(right, list):
            return recorded, actual
        kept_left = [one for one in left if not _is_component(one)]
        kept_right = [one for one in right if not _is_component(one)]
        if len(kept_left) != len(left) or len(kept_right) != len(right):
            self.normalisations.add("components")
        return {**recorded, name: kept_left}, {**actual, name: kept_right}

    def bodies(self, recorded: Any, actual: Any) -> None:
        """Two decoded bodies, after the listed normalisations."""
        if recorded in (None, "") and actual in (None, ""):
            return
        self._known.observe(actual)
        if recorded == actual:
            return
        left = Scrubber(self._known.recorded_tokens, ("node1", "node2", "fakenode"), self._scenario)
        right = Scrubber(self._known.actual_tokens, self._node_names, self._scenario)
        before, after = left.scrubbed(recorded), right.scrubbed(actual)
        self.normalisations |= left.used
        found = differences(before, after)
        if found:
            settled = differences(*without_passing_states(before, after))
            if not settled:
                self.normalisations.add("passing state")
                return
        self.differences += found


def _only(value: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value.get(key) for key in keys}


def _without_user(review: Mapping[str, Any]) -> dict[str, Any]:
    """A review of oneself without the identity, which is the recording proxy's certificate."""
    status = review.get("status") or {}
    return {**review, "status": {**status, "userInfo": sorted(status.get("userInfo") or {})[-1:]}}


def _is_component(entry: Any) -> bool:
    name = entry.get("name", "") if isinstance(entry, Mapping) else str(entry)
    return bool(_COMPONENT_NAMES.search(name))
