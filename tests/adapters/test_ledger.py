"""The ledger against a real PostgreSQL: what it keeps, what it refuses, and what its role may not do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from fakes import MIDNIGHT, ManualClock, MemoryLedger, seconds
from postgres_server import PostgresServer
from rollout_scenes import PLAN, TARGET, V1, V2, V3, release

from platform_ops.adapters.clock import SystemClock
from platform_ops.adapters.ledger import Ledger
from platform_ops.adapters.ledger.guard import LedgerApprovals
from platform_ops.adapters.ledger.migrate import migrate, migrations
from platform_ops.core.approvals import ApprovalRule, Vote
from platform_ops.core.digest_holds import DigestHold, hold_after
from platform_ops.core.errors import (
    GateClosed,
    Held,
    NotApproved,
    NotFound,
    PermanentError,
    StaleHolder,
    Unavailable,
)
from platform_ops.core.paging import Page
from platform_ops.core.records import Entry, Promotion
from platform_ops.core.release import Colour, Weights
from platform_ops.core.reports import report_of
from platform_ops.core.state import CheckReport, Hold, Phase, Rollout, Wish

DAG = "promote_llm-service_production"
RULE = ApprovalRule(
    {"senior_developer": 2, "devops": 1},
    {"senior_developer": frozenset({"senior1", "senior2"}), "devops": frozenset({"devops", "senior1"})},
)


def a_rollout(digest: str = V2, run_id: str = "run-2", **changes: object) -> Rollout:
    fresh = Rollout(
        id=str(uuid.uuid4()),
        dag_id=DAG,
        run_id=run_id,
        promotion_id=None,
        target=TARGET,
        release=release(digest),
        colour=Colour.GREEN,
        previous_digest=V1,
        plan=replace(PLAN, manifests=({"kind": "Deployment", "metadata": {"name": "llm-service-green"}},)),
        goal=Phase.PENDING,
        requested_by="developer",
        log_url="http://airflow.example.com/log",
        created_at=MIDNIGHT,
    )
    return replace(fresh, **changes)


def line(rollout: Rollout, what: str = "Open", kind: str = "note") -> Entry:
    service, environment = rollout.target.service, rollout.target.environment
    return Entry(service, environment, MIDNIGHT, "somebody", kind, what, "because", rollout.id)


async def a_promotion(ledger: Ledger, run_id: str = "run-2", digest: str = V2) -> Promotion:
    of = release(digest)
    return await ledger.promotions.open(
        dag_id=DAG,
        run_id=run_id,
        service=of.service,
        environment="production",
        commit=of.commit,
        version=of.version,
        digest=digest,
        requested_by="developer",
        url="http://airflow.example.com/run",
    )


def the_guard(ledger: Ledger) -> LedgerApprovals:
    return LedgerApprovals(ledger, ManualClock(), lambda role: RULE.entitled[role])


def votes(*answers: tuple[str, str], option: str = "Approve") -> list[Vote]:
    return [Vote(role, user, option, MIDNIGHT + seconds(n)) for n, (role, user) in enumerate(answers)]


@pytest.fixture(params=["memory", "postgres"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """The rules that the fake and PostgreSQL must both keep."""
    clock = ManualClock()
    if request.param == "memory":
        yield MemoryLedger(clock).connection()
        return
    async with Ledger.connect(request.getfixturevalue("ledger_dsn"), clock) as opened:
        yield opened


class TestContractOfRollouts:
    async def test_a_rollout_is_read_as_it_was_written(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        assert await either.rollouts.get(rollout.id) == rollout
        assert await either.rollouts.of_run(DAG, "run-2") == rollout
        assert [e.what for e in await either.journal.of_rollout(rollout.id)] == ["Open"]

    async def test_the_same_run_opens_one_rollout(self, either: Ledger) -> None:
        first, second = a_rollout(), a_rollout()
        await either.rollouts.insert(first, line(first))
        assert (await either.rollouts.insert(second, line(second))).id == first.id

    async def test_another_run_is_told_who_runs(self, either: Ledger) -> None:
        first, second = a_rollout(), a_rollout(V3, "run-3")
        await either.rollouts.insert(first, line(first))
        with pytest.raises(Held, match=r"1\.2\.0-00000000.*run-2"):
            await either.rollouts.insert(second, line(second))

    async def test_a_new_run_ends_the_warm_window_and_outruns_its_holder(self, either: Ledger) -> None:
        warm = a_rollout(phase=Phase.WARM)
        await either.rollouts.insert(warm, line(warm))
        held = await either.rollouts.claim(warm.id, "standby", MIDNIGHT, MIDNIGHT + seconds(10))
        fresh = a_rollout(V3, "run-3")
        await either.rollouts.insert(fresh, line(fresh))
        assert (await either.rollouts.get(warm.id)).phase is Phase.RECLAIMED
        with pytest.raises(StaleHolder):
            await either.rollouts.save(held)

    async def test_a_lease_is_for_one_and_its_token_grows_over_all_rollouts(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        until = MIDNIGHT + seconds(10)
        first = await either.rollouts.claim(rollout.id, "one", MIDNIGHT, until)
        with pytest.raises(Held, match="one"):
            await either.rollouts.claim(rollout.id, "two", MIDNIGHT + seconds(9), until)
        second = await either.rollouts.claim(rollout.id, "two", until, until + seconds(10))
        assert second.token > first.token
        with pytest.raises(StaleHolder):
            await either.rollouts.renew(rollout.id, first.token, until + seconds(60))
        with pytest.raises(StaleHolder):
            await either.rollouts.save(first, line(rollout, "Shift"))
        assert [e.what for e in await either.journal.of_rollout(rollout.id)] == ["Open"]
        await either.rollouts.save(replace(second, phase=Phase.ROLLED_BACK))
        other = a_rollout(V3, "run-3")
        await either.rollouts.insert(other, line(other))
        third = await either.rollouts.claim(other.id, "one", until, until + seconds(10))
        assert third.token > second.token

    async def test_a_lease_that_was_given_back_is_free(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        mine = await either.rollouts.claim(rollout.id, "one", MIDNIGHT, MIDNIGHT + seconds(10))
        assert await either.rollouts.unheld(MIDNIGHT) == ()
        await either.rollouts.release(rollout.id, mine.token, MIDNIGHT)
        assert [r.id for r in await either.rollouts.unheld(MIDNIGHT)] == [rollout.id]

    async def test_a_lease_further_ahead_than_any_lasts_is_looked_at(self, either: Ledger) -> None:
        """The clock of whoever wrote it was ahead; whether it is alive is told by its renewing it."""
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        until = MIDNIGHT + timedelta(hours=1)
        await either.rollouts.claim(rollout.id, "one", MIDNIGHT, until)
        assert [r.id for r in await either.rollouts.unheld(MIDNIGHT)] == [rollout.id]
        assert await either.rollouts.unheld(until - seconds(50)) == ()
        with pytest.raises(Held):
            await either.rollouts.claim(rollout.id, "two", MIDNIGHT, MIDNIGHT + seconds(10))
        assert (await either.rollouts.claim(rollout.id, "two", until, MIDNIGHT + seconds(10))).holder == "two"

    async def test_what_the_holder_saw_is_read_back(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        mine = await either.rollouts.claim(rollout.id, "one", MIDNIGHT, MIDNIGHT + seconds(10))
        seen = replace(
            mine,
            phase=Phase.SHIFTING,
            step=2,
            weights=Weights(50, 50),
            moved_at=MIDNIGHT,
            entered_at=MIDNIGHT,
            shifted_at=MIDNIGHT + seconds(1),
            since=MIDNIGHT + seconds(2),
            checked=CheckReport(Colour.GREEN, 2, ("GET /health: 500 instead of 200",), MIDNIGHT),
            reason="because",
        )
        await either.rollouts.save(seen, line(rollout, "Shift", "done"))
        assert await either.rollouts.get(rollout.id) == seen

    async def test_the_holder_does_not_undo_what_people_wrote(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        mine = await either.rollouts.claim(rollout.id, "one", MIDNIGHT, MIDNIGHT + seconds(10))
        hold, wish = Hold("devops", "wait", MIDNIGHT), Wish("oncall", "wrong", MIDNIGHT)
        await either.rollouts.raise_goal(rollout.id, Phase.PROMOTED)
        await either.rollouts.hold(rollout.id, hold, line(rollout, "Hold"))
        await either.rollouts.save(replace(mine, phase=Phase.DEPLOYING))
        row = await either.rollouts.get(rollout.id)
        assert (row.goal, row.hold, row.phase) == (Phase.PROMOTED, hold, Phase.DEPLOYING)
        await either.rollouts.wish_back(rollout.id, wish, line(rollout, "RequestRollback"))
        row = await either.rollouts.get(rollout.id)
        assert (row.hold, row.wish) == (None, wish)

    async def test_the_goal_never_moves_back(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        await either.rollouts.raise_goal(rollout.id, Phase.PROMOTED)
        assert (await either.rollouts.raise_goal(rollout.id, Phase.VERIFYING)).goal is Phase.PROMOTED

    async def test_resuming_watches_the_step_anew(self, either: Ledger) -> None:
        rollout = a_rollout(phase=Phase.SHIFTING, since=MIDNIGHT)
        await either.rollouts.insert(rollout, line(rollout))
        await either.rollouts.hold(rollout.id, Hold("devops", "wait", MIDNIGHT), line(rollout, "Hold"))
        later = MIDNIGHT + timedelta(minutes=4)
        resumed = await either.rollouts.resume(rollout.id, later, line(rollout, "Resume"))
        assert (resumed.hold, resumed.since) == (None, later)

    async def test_nothing_can_be_asked_of_a_rollout_that_is_over(self, either: Ledger) -> None:
        rollout = a_rollout(phase=Phase.RECLAIMED)
        await either.rollouts.insert(rollout, line(rollout))
        with pytest.raises(GateClosed, match="is over"):
            await either.rollouts.wish_back(rollout.id, Wish("a", "b", MIDNIGHT), line(rollout))

    async def test_a_hotfix_waits_for_the_end_of_a_shift_and_a_person_does_not(self, either: Ledger) -> None:
        rollout = a_rollout(phase=Phase.SHIFTING)
        await either.rollouts.insert(rollout, line(rollout))
        polite = Wish("hotfix", "it goes first", MIDNIGHT, between_steps=True)
        person = Wish("oncall", "now", MIDNIGHT)
        wished = [
            await either.rollouts.wish_back(rollout.id, wish, line(rollout))
            for wish in (polite, person, polite)
        ]
        assert [row.wish for row in wished] == [polite, person, person]

    async def test_nobody_pre_empts_what_is_promoted(self, either: Ledger) -> None:
        rollout = a_rollout(phase=Phase.PROMOTED)
        await either.rollouts.insert(rollout, line(rollout))
        polite = Wish("hotfix", "it goes first", MIDNIGHT, between_steps=True)
        row = await either.rollouts.wish_back(rollout.id, polite, line(rollout, "PreEmpt"))
        assert row.wish is None
        assert [e.what for e in await either.journal.of_rollout(rollout.id)] == ["Open"]

    async def test_asking_again_restarts_a_rollback_that_needed_attention(self, either: Ledger) -> None:
        rollout = a_rollout(phase=Phase.NEEDS_ATTENTION, since=MIDNIGHT)
        await either.rollouts.insert(rollout, line(rollout))
        row = await either.rollouts.wish_back(rollout.id, Wish("oncall", "again", MIDNIGHT), line(rollout))
        assert (row.phase, row.since, row.entered_at) == (Phase.ROLLING_BACK, None, MIDNIGHT)

    async def test_an_unknown_rollout_is_named(self, either: Ledger) -> None:
        missing = str(uuid.uuid4())
        with pytest.raises(NotFound, match=missing):
            await either.rollouts.get(missing)

    async def test_a_page_is_queued_once(self, either: Ledger) -> None:
        page = Page("key-1", "llm-service", "production", "t", "h", "d", "t", "", "#alerts")
        assert await either.outbox.enqueue(page)
        assert not await either.outbox.enqueue(replace(page, happened="again"))
        assert [q.page.happened for q in await either.outbox.unsent(MIDNIGHT)] == ["h"]
        await either.outbox.mark_sent("key-1", "1700000000.1")
        assert await either.outbox.unsent(MIDNIGHT) == ()
        assert (await either.outbox.get("key-1")).message_id == "1700000000.1"


def went_back(rollout: Rollout) -> tuple[Rollout, Entry, DigestHold]:
    """The end of its rollback, as the controller writes it."""
    ended = replace(rollout, phase=Phase.ROLLED_BACK, moved_at=MIDNIGHT, reason="error-rate: 9 of 100")
    hold = hold_after(ended, "triggerer", MIDNIGHT)
    assert hold is not None
    return ended, line(rollout, "Enter"), hold


def let_go(digest: str = V2) -> tuple[DigestHold, Entry]:
    released = DigestHold("llm-service", "", digest, False, "devops", "the database was it", MIDNIGHT)
    return released, replace(line(a_rollout()), what="ReleaseDigest", rollout_id=None)


class TestContractOfDigestHolds:
    async def test_the_end_of_a_rollback_holds_the_digest_once(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        for _ in range(2):
            await either.rollouts.save(*went_back(rollout))
        (held,) = await either.digest_holds.standing("llm-service", "production", V2)
        assert (held.rollout_id, held.why) == (rollout.id, "error-rate: 9 of 100")
        noted = [e.what for e in await either.journal.of_rollout(rollout.id)]
        assert noted.count("HoldDigest") == 1

    async def test_an_outrun_holder_holds_nothing(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        ended, entry, hold = went_back(replace(rollout, token=99))
        with pytest.raises(StaleHolder):
            await either.rollouts.save(ended, entry, hold)
        assert await either.digest_holds.standing("llm-service") == ()

    async def test_a_hold_counts_in_its_environment_and_in_later_ones(self, either: Ledger) -> None:
        rollout = a_rollout(target=replace(TARGET, environment="staging"))
        await either.rollouts.insert(rollout, line(rollout))
        await either.rollouts.save(*went_back(rollout))
        standing = either.digest_holds.standing
        assert await standing("llm-service", "development", V2) == ()
        assert len(await standing("llm-service", "staging", V2)) == 1
        assert len(await standing("llm-service", "production", V2)) == 1
        assert await standing("llm-service", "production", V3) == ()
        assert await standing("fm-llm-solver", "production", V2) == ()

    async def test_a_person_lets_it_go_and_the_next_rollback_holds_it_again(self, either: Ledger) -> None:
        for run in ("run-2", "run-3"):
            rollout = a_rollout(run_id=run)
            await either.rollouts.insert(rollout, line(rollout))
            await either.rollouts.save(*went_back(rollout))
            assert len(await either.digest_holds.standing("llm-service", "production")) == 1
            ended = await either.digest_holds.release(*let_go())
            assert [one.environment for one in ended] == ["production"]
            assert await either.digest_holds.standing("llm-service", "production") == ()
        assert await either.digest_holds.release(*let_go()) == ()
        lines = await either.digest_holds.history("llm-service", V2)
        assert [(one.held, one.by) for one in lines] == [(True, "triggerer"), (False, "devops")] * 2


class TestGuardAndDigestHolds:
    async def held(self, ledger: Ledger, digest: str = V2) -> None:
        promotion = await a_promotion(ledger, digest=digest)
        await ledger.approvals.record(promotion, votes=(), rule=ApprovalRule(), authors=(), now=MIDNIGHT)
        rollout = a_rollout(digest, run_id=f"back-{digest[-1]}")
        await ledger.rollouts.insert(rollout, line(rollout))
        await ledger.rollouts.save(*went_back(rollout))

    async def test_approvals_do_not_outvote_a_hold(self, ledger: Ledger) -> None:
        await self.held(ledger)
        with pytest.raises(GateClosed, match="ops release-digest llm-service"):
            await the_guard(ledger).ensure_allowed(TARGET, V2)
        await ledger.digest_holds.release(*let_go())
        await the_guard(ledger).ensure_allowed(TARGET, V2)

    async def test_going_back_to_what_served_is_always_allowed(self, ledger: Ledger) -> None:
        """V2 went back in staging while it served production; now V3 fails there."""
        await self.held(ledger)
        rollout = a_rollout(V3, run_id="run-3", previous_digest=V2)
        await ledger.rollouts.insert(rollout, line(rollout))
        await the_guard(ledger).ensure_allowed(TARGET, V2)


class TestContractOfReports:
    async def test_a_rollout_has_one_report_and_it_waits_until_it_was_started(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        report = report_of(rollout, MIDNIGHT)
        assert await either.reports.ask(report)
        assert not await either.reports.ask(replace(report, asked_at=MIDNIGHT + seconds(9)))
        await either.reports.mark_failed(rollout.id, "Airflow does not answer")
        (waiting,) = await either.reports.waiting()
        assert waiting == replace(report, attempts=1, last_error="Airflow does not answer")
        await either.reports.mark_started(rollout.id)
        assert await either.reports.waiting() == ()
        await either.reports.mark_failed(rollout.id, "a second process was late")
        started = await either.reports.of_run(report.dag_id, report.run_id)
        assert started == replace(report, started_at=MIDNIGHT, attempts=2)

    async def test_other_runs_report_nothing(self, either: Ledger) -> None:
        rollout = a_rollout()
        await either.rollouts.insert(rollout, line(rollout))
        report = report_of(rollout, MIDNIGHT)
        await either.reports.ask(report)
        assert await either.reports.of_run(report.dag_id, "manual__2026-01-01") is None
        assert await either.reports.of_run(DAG, report.run_id) is None


class TestPromotions:
    async def test_what_a_run_wrote_first_stays(self, ledger: Ledger) -> None:
        first = await a_promotion(ledger)
        assert await a_promotion(ledger, digest=V3) == first

    async def test_the_digest_is_set_once(self, ledger: Ledger) -> None:
        of = release(V2)
        built = await ledger.promotions.open(
            dag_id="d", run_id="r", service=of.service, environment="development", commit=of.commit,
            version=of.version, digest=None, requested_by="airflow", url="",
        )  # fmt: skip
        with pytest.raises(GateClosed, match="not built yet"):
            _ = built.release
        await ledger.promotions.set_digest(built.id, V2)
        await ledger.promotions.set_digest(built.id, V2)
        with pytest.raises(GateClosed, match="cannot become"):
            await ledger.promotions.set_digest(built.id, V3)

    async def test_only_what_ended_well_is_verified_and_newest_comes_first(self, ledger: Ledger) -> None:
        for number, (digest, outcome) in enumerate(((V1, "promoted"), (V2, "failed"), (V3, "promoted"))):
            promotion = await a_promotion(ledger, f"run-{number}", digest)
            ledger.promotions._clock.advance(seconds(1))
            await ledger.promotions.finish(promotion.id, outcome)
        assert [r.digest for r in await ledger.promotions.verified("llm-service", "production")] == [V3, V1]
        assert await ledger.promotions.seen("llm-service", "production", release(V2).commit)
        assert not await ledger.promotions.seen("llm-service", "staging", release(V2).commit)

    async def test_a_release_that_was_rolled_back_in_its_warm_window_is_not_verified(
        self, ledger: Ledger
    ) -> None:
        promotion = await a_promotion(ledger)
        await ledger.promotions.finish(promotion.id, "promoted")
        await ledger.promotions.finish(promotion.id, "rolled_back")
        await ledger.promotions.finish(promotion.id, "promoted")
        assert await ledger.promotions.verified("llm-service", "production") == ()

    async def test_a_release_name_stands_for_one_digest(self, ledger: Ledger) -> None:
        of = release(V2)
        await ledger.releases.add(of, built_by_run="run")
        await ledger.releases.add(of, built_by_run="run again")
        with pytest.raises(GateClosed, match=V2):
            await ledger.releases.add(replace(of, digest=V3), built_by_run="run")
        assert await ledger.releases.find("llm-service", of.name) == of
        assert await ledger.releases.find("llm-service", V2) == of
        assert await ledger.releases.find("llm-service", "9.9.9") is None

    async def test_the_newest_gate_result_counts(self, ledger: Ledger) -> None:
        for outcome in ("failed", "passed"):
            await ledger.gates.record(
                service="llm-service", subject="c0ffee", gate="source", outcome=outcome, detail={"n": 1}
            )
        latest = await ledger.gates.latest("llm-service", "c0ffee", "source")
        assert latest is not None
        assert (latest.outcome, latest.detail) == ("passed", {"n": 1})
        assert await ledger.gates.latest("llm-service", "c0ffee", "image") is None

    async def test_of_several_subjects_the_newest_result_of_each_gate_is_read(self, ledger: Ledger) -> None:
        for subject, gate, outcome in (
            ("c0ffee", "source", "failed"),
            (V2, "image", "passed"),
            ("c0ffee", "source", "passed"),
            ("decade", "source", "failed"),
        ):
            await ledger.gates.record(
                service="llm-service", subject=subject, gate=gate, outcome=outcome, detail={}
            )
        found = await ledger.gates.of("llm-service", ["c0ffee", V2])
        assert [(one.gate, one.subject, one.outcome) for one in found] == [
            ("image", V2, "passed"),
            ("source", "c0ffee", "passed"),
        ]


class TestApprovals:
    async def test_a_full_quorum_is_a_grant_of_this_digest_here(self, ledger: Ledger) -> None:
        promotion = await a_promotion(ledger)
        given = votes(("senior_developer", "senior1"), ("senior_developer", "senior2"), ("devops", "devops"))
        result = await ledger.approvals.record(promotion, votes=given, rule=RULE, authors=(), now=MIDNIGHT)
        assert result.met
        grant = await ledger.approvals.granted("llm-service", "production", V2)
        assert grant is not None
        assert grant.voters == ("senior1", "senior2", "devops")
        guard = the_guard(ledger)
        await guard.ensure_allowed(TARGET, V2)
        with pytest.raises(NotApproved, match=V3):
            await guard.ensure_allowed(TARGET, V3)
        with pytest.raises(NotApproved, match="llm-service/staging"):
            await guard.ensure_allowed(replace(TARGET, environment="staging"), V2)

    async def test_votes_that_come_later_complete_those_that_are_there(self, ledger: Ledger) -> None:
        promotion = await a_promotion(ledger)
        seats = [("senior_developer", "senior1"), ("senior_developer", "senior2"), ("devops", "devops")]
        for seat in seats:
            result = await ledger.approvals.record(
                promotion, votes=votes(seat), rule=RULE, authors=(), now=MIDNIGHT
            )
        assert result.met

    async def test_the_same_answers_twice_are_the_same_votes(self, ledger: Ledger) -> None:
        promotion = await a_promotion(ledger)
        for _ in range(2):
            given = votes(("devops", "devops"))
            await ledger.approvals.record(promotion, votes=given, rule=RULE, authors=(), now=MIDNIGHT)
        assert len(await ledger.approvals.votes(promotion.id)) == 1
        assert await ledger.approvals.granted("llm-service", "production", V2) is None

    async def test_where_nobody_must_vote_there_is_still_a_grant(self, ledger: Ledger) -> None:
        promotion = await a_promotion(ledger)
        await ledger.approvals.record(promotion, votes=(), rule=ApprovalRule(), authors=(), now=MIDNIGHT)
        await the_guard(ledger).ensure_allowed(TARGET, V2)

    @pytest.mark.parametrize(
        "table",
        [
            "votes",
            "grants",
            "gates",
            "journal",
            "changelogs",
            "branch_moves",
            "ballots",
            "voids",
            "digest_holds",
        ],
    )
    @pytest.mark.parametrize(
        "verb", ["UPDATE ledger.{} SET at = now()", "DELETE FROM ledger.{}", "TRUNCATE ledger.{}"]
    )
    async def test_the_application_can_neither_change_nor_remove_a_record(
        self, ledger_dsn: str, table: str, verb: str
    ) -> None:
        async with await psycopg.AsyncConnection.connect(ledger_dsn) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(verb.format(table))

    @pytest.mark.parametrize("column", ["plan", "release", "requested_by", "colour"])
    async def test_the_application_cannot_change_what_a_rollout_is_of(
        self, ledger_dsn: str, column: str
    ) -> None:
        async with await psycopg.AsyncConnection.connect(ledger_dsn) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(f"UPDATE ledger.rollouts SET {column} = NULL")


class TestMigrations:
    async def test_running_them_again_does_nothing(self, owner_dsn: str) -> None:
        assert await migrate(owner_dsn) == []

    async def test_a_changed_migration_is_refused(self, owner_dsn: str) -> None:
        name = next(migrations()).name
        async with await psycopg.AsyncConnection.connect(owner_dsn) as connection:
            await connection.execute("UPDATE ledger.migrations SET sha256 = 'x' WHERE name = %s", (name,))
        with pytest.raises(PermanentError, match=f"{name} was changed"):
            await migrate(owner_dsn)

    async def test_two_at_once_run_one_after_the_other(self, postgres: PostgresServer) -> None:
        name = f"fresh_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        applied = await asyncio.gather(migrate(postgres.dsn(name)), migrate(postgres.dsn(name)))
        assert sorted(applied, key=len) == [[], [m.name for m in migrations()]]

    async def test_a_ledger_without_them_says_what_to_do(self, postgres: PostgresServer) -> None:
        async with Ledger.connect(postgres.dsn("postgres"), SystemClock()) as empty:
            with pytest.raises(PermanentError, match="ops ledger migrate"):
                await empty.promotions.seen("a", "b", "c")


async def test_two_opens_at_the_same_moment_give_one_rollout(ledger_dsn: str) -> None:
    """Both look, both see nothing, both insert: the unique index decides."""
    first, second = a_rollout(), a_rollout(V3, "run-3")
    async with (
        Ledger.connect(ledger_dsn, ManualClock()) as one,
        Ledger.connect(ledger_dsn, ManualClock()) as two,
    ):
        outcomes = await asyncio.gather(
            one.rollouts.insert(first, line(first)),
            two.rollouts.insert(second, line(second)),
            return_exceptions=True,
        )
        assert sorted(type(outcome) for outcome in outcomes if isinstance(outcome, Exception)) == [Held]
        assert await one.rollouts.active("llm-service", "production") is not None


async def test_a_server_that_is_away_is_unavailable_and_comes_back_by_itself(
    postgres: PostgresServer, ledger_dsn: str
) -> None:
    async with Ledger.connect(ledger_dsn, SystemClock()) as opened:
        assert not await opened.promotions.seen("a", "b", "c")
        await asyncio.to_thread(postgres.stop)
        try:
            with pytest.raises(Unavailable):
                await opened.promotions.seen("a", "b", "c")
        finally:
            await asyncio.to_thread(postgres.start)
        for _ in range(20):
            try:
                assert not await opened.promotions.seen("a", "b", "c")
                return
            except Unavailable:
                await asyncio.sleep(0.2)
        pytest.fail("the ledger did not come back")


async def test_a_ledger_that_never_was_there_is_unavailable() -> None:
    async with Ledger.connect("postgresql://nobody@127.0.0.1:1/ledger", SystemClock()) as nowhere:
        with pytest.raises(Unavailable):
            await nowhere.promotions.seen("a", "b", "c")
