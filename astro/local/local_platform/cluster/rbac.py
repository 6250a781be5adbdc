"""May this user do that: RBAC over the stored roles and bindings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .auth import AUTHENTICATED, MASTERS, User
from .errors import StatusError, forbidden, object_details, qualified
from .store import Store

JSON = dict[str, Any]

_GROUP = "rbac.authorization.k8s.io"
# What every authenticated user may do on a fresh cluster (system:basic-user, system:discovery).
BASIC_RULES: tuple[JSON, ...] = (
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
)
BASIC_PATHS: tuple[JSON, ...] = (
    {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]},
    {
        "verbs": ["get"],
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi",
                            "/openapi/*", "/readyz", "/version", "/version/"],
    },
)  # fmt: skip
PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
_EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_WELL_KNOWN = {"verbs": ["get"], "nonResourceURLs": ["/.well-known", "/.well-known/*"]}
_EVERY_PATH = {"verbs": ["*"], "nonResourceURLs": ["*"]}


@dataclass(frozen=True)
class Attributes:
    """One request as authorisation sees it. `path` is set instead of the rest for what is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, wanted: Attributes) -> bool:
        if MASTERS in user.groups:
            return True
        if wanted.path:
            if wanted.path in PUBLIC_PATHS and wanted.verb == "get":
                return True
            return any(_path_rule_allows(rule, wanted) for rule in self.path_rules(user))
        return any(_rule_allows(rule, wanted) for rule in self.rules(user, wanted.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[JSON]:
        """Resource rules that hold for the user in a namespace (empty: cluster-wide)."""
        if MASTERS in user.groups:
            yield _EVERYTHING
        for rule in self._bound(user, namespace):
            if rule.get("resources"):
                yield rule
        if AUTHENTICATED in user.groups:
            yield from BASIC_RULES

    def path_rules(self, user: User) -> Iterator[JSON]:
        if AUTHENTICATED in user.groups:
            yield _WELL_KNOWN
        if MASTERS in user.groups:
            yield _EVERY_PATH
        for rule in self._bound(user, ""):
            if rule.get("nonResourceURLs"):
                yield rule
        if AUTHENTICATED in user.groups:
            yield from BASIC_PATHS

    def check(self, user: User, wanted: Attributes) -> None:
        """Raises 403 in the server's words."""
        if not self.allows(user, wanted):
            raise _refusal(user, wanted)

    def _bound(self, user: User, namespace: str) -> Iterator[JSON]:
        for binding in self._store.bucket(f"{_GROUP}/clusterrolebindings").ordered(None):
            if _binds(binding.document, user, ""):
                yield from self._role_rules(binding.document["roleRef"], "")
        if not namespace:
            return
        for binding in self._store.bucket(f"{_GROUP}/rolebindings").ordered(namespace):
            if _binds(binding.document, user, namespace):
                yield from self._role_rules(binding.document["roleRef"], namespace)

    def _role_rules(self, reference: JSON, namespace: str) -> list[JSON]:
        if reference.get("kind") == "ClusterRole":
            found = self._store.get(f"{_GROUP}/clusterroles", "", reference["name"])
        else:
            found = self._store.get(f"{_GROUP}/roles", namespace, reference["name"])
        return list(found.document.get("rules") or []) if found else []


def _binds(binding: JSON, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or []:
        name = subject.get("name", "")
        match subject.get("kind"):
            case "User" if name == user.name:
                return True
            case "Group" if name in user.groups:
                return True
            case "ServiceAccount":
                home = subject.get("namespace") or namespace
                if user.name == f"system:serviceaccount:{home}:{name}":
                    return True
    return False


def _rule_allows(rule: JSON, wanted: Attributes) -> bool:
    if not _has(rule.get("verbs"), wanted.verb) or not _has(rule.get("apiGroups"), wanted.group):
        return False
    names = rule.get("resourceNames")
    if names and wanted.name not in names:
        return False
    full = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    resources = rule.get("resources") or []
    return "*" in resources or full in resources or f"*/{wanted.subresource}" in resources


def _path_rule_allows(rule: JSON, wanted: Attributes) -> bool:
    if not _has(rule.get("verbs"), wanted.verb):
        return False
    for pattern in rule.get("nonResourceURLs") or []:
        if pattern in ("*", wanted.path) or (pattern.endswith("*") and wanted.path.startswith(pattern[:-1])):
            return True
    return False


def _has(values: list[str] | None, wanted: str) -> bool:
    return values is not None and ("*" in values or wanted in values)


def _refusal(user: User, wanted: Attributes) -> StatusError:
    if wanted.path:
        message = f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
        return forbidden(message, {})
    full = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    where = f' in the namespace "{wanted.namespace}"' if wanted.namespace else " at the cluster scope"
    subject = qualified(wanted.group, wanted.resource)
    if wanted.name:
        subject += f' "{wanted.name}"'
    message = (
        f'{subject} is forbidden: User "{user.name}" cannot {wanted.verb} resource "{full}" '
        f'in API group "{wanted.group}"{where}'
    )
    return forbidden(message, object_details(wanted.group, wanted.resource, wanted.name))
