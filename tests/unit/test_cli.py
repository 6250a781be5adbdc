"""`ops` against a real ledger and a catalog: exit codes, what is listed, JSON, no traceback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner, Result

from platform_ops import wiring
from platform_ops.adapters.clock import SystemClock
from platform_ops.adapters.ledger import Ledger
from platform_ops.catalog.load import load
from platform_ops.cli.main import app
from platform_ops.cli.output import ExitCode
from platform_ops.controller.planning import rollout_plan
from platform_ops.core.approvals import ApprovalRule, Vote
from platform_ops.core.changelog import changelog
from platform_ops.core.digest_holds import hold_after
from platform_ops.core.records import Entry, Promotion
from platform_ops.core.release import Colour, Release
from platform_ops.core.source import Commit
from platform_ops.core.state import Phase, Rollout

ROOT = Path(__file__).parents[2]
V1 = Release("llm-service", "1.0.0", "1" * 40, "sha256:" + "1" * 64)
V2 = Release("llm-service", "1.1.0", "2" * 40, "sha256:" + "2" * 64)
Ops = Callable[..., Result]


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ops:
    """The command with a catalog, and with nothing else that it could reach."""
    for name in list(wiring.Settings.__dataclass_fields__):
        monkeypatch.delenv(f"PLATFORM_OPS_{name.upper()}", raising=False)
    monkeypatch.setenv("PLATFORM_OPS_CATALOG", str(ROOT / "astro" / "local" / "services.yaml"))
    monkeypatch.setenv("PLATFORM_OPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PLATFORM_OPS_AIRFLOW_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PLATFORM_OPS_AIRFLOW_USER", "developer")
    monkeypatch.setenv("PLATFORM_OPS_AIRFLOW_PASSWORD", "secret")
    runner = CliRunner()

    def run(*words: str) -> Result:
        result = runner.invoke(app, list(words), env={"COLUMNS": "200"})
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def ledgered(ops: Ops, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Ops:
    monkeypatch.setenv("PLATFORM_OPS_LEDGER_DSN", ledger_dsn)
    return ops


def fill(dsn: str, act: Callable[[Ledger], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Ledger.connect(dsn, SystemClock()) as ledger:
            return await act(ledger)

    return asyncio.run(run())


async def promoted(ledger: Ledger, environment: str, release: Release, run: str) -> Promotion:
    promotion = await ledger.promotions.open(
        dag_id=f"promote_llm-service_{environment}",
        run_id=run,
        service="llm-service",
        environment=environment,
        commit=release.commit,
        version=release.version,
        digest=release.digest,
        requested_by="developer",
        url=f"http://airflow/{run}",
    )
    await ledger.releases.add(release, built_by_run=run)
    await ledger.promotions.finish(promotion.id, "promoted")
    return promotion


def test_an_unknown_service_lists_the_valid_ones(ledgered: Ops) -> None:
    result = ledgered("promote", "llm-servise", "staging")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "did you mean 'llm-service'? Valid: llm-service, fm-llm-solver" in result.stderr


def test_an_unknown_environment_lists_the_valid_ones(ledgered: Ops) -> None:
    result = ledgered("watch", "llm-service", "prod", "--once")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "Valid: development, staging, production" in result.stderr


def test_a_release_that_staging_has_not_verified_is_refused_with_what_production_takes(
    ledgered: Ops, ledger_dsn: str
) -> None:
    fill(ledger_dsn, lambda ledger: promoted(ledger, "staging", V1, "run-1"))
    fill(ledger_dsn, lambda ledger: promoted(ledger, "development", V2, "run-2"))
    result = ledgered("promote", "llm-service", "production", "--release", V2.name)
    assert result.exit_code == ExitCode.GATE_CLOSED
    assert f"{V2.name} is not verified in staging; production would take {V1.name}" in result.stderr


def test_a_release_that_never_was_lists_the_valid_ones(ledgered: Ops, ledger_dsn: str) -> None:
    fill(ledger_dsn, lambda ledger: promoted(ledger, "staging", V1, "run-1"))
    result = ledgered("promote", "llm-service", "production", "--release", "9.9.9-deadbeef")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert V1.name in result.stderr


def test_facts_of_a_release_that_was_never_built_list_those_that_were(ledgered: Ops, ledger_dsn: str) -> None:
    fill(ledger_dsn, lambda ledger: promoted(ledger, "staging", V1, "run-1"))
    result = ledgered("release", "llm-service", "9.9.9-deadbeef")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert f"newest: {V1.name}" in result.stderr


def test_nothing_verified_yet_says_what_to_do_first(ledgered: Ops) -> None:
    result = ledgered("promote", "llm-service", "production")
    assert result.exit_code == ExitCode.GATE_CLOSED
    assert "staging has verified no release of llm-service yet" in result.stderr


def test_who_may_not_ask_is_told_who_may(ledgered: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_OPS_AIRFLOW_USER", "senior1")
    result = ledgered("promote", "llm-service", "production")
    assert result.exit_code == ExitCode.GATE_CLOSED
    assert "that is for developer, oncall" in result.stderr


async def running(ledger: Ledger, promotion: Promotion) -> None:
    catalog = load(ROOT / "astro" / "local" / "services.yaml")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    rollout = Rollout(
        id="00000000-0000-0000-0000-00000000000a",
        dag_id=promotion.dag_id,
        run_id=promotion.run_id,
        promotion_id=promotion.id,
        target=catalog.target(promotion.service, promotion.environment),
        release=promotion.release,
        colour=Colour.GREEN,
        previous_digest=V2.digest,
        plan=rollout_plan(catalog, promotion.service, promotion.environment),
        goal=Phase.PROMOTED,
        requested_by="developer",
        log_url="",
        created_at=now,
    )
    entry = Entry(
        promotion.service, promotion.environment, now, "developer", "note", "Open", rollout_id=rollout.id
    )
    await ledger.rollouts.insert(rollout, entry)
    await ledger.rollouts.claim(rollout.id, "triggerer@host:7", now, now + timedelta(seconds=10))


def test_a_promotion_that_is_already_running_names_its_holder(ledgered: Ops, ledger_dsn: str) -> None:
    async def under_way(ledger: Ledger) -> None:
        await promoted(ledger, "staging", V1, "run-1")
        await running(ledger, await promoted(ledger, "production", V1, "run-2"))

    fill(ledger_dsn, under_way)
    result = ledgered("promote", "llm-service", "production")
    assert result.exit_code == ExitCode.HELD
    assert "asked for by developer, held by triggerer@host:7" in result.stderr


def test_airflow_away_is_worth_another_try(ledgered: Ops, ledger_dsn: str) -> None:
    fill(ledger_dsn, lambda ledger: promoted(ledger, "staging", V1, "run-1"))
    result = ledgered("promote", "llm-service", "production")
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "does not answer" in result.stderr


def test_a_missing_setting_is_named(ops: Ops) -> None:
    result = ops("status")
    assert result.exit_code == ExitCode.FAILED
    assert "PLATFORM_OPS_LEDGER_DSN is not set" in result.stderr


def test_audit_tells_from_the_ledger_alone_who_approved_what_and_when(
    ledgered: Ops, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)

    async def approved(ledger: Ledger) -> None:
        promotion = await promoted(ledger, "staging", V1, "run-1")
        rule = ApprovalRule({"qa": 1}, {"qa": frozenset({"qa"})})
        vote = Vote("qa", "qa", "Approve", at)
        await ledger.approvals.record(promotion, votes=[vote], rule=rule, authors=[], now=at)

    fill(ledger_dsn, approved)
    monkeypatch.setenv("PLATFORM_OPS_CATALOG", "/nowhere/services.yaml")
    shown = ledgered("audit", "llm-service", "staging")
    assert shown.exit_code == ExitCode.OK
    for text in (
        V1.name,
        V1.digest,
        V1.commit,
        "asked for by  developer",
        "qa as qa: Approve",
        "2026-01-01 12:00:00Z",
    ):
        assert text in shown.stdout, shown.stdout
    (record,) = json.loads(ledgered("audit", "llm-service", "--json").stdout)
    assert record["grant"]["voters"] == ["qa"]
    assert record["promotion"]["digest"] == V1.digest
    (vote,) = record["votes"]
    assert (vote["role"], vote["user"], vote["option"], vote["at"]) == ("qa", "qa", "Approve", at.isoformat())


def test_audit_tells_on_what_evidence_what_was_voided_and_why(ledgered: Ops, ledger_dsn: str) -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    void = "votes of qa are void: gate source was passed, is failed now: ask again"

    async def voided(ledger: Ledger) -> None:
        promotion = await promoted(ledger, "staging", V1, "run-1")
        await ledger.gates.record(
            service="llm-service", subject=V1.commit, gate="source", outcome="passed", detail={}
        )
        evidence = await ledger.evidence(promotion)
        rule = ApprovalRule({"qa": 1}, {"qa": frozenset({"qa"})})
        vote = Vote("qa", "qa", "Approve", at, evidence)
        await ledger.approvals.record(
            promotion, votes=[vote], rule=rule, authors=[], now=at, evidence=evidence
        )
        await ledger.approvals.void(promotion.id, V1.digest, [void], at)

    fill(ledger_dsn, voided)
    shown = ledgered("audit", "llm-service", "staging").stdout
    assert shown.count("on source passed (") == 2, shown
    assert void in shown
    (record,) = json.loads(ledgered("audit", "llm-service", "--json").stdout)
    assert record["voids"] == [{"digest": V1.digest, "why": void, "at": at.isoformat()}]


async def hotfixed(ledger: Ledger) -> None:
    promotion = await promoted(ledger, "production", V1, "run-1")
    await ledger.hotfixes.open(promotion, why="login is broken", incident="INC-7", branches=["staging"])


def test_a_hotfix_is_listed_until_it_is_merged_back(
    ledgered: Ops, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    monkeypatch.setenv("PLATFORM_OPS_KUBECONFIG", str(tmp_path / "kubeconfig"))
    fill(ledger_dsn, hotfixed)
    for command in (("audit", "llm-service"), ("status", "llm-service")):
        shown = ledgered(*command)
        assert "open: not in staging" in shown.stdout, shown.output
        assert "login is broken" in shown.stdout
    found = json.loads(ledgered("status", "llm-service", "production", "--json").stdout)
    assert [one["missing"] for one in found[0]["unmerged"]] == [["staging"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            ("staging", "--hotfix", "hotfix/a", "--why", "x"), "a hotfix goes to production", id="staging"
        ),
        pytest.param(("production", "--hotfix", "hotfix/a"), "say why with --why", id="no-reason"),
    ],
)
def test_a_hotfix_goes_to_production_with_a_reason(ledgered: Ops, words: tuple[str, ...], said: str) -> None:
    result = ledgered("promote", "llm-service", *words)
    assert (result.exit_code, said in result.stderr) == (ExitCode.GATE_CLOSED, True), result.stderr


def test_a_hotfix_is_asked_for_although_a_promotion_is_on_its_way(ledgered: Ops, ledger_dsn: str) -> None:
    """It gets as far as Airflow, which is away here: nobody is in its way."""

    async def under_way(ledger: Ledger) -> None:
        await running(ledger, await promoted(ledger, "production", V1, "run-2"))

    fill(ledger_dsn, under_way)
    result = ledgered("promote", "llm-service", "production", "--hotfix", "hotfix/login", "--why", "no login")
    assert result.exit_code == ExitCode.UNAVAILABLE, result.stderr


def test_a_hotfix_and_a_release_are_two_things(ledgered: Ops) -> None:
    result = ledgered("promote", "llm-service", "production", "--hotfix", "a", "--release", "b", "--why", "c")
    assert result.exit_code == ExitCode.USAGE


def test_the_changelog_of_a_release_is_told_with_its_version(ledgered: Ops, ledger_dsn: str) -> None:
    async def released(ledger: Ledger) -> None:
        for release, run in ((V1, "run-1"), (V2, "run-2")):
            promotion = await promoted(ledger, "production", release, run)
            at = datetime(2026, 1, 1, tzinfo=UTC)
            person = ("Ada", "ada@example.com", "ada@example.com")
            commit = Commit(release.commit, ("0" * 40,), *person, at, f"feat: number {release.version}")
            log = changelog([commit], None if release is V1 else V1.commit, release.commit)
            await ledger.source.write_changelog(promotion.id, log)
            await ledger.source.write_move(promotion.id, "main", "3" * 40, f"v{release.version}")

    fill(ledger_dsn, released)
    shown = ledgered("changelog", "llm-service", "production").stdout
    assert f"{V2.name} in production, v1.1.0: promoted, since 11111111" in shown
    assert "Features:\n* number 1.1.0 (Ada, 22222222)" in shown
    older = ledgered("changelog", "llm-service", "production", "--release", V1.name)
    assert "* number 1.0.0 (Ada, 11111111)" in older.stdout
    assert "the first release" in older.stdout
    audited = ledgered("audit", "llm-service", "production").stdout
    assert "main at 33333333  v1.1.0" in audited
    assert "changes       1 features" in audited
    unknown = ledgered("changelog", "llm-service", "production", "--release", "9.9.9-deadbeef")
    assert unknown.exit_code == ExitCode.NOT_FOUND
    assert V1.name in unknown.stderr


def test_audit_of_nothing_is_not_found(ledgered: Ops) -> None:
    assert ledgered("audit", "llm-service").exit_code == ExitCode.NOT_FOUND


@pytest.mark.parametrize("command", ["abort", "rollback"])
def test_there_must_be_something_to_stop(
    ledgered: Ops, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    monkeypatch.setenv("PLATFORM_OPS_KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("PLATFORM_OPS_PROMETHEUS_URL", "http://127.0.0.1:1")
    result = ledgered(command, "llm-service", "production")
    expected = {"abort": ExitCode.UNAVAILABLE, "rollback": ExitCode.GATE_CLOSED}
    assert result.exit_code == expected[command], result.stderr


@pytest.fixture
def equipped(ledgered: Ops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ops:
    """With the settings that a controller needs, and nothing behind them."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    monkeypatch.setenv("PLATFORM_OPS_KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("PLATFORM_OPS_PROMETHEUS_URL", "http://127.0.0.1:1")
    return ledgered


