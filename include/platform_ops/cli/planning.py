"""`ops plan`: the whole promotion without an effect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from platform_ops.controller.promotion_planner import Question
from platform_ops.core.manifest_diff import Change
from platform_ops.core.promotion_plan import (
    UNKNOWN,
    ApprovalPlan,
    ManifestPlan,
    NotKnown,
    PromotionPlan,
    Timeline,
    TriggerState,
    in_words,
)
from platform_ops.wiring import Desk

from .asking import AsJson, Environment, Service, at_desk
from .output import ExitCode, clock_time, err, out, print_json, table
from .promoting import require_release


def plan(
    service: Service,
    environment: Environment,
    release: Annotated[
        str, typer.Option(help="Release or digest; by default the one that the promotion would take.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """The whole promotion without an effect: gates as they stand, who may approve, steps with times,
    manifests as a diff against the cluster, triggers with today's values.

    Ends with 5 when a rule would refuse it now, 7 when the API server would refuse a manifest, 8 when a
    system that does not answer leaves a part of the plan unknown.
    """

    async def act(desk: Desk) -> PromotionPlan:
        desk.catalog.environment(service, environment)
        await require_release(desk, service, environment, release)
        asked = Question(service, environment, release, desk.settings.airflow_user)
        return await desk.planner.plan(asked)

    found = at_desk(act)
    if as_json:
        print_json(_told(found))
    else:
        _show(found)
    if code := exit_code_of(found):
        raise typer.Exit(code)


def exit_code_of(found: PromotionPlan) -> ExitCode:
    """What is certain outranks what is unknown."""
    if found.refusals():
        return ExitCode.GATE_CLOSED
    if found.rejected():
        return ExitCode.REFUSED
    return ExitCode.UNAVAILABLE if found.unknown() else ExitCode.OK


def _told(found: PromotionPlan) -> dict[str, Any]:
    concluded = {
        "refusals": found.refusals(),
        "rejected": found.rejected(),
        "unknown": found.unknown(),
    }
    return {**vars(found), **concluded}


def _show(found: PromotionPlan) -> None:
    _show_release(found)
    _show_gates(found)
    _show_admission(found)
    _show_approval(found.approval)
    _show_timeline(found.timeline)
    _show_manifests(found.manifests)
    _show_triggers(found.triggers)
    for head, sentences in (
        ("It would be refused now", found.refusals()),
        ("The API server would refuse", found.rejected()),
        ("Not known", found.unknown()),
    ):
        for sentence in sentences:
            err.print(f"{head}: {sentence}", style="yellow", markup=False)


def _show_release(found: PromotionPlan) -> None:
    release = found.release
    if isinstance(release, NotKnown):
        _lines(f"{found.service} to {found.environment}: {_unknown(release)}")
        return
    _lines(
        f"{found.service} {release.name} to {found.environment}: {release.note}",
        f"  commit    {release.commit}",
        f"  digest    {release.digest or 'not built yet'}",
        f"  live now  {found.live or 'nothing yet'}",
    )


def _show_gates(found: PromotionPlan) -> None:
    _lines("", "Gates")
    if isinstance(found.gates, NotKnown):
        _lines(f"  {_unknown(found.gates)}")
        return
    rows = table("gate", "now", "since", "next")
    for one in found.gates:
        state = f"{one.state}{', cached' if one.cached else ''}{'' if one.required else ', advisory'}"
        reason = f" ({one.reason})" if one.reason else ""
        rows.add_row(one.gate, state, clock_time(one.at), f"{one.todo}{reason}")
    out.print(rows, markup=False)


def _show_admission(found: PromotionPlan) -> None:
    _lines("", "Admission")
    rows = table("rule", "now", "next")
    for one in found.admission:
        rows.add_row(one.rule, one.outcome, "\n".join(one.words))
    out.print(rows, markup=False)


def _show_approval(found: ApprovalPlan) -> None:
    terms = found.terms
    needed = ", ".join(f"{count} of {role}" for role, count in found.quorum.items()) or "nobody has to vote"
    expires = f"; a vote counts for {in_words(terms.expires)}" if terms.expires and found.quorum else ""
    _lines(
        "",
        "Approval",
        f"  needs       {needed}{expires}",
        f"  wait timer  {in_words(terms.wait_timer)}",
        f"  may ask     {', '.join(terms.requesters) or 'every role'}",
        *(f"  may vote    {role}: {', '.join(who) or 'nobody'}" for role, who in found.may_vote.items()),
        *(f"  may not     {user}, who {why}" for user, why in found.may_not.items()),
        *(f"  note        {note}" for note in found.notes),
    )


def _show_timeline(found: Timeline) -> None:
    _lines("", "Steps")
    rows = table("step", "earliest", "at least", "")
    for one in found.steps:
        rows.add_row(one.step, f"+{in_words(one.begins)}", in_words(one.lasts), one.note)
    out.print(rows, markup=False)
    _lines(f"At least {in_words(found.least)} until it is promoted, beside gates, build and votes.")


def _show_manifests(found: ManifestPlan | NotKnown) -> None:
    _lines("", "Manifests" if isinstance(found, NotKnown) else f"Manifests of {found.colour}, the preview")
    if isinstance(found, NotKnown):
        _lines(f"  {_unknown(found)}")
        return
    for one in found.changes:
        _lines(f"  {one.change:9}  {one.kind} {one.name}{f': {one.why}' if one.why else ''}")
    _lines(*(one.diff for one in found.changes if one.change in (Change.NEW, Change.CHANGED)))


def _show_triggers(found: Iterable[TriggerState]) -> None:
    rows = table("trigger", "takes the traffic back when", "for", "sample", "today")
    for one in found:
        today = UNKNOWN if one.outcome == UNKNOWN else f"{one.outcome}: {one.words}"
        rows.add_row(one.name, one.condition, in_words(one.sustained), str(one.minimum_samples), today)
    _lines("", "Triggers")
    if rows.row_count:
        out.print(rows, markup=False)
    else:
        _lines("  none: nothing watches a direct rollout")


def _unknown(part: NotKnown) -> str:
    return f"{UNKNOWN}: {part.why}" if part.away else part.why


def _lines(*lines: str) -> None:
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
