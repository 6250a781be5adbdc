"""What a column of a table is, and what many kinds' tables share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import printing
from .printing import since

JSON = dict[str, Any]
Cells = list[Any]


@dataclass(frozen=True)
class Column:
    """`text` is the description, or a path like `.status.replicas` into the kind's own documentation."""

    name: str
    text: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Printer:
    """The columns after the name and the function that fills them; `named=False` when it prints the name
    itself.
    """

    columns: tuple[Column, ...]
    cells: Callable[[JSON, datetime], Cells]
    named: bool = True


AGE = Column("Age", ".metadata.creationTimestamp")
CONTAINERS = Column("Containers", "Names of each container in the template.", wide=True)
IMAGES = Column("Images", "Images referenced by each container in the template.", wide=True)
READY_PODS = Column("Ready", "Number of the pod with ready state")


def age_of(document: JSON, now: datetime) -> str:
    return since(document["metadata"].get("creationTimestamp"), now)


def spec_of(document: JSON) -> JSON:
    spec: JSON = document.get("spec") or {}
    return spec


def status_of(document: JSON) -> JSON:
    status: JSON = document.get("status") or {}
    return status


def template_cells(document: JSON) -> Cells:
    return list(printing.containers(spec_of(document).get("template") or {}))


def age_only(document: JSON, now: datetime) -> Cells:
    return [age_of(document, now)]
