"""Incidents: while one is open, a service gets no release but the one that removes its cause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Incident:
    """Opened and closed by people, with `ops incident`."""

    id: str
    """`INC-7`"""
    service: str
    environment: str | None
    """None: it concerns all environments."""
    why: str
    opened_by: str
    opened_at: datetime
    closed_by: str | None = None
    closed_why: str = ""
    closed_at: datetime | None = None

    @property
    def open(self) -> bool:
        return self.closed_at is None

    def concerns(self, environment: str) -> bool:
        return self.environment in (None, environment)
