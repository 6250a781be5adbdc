"""Reads a catalog and reports everything that is wrong with it at once.

A service that does not validate is checked against the rules between entries all the same, with its bad
values left out: one run shows all there is to repair.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from platform_ops.core.errors import CatalogError

from . import last_valid, rules, source
from .identity import ServiceIdentity
from .last_valid import Loaded
from .models import (
    ENVIRONMENTS,
    Approvals,
    Catalog,
    Check,
    Development,
    Environment,
    Person,
    Production,
    ProductionApprovals,
    Staging,
)
from .source import KeyPath, Problem, Source, dotted
from .validation import validated

LAST_VALID = "catalog.last-valid.json"
_APPROVALS: TypeAdapter[Approvals] = TypeAdapter(Approvals)
_PRODUCTION_APPROVALS: TypeAdapter[ProductionApprovals] = TypeAdapter(ProductionApprovals)
_CHECKS: TypeAdapter[tuple[Check, ...]] = TypeAdapter(tuple[Check, ...])
_ENVIRONMENT_MODELS: dict[str, type[Environment]] = {
    "development": Development,
    "staging": Staging,
    "production": Production,
}
_NAME_RULE = "must be small letters, digits and '-', start with a letter, and be at most 40 long"
_SERVICE_NAME = re.compile(r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")


def load(path: Path) -> Catalog:
    """The catalog of a file. CatalogError holds every problem as `file:line: key: problem`."""
    return _checked(source.read(path), str(path))


def load_text(text: str, file: str = "services.yaml") -> Catalog:
    """As `load`, for a text that stands in no file."""
    return _checked(source.parse(text, file), file)


def load_last_valid(path: Path, state: Path | None) -> Loaded[Catalog]:
    """The file's catalog, or the last one that was good, with the file's problems."""
    return last_valid.load_last_valid(Catalog, lambda: load(path), state, LAST_VALID)


def _checked(parsed: Source, file: str) -> Catalog:
    if not isinstance(parsed.data, Mapping):
        raise CatalogError([f"{file}:1: catalog: must be a mapping with the keys roles, people, services"])
    problems = list(parsed.problems)
    catalog, found = validated(Catalog, parsed)
    problems += found
    problems += [Problem(parsed.line(path), dotted(path), text) for path, text in _rule_findings(parsed.data)]
    if problems or catalog is None:
        ordered = sorted(set(problems), key=lambda problem: (problem.line, problem.key))
        raise CatalogError([problem.at(file) for problem in ordered])
    return catalog


def _rule_findings(data: Mapping[str, Any]) -> Iterator[rules.Finding]:
    roles = {role: str(text) for role, text in _mapping(data.get("roles")).items()}
    people = {user: _person(entry) for user, entry in _mapping(data.get("people")).items()}
    if roles:
        yield from rules.people_problems(roles, people)
    yield from _identity_findings(data, people)
    urls: dict[KeyPath, str] = {}
    for name, service in _mapping(data.get("services")).items():
        if not _SERVICE_NAME.match(name):
            yield (
                ("services", name),
                _NAME_RULE,
            )
        environments = _mapping(_mapping(service).get("environments"))
        yield from rules.branch_problems(
            {
                ("services", name, "environments", one, "branch"): _branch(one, _mapping(environments[one]))
                for one in ENVIRONMENTS
                if one in environments
            }
        )
        for environment in (name for name in ENVIRONMENTS if name in environments):
            path: KeyPath = ("services", name, "environments", environment)
            entry = _mapping(environments[environment])
            if isinstance(entry.get("url"), str):
                urls[(*path, "url")] = entry["url"].rstrip("/").lower()
            for inner, text in _environment_findings(environment, entry, roles, people):
                yield (*path, *inner), text
    yield from rules.host_problems(urls)


def _identity_findings(data: Mapping[str, Any], people: Mapping[str, Person]) -> Iterator[rules.Finding]:
    identity = _mapping(data.get("service_identity"))
    default = ServiceIdentity.model_fields["email"].default
    yield from rules.identity_problems(str(identity.get("email", default)), people)
    listed: dict[KeyPath, Any] = {
        ("people", user): _mapping(entry).get("signing_keys")
        for user, entry in _mapping(data.get("people")).items()
    }
    listed[("service_identity",)] = identity.get("signing_keys")
    yield from rules.key_problems(
        {
            (*path, "signing_keys", index): str(key)
            for path, keys in listed.items()
            if isinstance(keys, list)
            for index, key in enumerate(keys)
        }
    )


def _branch(environment: str, entry: Mapping[str, Any]) -> str:
    return str(entry.get("branch", _ENVIRONMENT_MODELS[environment].model_fields["branch"].default))


def _environment_findings(
    environment: str, entry: Mapping[str, Any], roles: Mapping[str, str], people: Mapping[str, Person]
) -> Iterator[rules.Finding]:
    default = _ENVIRONMENT_MODELS[environment].model_fields["approvals"].default
    adapter = _PRODUCTION_APPROVALS if environment == "production" else _APPROVALS
    approvals = _lenient(adapter, entry["approvals"]) if "approvals" in entry else default
    if approvals is not None and roles:
        for inner, text in rules.approval_problems(approvals, roles, people):
            yield ("approvals", *inner), text
    for inner, text in rules.check_problems(_lenient(_CHECKS, entry.get("checks", ())) or ()):
        yield ("checks", *inner), text


def _mapping(data: Any) -> Mapping[str, Any]:
    return data if isinstance(data, Mapping) else {}


def _person(entry: Any) -> Person:
    """As much of a person as can be read: what is wrong with the rest is reported by itself."""
    roles, emails = (_mapping(entry).get(key) for key in ("roles", "emails"))
    return Person.model_construct(
        roles=tuple(map(str, roles)) if isinstance(roles, list) else (),
        emails=tuple(map(str, emails)) if isinstance(emails, list) else (),
    )


def _lenient(adapter: TypeAdapter[Any], data: Any) -> Any | None:
    """The value with its invalid parts left out; None when it does not stand without them."""
    try:
        return adapter.validate_python(data)
    except ValidationError as invalid:
        pruned = copy.deepcopy(data)
        for error in invalid.errors():
            _prune(pruned, error["loc"])
    try:
        return adapter.validate_python(pruned)
    except ValidationError:
        return None


def _prune(data: Any, loc: Sequence[Any]) -> None:
    for key in loc[:-1]:
        if not isinstance(data, dict | list) or (isinstance(data, dict) and key not in data):
            return
        data = data[key]
    if isinstance(data, dict) and loc:
        data.pop(loc[-1], None)
