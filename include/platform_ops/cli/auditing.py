"""`ops audit`: who approved what, when, which digest. Read from the ledger alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from platform_ops.core.approvals import Grant, Vote
from platform_ops.core.digest_holds import DigestHold
from platform_ops.core.errors import NotFound
from platform_ops.core.records import Entry, GateResult, Promotion
from platform_ops.wiring import Desk

from .asking import AsJson, OneEnvironment, Service, at_desk
from .output import clock_time, out, print_json

_GATES = (("source", "commit"), ("image", "digest"))


@dataclass(frozen=True)
class Record:
    """Everything that the ledger holds of one promotion."""

    promotion: Promotion
    release: str
    votes: tuple[Vote, ...]
    grant: Grant | None
    gates: tuple[GateResult, ...]
    journal: tuple[Entry, ...]
    digest_holds: tuple[DigestHold, ...]
    """Of its digest, in every environment, with the releases."""


def audit(
    service: Service,
    environment: OneEnvironment = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Newest promotions.")] = 20,
    journal: Annotated[bool, typer.Option("--journal", help="Every step of the rollouts, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Who asked, who approved, which digest, what happened: from the ledger, without Airflow or cluster."""

    async def act(desk: Desk) -> None:
        promotions = await desk.ledger.promotions.of(service, environment, limit)
        if not promotions:
            place = f" in {environment}" if environment else ""
            raise NotFound(f"the ledger holds no promotion of {service}{place}")
        records = await asyncio.gather(*(_record(desk, promotion) for promotion in promotions))
        if as_json:
            print_json(records)
        else:
            for record in records:
                _show(record, journal)

    at_desk(act)


async def _record(desk: Desk, promotion: Promotion) -> Record:
    ledger, service = desk.ledger, promotion.service
    votes = await ledger.approvals.votes(promotion.id)
    grant = None
    if promotion.digest:
        granted = await ledger.approvals.grants(service, promotion.environment)
        grant = next((one for one in granted if one.promotion_id == promotion.id), None)
    subjects = {"commit": promotion.commit, "digest": promotion.digest}
    gates = [
        await ledger.gates.latest(service, subject, gate)
        for gate, kind in _GATES
        if (subject := subjects[kind]) is not None
    ]
    rollout = await ledger.rollouts.of_run(promotion.dag_id, promotion.run_id)
    journal = await ledger.journal.of_rollout(rollout.id) if rollout else ()
    present = tuple(gate for gate in gates if gate is not None)
    holds = await ledger.digest_holds.history(service, promotion.digest) if promotion.digest else ()
    return Record(promotion, promotion.name, votes, grant, present, journal, holds)


def _show(record: Record, journal: bool) -> None:
    promotion = record.promotion
    lines = [
        f"{clock_time(promotion.started_at)}  {promotion.service}/{promotion.environment}  {record.release}  "
        f"{promotion.outcome}",
        f"  digest        {promotion.digest or 'not built'}",
        f"  commit        {promotion.commit}",
        f"  asked for by  {promotion.requested_by}  {promotion.url}",
        *(
            f"  vote          {clock_time(vote.at)}  {vote.user} as {vote.role}: {vote.option}"
            for vote in record.votes
        ),
        f"  approved      {_granted(record.grant)}",
        *(f"  {gate.gate:12}  {clock_time(gate.at)}  {gate.outcome}" for gate in record.gates),
        *(f"  {'on hold' if one.held else 'released':12}  {_held(one)}" for one in record.digest_holds),
    ]
    if journal:
        lines += [f"  {_entry(entry)}" for entry in record.journal]
    else:
        lines.append(f"  journal       {len(record.journal)} entries; --journal shows them")
    out.print("\n".join(lines), markup=False)


def _granted(grant: Grant | None) -> str:
    if grant is None:
        return "no"
    needed = ", ".join(f"{count} of {role}" for role, count in grant.required.items()) or "nobody needed"
    return f"{clock_time(grant.at)}  by {', '.join(grant.voters) or 'nobody'} ({needed})"


def _held(one: DigestHold) -> str:
    return f"{clock_time(one.at)}  in {one.environment} by {one.by}: {one.why}"


def _entry(entry: Entry) -> str:
    why = f": {entry.why}" if entry.why else ""
    return f"{clock_time(entry.at)}  {entry.actor}  {entry.kind} {entry.what}{why}"