def test_a_rollout_is_held_and_goes_on(equipped: Ops, ledger_dsn: str) -> None:
    async def under_way(ledger: Ledger) -> None:
        await running(ledger, await promoted(ledger, "production", V1, "run-2"))

    fill(ledger_dsn, under_way)
    where = ("llm-service", "production")
    assert equipped("resume", *where, "--why", "no reason").exit_code == ExitCode.GATE_CLOSED
    held = equipped("hold", *where, "--why", "an odd graph")
    assert held.exit_code == ExitCode.OK, held.stderr
    assert "without a decision it rolls back in 5 min" in held.stdout
    again = equipped("hold", *where, "--why", "me too")
    assert (again.exit_code, "an odd graph" in again.stderr) == (ExitCode.GATE_CLOSED, True)
    assert equipped("resume", *where, "--why", "it was the graph").exit_code == ExitCode.OK
    row = fill(ledger_dsn, lambda ledger: ledger.rollouts.active(*where))
    assert row.hold is None
    entries = fill(ledger_dsn, lambda ledger: ledger.journal.of_rollout(row.id))
    assert [entry.what for entry in entries] == ["Open", "Hold", "Resume"]


def test_there_must_be_something_to_hold(equipped: Ops) -> None:
    result = equipped("hold", "llm-service", "production", "--why", "x")
    assert (result.exit_code, "ops status llm-service" in result.stderr) == (ExitCode.NOT_FOUND, True)


