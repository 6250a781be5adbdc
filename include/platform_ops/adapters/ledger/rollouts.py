"""Rollouts, and the lease with its fencing token.

The holder of the lease writes phase, step, weights and what it saw, each time with its token: one that was
outrun learns it here (`StaleHolder`), before it acts. People write goal, hold and wish; no write of one side
can undo one of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from platform_ops.adapters.gathering import Gathering
from platform_ops.core.clocks import APART
from platform_ops.core.digest_holds import DigestHold, held_entry
from platform_ops.core.errors import GateClosed, Held, NotFound, StaleHolder
from platform_ops.core.records import Entry
from platform_ops.core.state import Hold, Phase, Rollout, Wish, heeded

from .database import Connection, Database, Row, all_rows, one_row
from .digest_holds import write_hold
from .journal import write_entry
from .rollout_rows import as_row, from_row, optional_json, readable


class RolloutTable:
    def __init__(self, database: Database, gather: float) -> None:
        self._database = database
        self._rows: Gathering[str, Row | None] = Gathering(self._of_ids, window=gather)

    async def insert(self, rollout: Rollout, opened: Entry) -> Rollout:
        """Idempotent per run. A rollout in its warm window ends here and its journal says so; any other one
        that is not over raises Held with its name and holder."""
        try:
            async with self._database.transaction() as connection:
                known = await one_row(
                    connection,
                    "SELECT * FROM rollouts WHERE dag_id = %s AND run_id = %s",
                    (rollout.dag_id, rollout.run_id),
                )
                if known is not None:
                    return from_row(known)
                await _end_warm_window(connection, rollout, opened)
                await _insert(connection, rollout)
                await write_entry(connection, opened)
        except UniqueViolation:
            same = await self.of_run(rollout.dag_id, rollout.run_id)
            if same is not None:
                return same
            raise Held(await self._who_runs(rollout)) from None
        return rollout

    async def get(self, rollout_id: str) -> Rollout:
        row = await self._rows.ask(rollout_id)
        if row is None:
            raise NotFound(f"The ledger holds no rollout {rollout_id}")
        return from_row(row)

    async def _of_ids(self, ids: Sequence[str]) -> dict[str, Row | None]:
        rows = await self._database.all("SELECT * FROM rollouts WHERE id = ANY(%s::uuid[])", (list(ids),))
        found = {str(row["id"]): row for row in rows}
        return {one: found.get(one) for one in ids}

    async def of_run(self, dag_id: str, run_id: str) -> Rollout | None:
        row = await self._database.one(
            "SELECT * FROM rollouts WHERE dag_id = %s AND run_id = %s", (dag_id, run_id)
        )
        return from_row(row) if row else None

    async def active(self, service: str, environment: str) -> Rollout | None:
        """The one that is not over, including one in its warm window."""
        row = await self._database.one(
            "SELECT * FROM rollouts WHERE service = %s AND environment = %s"
            " AND phase NOT IN ('Reclaimed', 'RolledBack')",
            (service, environment),
        )
        return from_row(row) if row else None

    async def of(self, service: str, environment: str | None = None, limit: int = 50) -> tuple[Rollout, ...]:
        """Newest first."""
        rows = await self._database.all(
            "SELECT * FROM rollouts WHERE service = %(service)s"
            " AND (%(environment)s::text IS NULL OR environment = %(environment)s)"
            " ORDER BY created_at DESC LIMIT %(limit)s",
            {"service": service, "environment": environment, "limit": limit},
        )
        return tuple(from_row(row) for row in rows)

    async def unheld(self, now: datetime) -> tuple[Rollout, ...]:
        """Not over, and nobody's lease on it is alive, or it lies further ahead than any lease lasts."""
        rows = await self._database.all(
            "SELECT * FROM rollouts WHERE phase NOT IN ('Reclaimed', 'RolledBack')"
            " AND (lease_until IS NULL OR lease_until <= %s OR lease_until > %s) ORDER BY created_at",
            (now, now + APART),
        )
        return readable(rows)

    async def ended_badly(self, after: datetime) -> tuple[Rollout, ...]:
        """Rolled back or in need of attention since `after`, oldest first."""
        rows = await self._database.all(
            "SELECT * FROM rollouts WHERE phase IN ('RolledBack', 'NeedsAttention') AND entered_at >= %s"
            " ORDER BY entered_at",
            (after,),
        )
        return readable(rows)

    async def claim(self, rollout_id: str, holder: str, now: datetime, until: datetime) -> Rollout:
        """Take the lease with a token above all that were ever given. Held while another's lease is alive."""
        async with self._database.transaction() as connection:
            row = await one_row(
                connection,
                "UPDATE rollouts SET holder = %s, token = nextval('fencing_tokens'), lease_until = %s"
                " WHERE id = %s AND (lease_until IS NULL OR lease_until <= %s)"
                " RETURNING *",
                (holder, until, rollout_id, now),
            )
        if row is not None:
            return from_row(row)
        held = await self.get(rollout_id)
        raise Held(f"{held.target.key} is held by {held.holder} until {held.lease_until:%H:%M:%S} UTC")

    async def renew(self, rollout_id: str, token: int, until: datetime) -> None:
        """StaleHolder when outrun."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                "UPDATE rollouts SET lease_until = %s WHERE id = %s AND token = %s",
                (until, rollout_id, token),
            )
        if cursor.rowcount == 0:
            raise StaleHolder(_outrun(rollout_id, token))

    async def release(self, rollout_id: str, token: int, now: datetime) -> None:
        """Give the lease back. One that was outrun has nothing to give back, which is fine."""
        await self._database.one(
            "UPDATE rollouts SET lease_until = %s WHERE id = %s AND token = %s", (now, rollout_id, token)
        )

    async def save(
        self, rollout: Rollout, entry: Entry | None = None, hold: DigestHold | None = None
    ) -> None:
        """Write the holder's part of the row, and with it the journal's line and what a rollback holds.
        StaleHolder when outrun."""
        async with self._database.transaction() as connection:
            row = await one_row(
                connection,
                "UPDATE rollouts SET phase = %(phase)s, step = %(step)s, weight_blue = %(weight_blue)s,"
                " weight_green = %(weight_green)s, moved_at = %(moved_at)s, entered_at = %(entered_at)s,"
                " shifted_at = %(shifted_at)s, since = %(since)s, checked = %(checked)s,"
                " baseline = %(baseline)s, reason = %(reason)s"
                " WHERE id = %(id)s AND token = %(token)s RETURNING id",
                as_row(rollout),
            )
            if row is None:
                raise StaleHolder(_outrun(rollout.id, rollout.token))
            if entry is not None:
                await write_entry(connection, entry)
            if hold is not None:
                await write_hold(connection, hold, held_entry(rollout, hold))

    async def raise_goal(self, rollout_id: str, goal: Phase) -> Rollout:
        """The goal only moves on, never back."""
        async with self._database.transaction() as connection:
            rollout = await _locked(connection, rollout_id)
            if rollout.goal.reached(goal):
                return rollout
            row = await one_row(
                connection,
                "UPDATE rollouts SET goal = %s WHERE id = %s RETURNING *",
                (goal.value, rollout_id),
            )
        return from_row(row or {})

    async def hold(self, rollout_id: str, hold: Hold, entry: Entry) -> Rollout:
        """The first hold stays until it is lifted."""
        async with self._database.transaction() as connection:
            rollout = await _locked(connection, rollout_id)
            _require_running(rollout)
            if rollout.hold is not None:
                return rollout
            return await _write(connection, rollout_id, "hold", optional_json(hold), entry)

    async def resume(self, rollout_id: str, now: datetime, entry: Entry) -> Rollout:
        """Lift the hold; the step or bake is watched anew. Without a hold it does nothing."""
        async with self._database.transaction() as connection:
            rollout = await _locked(connection, rollout_id)
            if rollout.hold is None:
                return rollout
            await connection.execute(
                "UPDATE rollouts SET since = CASE WHEN since IS NULL THEN NULL ELSE %s::timestamptz END"
                " WHERE id = %s",
                (now, rollout_id),
            )
            return await _write(connection, rollout_id, "hold", None, entry)

    async def wish_back(self, rollout_id: str, wish: Wish, entry: Entry) -> Rollout:
        """Ask for a rollback. GateClosed when the rollout is over; `heeded` says which wish counts."""
        async with self._database.transaction() as connection:
            rollout = await _locked(connection, rollout_id)
            _require_running(rollout)
            if not heeded(wish, rollout):
                return rollout
            if rollout.phase is Phase.NEEDS_ATTENTION:
                await connection.execute(
                    "UPDATE rollouts SET phase = %s, entered_at = %s, since = NULL, checked = NULL"
                    " WHERE id = %s",
                    (Phase.ROLLING_BACK.value, wish.at, rollout_id),
                )
            return await _write(connection, rollout_id, "wish", optional_json(wish), entry)

    async def _who_runs(self, rollout: Rollout) -> str:
        running = await self.active(rollout.target.service, rollout.target.environment)
        if running is None:
            return f"A rollout of {rollout.target.key} ended just now: try again"
        hold = f"; on hold by {running.hold.by}: {running.hold.why}" if running.hold else ""
        return (
            f"{running.release.name} is being rolled out to {running.target.key} ({running.phase}), asked for"
            f" by {running.requested_by} in {running.run_id}, held by {running.holder or 'nobody yet'}{hold}"
        )


async def _end_warm_window(connection: Connection, rollout: Rollout, opened: Entry) -> None:
    """An approved new promotion ends the warm window before it. The new token outruns its holder."""
    target = rollout.target
    ended = await all_rows(
        connection,
        "UPDATE rollouts SET phase = 'Reclaimed', entered_at = %s, token = nextval('fencing_tokens'),"
        " lease_until = NULL, reason = %s WHERE service = %s AND environment = %s"
        " AND phase IN ('Promoted', 'Warm') AND hold IS NULL AND wish IS NULL RETURNING *",
        (opened.at, f"warm window ended by {rollout.run_id}", target.service, target.environment),
    )
    for row in ended:
        before = from_row(row)
        why = f"warm window ended by {rollout.release.name} ({rollout.run_id})"
        entry = replace(
            opened,
            kind="note",
            what="EndWarmWindow",
            why=why,
            rollout_id=before.id,
            promotion_id=before.promotion_id,
        )
        await write_entry(connection, entry)


async def _insert(connection: Connection, rollout: Rollout) -> None:
    await connection.execute(
        "INSERT INTO rollouts (id, dag_id, run_id, promotion_id, service, environment, target, release,"
        " colour, previous_digest, plan, goal, requested_by, log_url, created_at, phase, step, weight_blue,"
        " weight_green, moved_at, entered_at, shifted_at, since, checked, reason, hold, wish, holder,"
        " token, lease_until)"
        " VALUES (%(id)s, %(dag_id)s, %(run_id)s, %(promotion_id)s, %(service)s, %(environment)s, %(target)s,"
        " %(release)s, %(colour)s, %(previous_digest)s, %(plan)s, %(goal)s, %(requested_by)s, %(log_url)s,"
        " %(created_at)s, %(phase)s, %(step)s, %(weight_blue)s, %(weight_green)s, %(moved_at)s,"
        " %(entered_at)s, %(shifted_at)s, %(since)s, %(checked)s, %(reason)s,"
        " %(hold)s, %(wish)s, %(holder)s, %(token)s, %(lease_until)s)",
        as_row(rollout),
    )


async def _locked(connection: Connection, rollout_id: str) -> Rollout:
    row = await one_row(connection, "SELECT * FROM rollouts WHERE id = %s FOR UPDATE", (rollout_id,))
    if row is None:
        raise NotFound(f"The ledger holds no rollout {rollout_id}")
    return from_row(row)


async def _write(
    connection: Connection, rollout_id: str, column: str, value: Jsonb | None, entry: Entry
) -> Rollout:
    row: Row | None
    if column == "hold":
        row = await one_row(
            connection, "UPDATE rollouts SET hold = %s WHERE id = %s RETURNING *", (value, rollout_id)
        )
    else:
        row = await one_row(
            connection,
            "UPDATE rollouts SET wish = %s, hold = NULL WHERE id = %s RETURNING *",
            (value, rollout_id),
        )
    await write_entry(connection, entry)
    return from_row(row or {})


def _require_running(rollout: Rollout) -> None:
    if rollout.phase.terminal:
        raise GateClosed(
            f"The rollout of {rollout.release.name} to {rollout.target.key} is over ({rollout.phase}): "
            "promote the release that should serve instead"
        )


def _outrun(rollout_id: str, token: int) -> str:
    return f"Somebody took rollout {rollout_id} over after token {token}: this holder stops"
