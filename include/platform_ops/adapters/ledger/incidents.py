"""Incidents as events: opened once, closed once. Insert-only: nobody can make one never have been."""

from __future__ import annotations

from platform_ops.core.errors import GateClosed, NotFound
from platform_ops.core.incidents import Incident
from platform_ops.core.ports import Clock

from .database import Database, Row, one_row


class IncidentTable:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def open(self, service: str, environment: str | None, *, why: str, by: str) -> Incident:
        async with self._database.transaction() as connection:
            row = await one_row(
                connection,
                "INSERT INTO incident_events (incident, service, environment, kind, why, by_whom, at)"
                " VALUES ('INC-' || nextval('incident_numbers'), %s, %s, 'opened', %s, %s, %s)"
                " RETURNING incident",
                (service, environment, why, by, self._clock.now()),
            )
        return await self.get((row or {})["incident"])

    async def close(self, incident_id: str, *, why: str, by: str) -> Incident:
        """NotFound without such an incident; GateClosed when it is closed already."""
        found = await self.get(incident_id)
        row = await self._database.one(
            "INSERT INTO incident_events (incident, service, environment, kind, why, by_whom, at)"
            " VALUES (%s, %s, %s, 'closed', %s, %s, %s) ON CONFLICT DO NOTHING RETURNING incident",
            (incident_id, found.service, found.environment, why, by, self._clock.now()),
        )
        closed = await self.get(incident_id)
        if row is None:
            raise GateClosed(
                f"{incident_id} was closed by {closed.closed_by} ({closed.closed_why}): "
                "open a new one if it is back"
            )
        return closed

    async def get(self, incident_id: str) -> Incident:
        row = await self._database.one(f"{_INCIDENTS} WHERE opened.incident = %s", (incident_id,))
        if row is None:
            raise NotFound(f"there is no incident {incident_id}; `ops incident list --all` shows them")
        return _incident(row)

    async def of(self, service: str | None = None, *, closed: bool = False) -> tuple[Incident, ...]:
        """The open ones, newest first; with `closed` all of them."""
        rows = await self._database.all(
            f"{_INCIDENTS} WHERE (%(service)s::text IS NULL OR opened.service = %(service)s)"
            " AND (%(closed)s OR closed.at IS NULL) ORDER BY opened.number DESC",
            {"service": service, "closed": closed},
        )
        return tuple(_incident(row) for row in rows)


_INCIDENTS = (
    "SELECT opened.incident, opened.service, opened.environment, opened.why, opened.by_whom, opened.at,"
    " closed.by_whom AS closed_by, closed.why AS closed_why, closed.at AS closed_at"
    " FROM (SELECT * FROM incident_events WHERE kind = 'opened') AS opened"
    " LEFT JOIN incident_events AS closed ON closed.incident = opened.incident AND closed.kind = 'closed'"
)


def _incident(row: Row) -> Incident:
    return Incident(
        id=row["incident"],
        service=row["service"],
        environment=row["environment"],
        why=row["why"],
        opened_by=row["by_whom"],
        opened_at=row["at"],
        closed_by=row["closed_by"],
        closed_why=row["closed_why"] or "",
        closed_at=row["closed_at"],
    )
