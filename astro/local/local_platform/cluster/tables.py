"""Server-side printing: the columns that `kubectl get` shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .resources import Resource

JSON = dict[str, Any]


def table(
    resource: Resource,
    documents: Sequence[JSON],
    metadata: JSON,
    now: datetime,
    *,
    columns: bool = True,
    include_object: str = "Metadata",
) -> JSON:
    """A meta.k8s.io/v1 Table of the objects."""
    definitions = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    rows = []
    for document in documents:
        row: JSON = {"cells": [document["metadata"]["name"]]}
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": document["metadata"],
        }
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions if columns else None,
        "rows": rows,
    }
