"""Changes by hand: each is one row, written before anything is done about it, and ended once."""

from __future__ import annotations

from datetime import datetime

from platform_ops.core.drift import Deed, HandChange, Outcome, Subject
from platform_ops.core.errors import PermanentError
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour

from .database import Database, Row, one_row
from .journal import write_entry


class HandChangeTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, change: HandChange, intent: Entry) -> HandChange:
        """The open row of this event; it and the journal's line are written by whoever is first."""
        async with self._database.transaction() as connection:
            row = await one_row(
                connection,
                "INSERT INTO hand_changes (event, at, service, environment, rollout_id, subject, outcome,"
                " deed, colour, digest, happened) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (event) WHERE ended_at IS NULL DO NOTHING RETURNING *",
                (
                    change.event,
                    change.at,
                    change.service,
                    change.environment,
                    change.rollout_id,
                    change.subject.value,
                    change.outcome.value,
                    change.deed.value,
                    change.colour.value if change.colour else None,
                    change.digest,
                    change.happened,
                ),
            )
            if row is not None:
                await write_entry(connection, intent)
        if row is not None:
            return _change(row)
        return await self.newest(change.event) or change

    async def newest(self, event: str) -> HandChange | None:
        row = await self._database.one(
            "SELECT * FROM hand_changes WHERE event = %s ORDER BY number DESC LIMIT 1", (event,)
        )
        return _change(row) if row else None

    async def finish(self, number: int, outcome: Outcome, said: str, at: datetime, done: Entry) -> bool:
        """False when it was ended already; then nothing is written."""
        async with self._database.transaction() as connection:
            row = await one_row(
                connection,
                "UPDATE hand_changes SET outcome = %s, said = %s, ended_at = %s"
                " WHERE number = %s AND ended_at IS NULL RETURNING number",
                (outcome.value, said, at, number),
            )
            if row is not None:
                await write_entry(connection, done)
        return row is not None

    async def of_rollout(self, rollout_id: str) -> tuple[HandChange, ...]:
        """Since that rollout was the newest, oldest first."""
        rows = await self._database.all(
            "SELECT * FROM hand_changes WHERE rollout_id = %s ORDER BY number", (rollout_id,)
        )
        return tuple(_change(row) for row in rows)


def _change(row: Row) -> HandChange:
    """PermanentError for what another version wrote and this one cannot read."""
    try:
        return _read(row)
    except ValueError as unknown:
        raise PermanentError(
            f"change by hand {row['number']} of {row['service']}/{row['environment']} was judged by another "
            f"version of platform-ops ({unknown}): update this one"
        ) from unknown


def _read(row: Row) -> HandChange:
    return HandChange(
        event=row["event"],
        at=row["at"],
        service=row["service"],
        environment=row["environment"],
        rollout_id=str(row["rollout_id"]),
        subject=Subject(row["subject"]),
        outcome=Outcome(row["outcome"]),
        deed=Deed(row["deed"]),
        colour=Colour(row["colour"]) if row["colour"] else None,
        digest=row["digest"],
        happened=row["happened"],
        ended_at=row["ended_at"],
        said=row["said"],
        number=row["number"],
    )