@pytest.fixture
def alone(equipped: Ops, owner_dsn: str, ledger_database: str, tmp_path: Path, monkeypatch: Any) -> Ops:
    """With a ledger that can only be read once `ops` asks it, and every other system away."""
    catalog = (ROOT / "astro" / "local" / "services.yaml").read_text()
    (tmp_path / "services.yaml").write_text(
        catalog.replace("https://git.example.com/", f"file://{tmp_path}/no-repositories/")
    )
    monkeypatch.setenv("PLATFORM_OPS_CATALOG", str(tmp_path / "services.yaml"))
    monkeypatch.setenv("PLATFORM_OPS_REGISTRY", "127.0.0.1:1")
    monkeypatch.setenv("PLATFORM_OPS_REGISTRY_PLAIN_HTTP", "1")

    def run(*words: str) -> Result:
        read_only = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
        writing = "-c default_transaction_read_only=off"
        with psycopg.connect(owner_dsn, autocommit=True, options=writing) as connection:
            connection.execute(read_only.format(sql.Identifier(ledger_database)))
        return equipped(*words)

    return run


def test_a_plan_tells_what_the_ledger_and_the_catalog_know_when_everything_else_is_away(
    alone: Ops, ledger_dsn: str
) -> None:
    fill(ledger_dsn, lambda ledger: promoted(ledger, "staging", V1, "run-1"))
    fill(ledger_dsn, lambda ledger: promoted(ledger, "production", V2, "run-2"))
    shown = alone("plan", "llm-service", "production")
    assert shown.exit_code == ExitCode.UNAVAILABLE, shown.stderr
    for words in (
        f"llm-service {V1.name} to production: the newest one that staging has verified",
        f"live now  {V2.name}",
        "it has no result yet: the promotion runs it",
        "not run, advisory",
        "No load test before a release",
        "needs       2 of senior_developer, 1 of devops",
        "may vote    senior_developer: senior1, senior2",
        "may not     developer, who asked for the release",
        "At least 15 min 15 s until it is promoted",
        "more than 1 % of the requests failed",
    ):
        assert words in shown.stdout, shown.stdout
    for system in ("how staging is", "registry", "branch", "what serves llm-service/production"):
        assert f"Not known: {system}: " in shown.stderr
    told = json.loads(alone("plan", "llm-service", "production", "--json").stdout)
    assert (told["release"]["digest"], told["timeline"]["least"]) == (V1.digest, 915.0)
    assert [rule["outcome"] for rule in told["admission"] if rule["rule"] == "incidents"] == ["passed"]
    assert told["manifests"]["away"] is True
    assert {trigger["outcome"] for trigger in told["triggers"]} == {"not known"}
    assert told["refusals"] == []
    assert alone("plan", "llm-service", "production", "--release", V2.name).exit_code == ExitCode.GATE_CLOSED


