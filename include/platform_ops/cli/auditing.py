"""`ops audit`: who approved what, when, which digest. Read from the ledger alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from platform_ops.core.approvals import Grant, Void, Vote
from platform_ops.core.changelog import Changelog
from platform_ops.core.digest_holds import DigestHold
from platform_ops.core.errors import NotFound
from platform_ops.core.evidence import Evidence
from platform_ops.core.gates import NOT_RUN
from platform_ops.core.hotfix import Hotfix
from platform_ops.core.records import BranchMove, Entry, GateResult, Promotion
from platform_ops.wiring import Desk

from .asking import AsJson, OneEnvironment, Service, at_desk
from .output import clock_time, out, print_json


@dataclass(frozen=True)
class Record:
    """Everything that the ledger holds of one promotion."""

    promotion: Promotion
    release: str
    votes: tuple[Vote, ...]
    grant: Grant | None
    gates: tuple[GateResult, ...]
    journal: tuple[Entry, ...]
    changelog: Changelog | None
    git: tuple[BranchMove, ...]
    voids: tuple[Void, ...] = ()
    """Votes that did not let the release start."""
    hotfix: Hotfix | None = None
    digest_holds: tuple[DigestHold, ...] = ()
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
    gates = await ledger.gates.of(service, [one for one in (promotion.commit, promotion.digest) if one])
    rollout = await ledger.rollouts.of_run(promotion.dag_id, promotion.run_id)
    journal = await ledger.journal.of_rollout(rollout.id) if rollout else ()
    log, moves = await ledger.source.changelog(promotion.id), await ledger.source.moves(promotion.id)
    voids = await ledger.approvals.voids(promotion.id)
    hotfix = await ledger.hotfixes.of_promotion(promotion.id)
    holds = await ledger.digest_holds.history(service, promotion.digest) if promotion.digest else ()
    return Record(promotion, promotion.name, votes, grant, gates, journal, log, moves, voids, hotfix, holds)


def _show(record: Record, journal: bool) -> None:
    promotion = record.promotion
    lines = [
        f"{clock_time(promotion.started_at)}  {promotion.service}/{promotion.environment}  {record.release}  "
        f"{promotion.outcome}",
        f"  digest        {promotion.digest or 'not built'}",
        f"  commit        {promotion.commit}",
        f"  asked for by  {promotion.requested_by}  {promotion.url}",
        *_hotfix(record.hotfix),
        *(
            f"  vote          {clock_time(vote.at)}  {vote.user} as {vote.role}: {vote.option}"
            f"  on {_evidence(vote.evidence)}"
            for vote in record.votes
        ),
        f"  approved      {_granted(record.grant)}",
        *(f"  void          {clock_time(void.at)}  {void.why}" for void in record.voids),
        *([f"  fixes         {', '.join(promotion.fixes)}"] if promotion.fixes else []),
        *(f"  {gate.gate:12}  {clock_time(gate.at)}  {_outcome(gate)}" for gate in record.gates),
        *(
            f"  git           {clock_time(move.at)}  {move.branch} at {move.commit[:8]}  {move.tag}".rstrip()
            for move in record.git
        ),
        *([f"  changes       {_changes(record.changelog)}"] if record.changelog else []),
        *(f"  {'on hold' if one.held else 'released':12}  {_held(one)}" for one in record.digest_holds),
    ]
    if journal:
        lines += [f"  {_entry(entry)}" for entry in record.journal]
    else:
        lines.append(f"  journal       {len(record.journal)} entries; --journal shows them")
    out.print("\n".join(lines), markup=False)


def _outcome(gate: GateResult) -> str:
    words = "not run" if gate.outcome == NOT_RUN else gate.outcome
    origin, reason = gate.detail.get("cached_from"), gate.detail.get("reason")
    cached = f" (cached from {origin['commit'][:8]}, {origin['at'][:16]})" if origin else ""
    return f"{words}{cached}{f': {reason}' if reason else ''}"


def _granted(grant: Grant | None) -> str:
    if grant is None:
        return "no"
    needed = ", ".join(f"{count} of {role}" for role, count in grant.required.items()) or "nobody needed"
    by = ", ".join(grant.voters) or "nobody"
    return f"{clock_time(grant.at)}  by {by} ({needed}) on {_evidence(grant.evidence)}"


def _evidence(evidence: Evidence) -> str:
    """`source passed, image passed (3f2a90c1)`: the outcomes, and the first digits of their fingerprint."""
    outcomes = ", ".join(f"{one.gate} {one.outcome}" for one in evidence.outcomes) or "no gate's outcome"
    return f"{outcomes} ({evidence.fingerprint[:8]})"


def _hotfix(hotfix: Hotfix | None) -> list[str]:
    if hotfix is None:
        return []
    incident = f" ({hotfix.incident})" if hotfix.incident else ""
    return [f"  hotfix        {hotfix.why}{incident}", f"  follow-up     {follow_up(hotfix)}"]


def follow_up(hotfix: Hotfix) -> str:
    """What is left to do after a hotfix, or why nothing is."""
    if hotfix.closed_at is not None:
        return f"closed {clock_time(hotfix.closed_at)}: {hotfix.closed_because}"
    return f"open: not in {', '.join(hotfix.missing) or 'any branch that was looked at'}"


def _changes(log: Changelog) -> str:
    counts = [f"{len(lines)} {group.lower()}" for group, lines in log.groups.items()]
    more = [f"{log.more} more"] if log.more else []
    back = [f"{log.goes_back} commit(s) taken back out"] if log.goes_back else []
    return ", ".join([*counts, *more, *back]) or "none"


def _held(one: DigestHold) -> str:
    return f"{clock_time(one.at)}  in {one.environment} by {one.by}: {one.why}"


def _entry(entry: Entry) -> str:
    why = f": {entry.why}" if entry.why else ""
    return f"{clock_time(entry.at)}  {entry.actor}  {entry.kind} {entry.what}{why}"
