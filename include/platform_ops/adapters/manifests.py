"""Kubernetes objects of a colour, from YAML templates whose text values hold `${…}` placeholders.

Placeholders are filled after the YAML is parsed, value by value: no value can change the structure. A text
that is nothing but one placeholder takes the value's type (`replicas: ${replicas}` becomes a number).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import yaml

from platform_ops.catalog.models import Catalog
from platform_ops.core.errors import PermanentError
from platform_ops.core.migration import Migration
from platform_ops.core.ports import Manifest
from platform_ops.core.release import Colour, Router, Target, Weights

Value = str | int | list[str]
Values = Mapping[str, Value]
_ALONE = re.compile(r"^\$\{(\w+)\}$")


class Manifests:
    """Templates (`colour*.yaml`, `route.yaml`, `route-service.yaml`, `service.yaml`,
    `migration.yaml`), filled in from the catalog.

    They are those of `folder`, or of the folder that the service's entry names, relative to `folder`.
    """

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder = folder
        self._catalog = catalog

    def colour(self, target: Target, colour: Colour, image: str) -> tuple[Manifest, ...]:
        """Everything that belongs to one colour; `image` names a digest."""
        entry = self._catalog.environment(target.service, target.environment)
        requests, limits = entry.resources.requests, entry.resources.limits
        values: dict[str, Value] = {
            "colour": colour.value,
            "image": image,
            "replicas": entry.replicas,
            "cpu_request": requests.cpu,
            "cpu_limit": limits.cpu,
            "memory_request": requests.memory,
            "memory_limit": limits.memory,
        }
        templates = sorted(self._templates(target).glob("colour*.yaml"))
        if not templates:
            raise PermanentError(f"manifest templates {self._templates(target)}: there is no colour.yaml")
        filled = {**_of(target), **values}
        return tuple(manifest for template in templates for manifest in render(template, filled))

    def migration(self, target: Target, image: str) -> Migration | None:
        """The Job that brings the schema to the version of `image`; None where the catalog names none."""
        entry = self._catalog.service(target.service).schema_migration
        if entry is None:
            return None
        job = f"{target.service}-migrate-{image.rpartition(':')[2][:12]}"
        values: dict[str, Value] = {
            "job": job,
            "image": image,
            "command": list(entry.command),
            "deadline_seconds": max(1, round(entry.deadline.total_seconds())),
        }
        template = self._templates(target) / "migration.yaml"
        return Migration(job, entry.deadline, tuple(render(template, {**_of(target), **values})))

    def route(self, target: Target, weights: Weights) -> Manifest:
        """The HTTPRoute as it is created. By weights, only these move later; by the Service, nothing does."""
        gateway = self._catalog.gateway
        values: dict[str, Value] = {
            "host": urlsplit(target.url).hostname or "",
            "gateway": gateway.name,
            "gateway_namespace": gateway.namespace,
            "blue_weight": weights.blue,
            "green_weight": weights.green,
        }
        name = "route.yaml" if target.router is Router.HTTP_ROUTE else "route-service.yaml"
        return next(render(self._templates(target) / name, {**_of(target), **values}))

    def service(self, target: Target, colour: Colour) -> Manifest:
        """The Service that people patch in an emergency."""
        values = {**_of(target), "colour": colour.value}
        return next(render(self._templates(target) / "service.yaml", values))

    def _templates(self, target: Target) -> Path:
        return self._folder / self._catalog.service(target.service).manifests


def _of(target: Target) -> dict[str, Value]:
    return {
        "service": target.service,
        "namespace": target.namespace,
        "environment": target.environment,
    }


def render(template: Path, values: Values) -> Iterator[dict[str, Any]]:
    """The documents of one template file, filled in. PermanentError names a placeholder without a value."""
    try:
        documents = list(yaml.safe_load_all(template.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as broken:
        raise PermanentError(f"manifest template {template}: {broken}") from broken
    for document in documents:
        if document is not None:
            try:
                yield _filled(document, values)
            except (KeyError, ValueError) as missing:
                raise PermanentError(f"manifest template {template}: placeholder {missing}") from missing


def _filled(node: Any, values: Values) -> Any:
    if isinstance(node, Mapping):
        return {_filled(key, values): _filled(item, values) for key, item in node.items()}
    if isinstance(node, list):
        return [_filled(item, values) for item in node]
    if not isinstance(node, str):
        return node
    if alone := _ALONE.match(node):
        return values[alone[1]]
    return Template(node).substitute({name: str(value) for name, value in values.items()})