@pytest.fixture
def airflow_that_knows(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An Airflow that gives a token to the users of the list."""
    users: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = asked["username"] in users
            body = json.dumps({"access_token": "t"} if known else {"detail": "Invalid credentials"}).encode()
            self.send_response(201 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PLATFORM_OPS_AIRFLOW_URL", f"http://127.0.0.1:{server.server_port}")
    yield users
    server.shutdown()
    server.server_close()


async def went_back(ledger: Ledger) -> None:
    await promoted(ledger, "staging", V1, "run-1")
    await running(ledger, await promoted(ledger, "production", V1, "run-2"))
    (row,) = await ledger.rollouts.of("llm-service", "production")
    ended = replace(row, phase=Phase.ROLLED_BACK, moved_at=row.created_at, reason="9 of 100 failed")
    await ledger.rollouts.save(ended, None, hold_after(ended, "triggerer", row.created_at))


def test_what_went_back_is_refused_until_a_named_person_releases_it(
    ledgered: Ops, ledger_dsn: str, airflow_that_knows: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger_dsn, went_back)
    refused = ledgered("promote", "llm-service", "production")
    assert refused.exit_code == ExitCode.GATE_CLOSED
    assert "9 of 100 failed" in refused.stderr
    release = ("release-digest", "llm-service", V1.name, "--why", "the database was it")
    assert ledgered(*release).exit_code != ExitCode.OK, "the password is wrong"
    monkeypatch.setenv("PLATFORM_OPS_AIRFLOW_USER", "platform-ops")
    airflow_that_knows += ["devops", "platform-ops"]
    assert "nobody of the catalog's people" in ledgered(*release).stderr
    assert len(fill(ledger_dsn, lambda ledger: ledger.digest_holds.standing("llm-service"))) == 1
    monkeypatch.setenv("PLATFORM_OPS_AIRFLOW_USER", "devops")
    released = ledgered(*release)
    assert released.exit_code == ExitCode.OK, released.stderr
    assert "may be promoted again in production" in released.stdout
    told = ledgered("audit", "llm-service", "production").stdout
    assert "in production by triggerer: 9 of 100 failed" in told
    assert "in production by devops: the database was it" in told
    assert ledgered(*release).exit_code == ExitCode.GATE_CLOSED, "there is nothing left to release"


def test_catalog_check_lists_every_problem(ops: Ops, tmp_path: Path) -> None:
    broken = tmp_path / "services.yaml"
    broken.write_text("roles: {qa: Has it.}\npeople: {}\nservices: {web: 3}\n")
    result = ops("catalog", "check", str(broken))
    assert result.exit_code == ExitCode.CATALOG
    assert f"{broken}:1: roles.qa: nobody has the role qa" in result.stderr
    assert f"{broken}:3: services.web: must be a mapping" in result.stderr
    told = ops("catalog", "check", str(broken), "--json")
    assert told.exit_code == ExitCode.CATALOG
    assert len(json.loads(told.stdout)["problems"]) == 2


def test_catalog_check_of_a_good_one_names_its_services(ops: Ops) -> None:
    result = ops("catalog", "check", "--json")
    assert (result.exit_code, json.loads(result.stdout)["services"]) == (0, ["llm-service", "fm-llm-solver"])


def test_the_ledgers_schema_is_brought_up_to_date_once(
    ops: Ops, owner_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_OPS_LEDGER_OWNER_DSN", owner_dsn)
    result = ops("ledger", "migrate")
    assert (result.exit_code, result.stdout.strip()) == (0, "the schema is up to date")


def test_settings_never_show_a_value() -> None:
    chosen = wiring.Settings.of({"PLATFORM_OPS_SLACK_TOKEN": "xoxb-very-secret"})
    assert "xoxb" not in repr(chosen)
    assert "slack_token" in repr(chosen)


def test_the_http_client_is_closed_with_the_desk(ledger_dsn: str, ops: Ops) -> None:
    async def run() -> httpx.AsyncClient:
        async with wiring.connect(wiring.Settings(ledger_dsn=ledger_dsn)) as desk:
            return desk._http

    assert asyncio.run(run()).is_closed


def test_an_incident_is_opened_listed_and_closed(ledgered: Ops) -> None:
    opened = ledgered("incident", "open", "llm-service", "production", "--why", "users see errors")
    assert opened.exit_code == ExitCode.OK
    assert "no release of llm-service into production while it is open" in opened.stdout
    (incident,) = json.loads(ledgered("incident", "list", "--json").stdout)
    assert (incident["why"], incident["environment"], incident["closed_at"]) == (
        "users see errors",
        "production",
        None,
    )
    assert ledgered("incident", "close", incident["id"], "--why", "rolled back").exit_code == ExitCode.OK
    assert "no incident is open" in ledgered("incident", "list", "llm-service").stdout
    assert "rolled back" in ledgered("incident", "list", "--all").stdout
    again = ledgered("incident", "close", incident["id"], "--why", "again")
    assert (again.exit_code, "was closed by" in again.stderr) == (ExitCode.GATE_CLOSED, True)
    assert ledgered("incident", "close", "INC-99", "--why", "x").exit_code == ExitCode.NOT_FOUND
    assert ledgered("incident", "open", "llm-servise", "--why", "x").exit_code == ExitCode.NOT_FOUND
