"""Gate results, incidents and what a promotion fixes, in a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fakes import MIDNIGHT

from platform_ops.adapters.ledger import Ledger
from platform_ops.core.errors import GateClosed, NotFound

COMMIT, DIGEST = "c" * 40, "sha256:" + "d" * 64


async def record(ledger: Ledger, gate: str, outcome: str, subject: str = COMMIT, **more: Any) -> None:
    detail = more.pop("detail", {})
    await ledger.gates.record(
        service="web", subject=subject, gate=gate, outcome=outcome, detail=detail, **more
    )


async def test_the_newest_result_of_each_gate_counts_for_commit_and_digest(ledger: Ledger) -> None:
    await record(ledger, "lint", "failed")
    await record(ledger, "lint", "passed", detail={"n": 2})
    await record(ledger, "unit", "not_run")
    await record(ledger, "image", "passed", DIGEST)
    await record(ledger, "types", "passed", "e" * 40)
    found = await ledger.gates.of("web", [COMMIT, DIGEST])
    assert [(one.gate, one.outcome) for one in found] == [
        ("image", "passed"),
        ("lint", "passed"),
        ("unit", "not_run"),
    ]
    assert found[1].detail == {"n": 2}
    assert await ledger.gates.of("other", [COMMIT, DIGEST]) == ()
    assert await ledger.gates.of("web", []) == ()


async def test_a_pass_is_found_by_its_inputs_unless_a_newer_one_failed(ledger: Ledger) -> None:
    assert await ledger.gates.passed_with("web", "lint", "sha256:1") is None
    await record(ledger, "lint", "passed", input_digest="sha256:1")
    kept = await ledger.gates.passed_with("web", "lint", "sha256:1")
    assert kept is not None
    assert (kept.subject, kept.input_digest) == (COMMIT, "sha256:1")
    for service, gate, inputs in (
        ("web", "unit", "sha256:1"),
        ("web", "lint", "sha256:2"),
        ("other", "lint", "sha256:1"),
    ):
        assert await ledger.gates.passed_with(service, gate, inputs) is None
    await record(ledger, "lint", "failed", "e" * 40, input_digest="sha256:1")
    assert await ledger.gates.passed_with("web", "lint", "sha256:1") is None


async def test_an_incident_is_opened_and_closed_once(ledger: Ledger) -> None:
    first = await ledger.incidents.open("web", "production", why="errors", by="oncall")
    second = await ledger.incidents.open("web", None, why="slow", by="oncall")
    assert (first.id, first.open, first.opened_at) != (second.id, False, None)
    assert (first.environment, second.environment, first.opened_at) == ("production", None, MIDNIGHT)
    assert await ledger.incidents.of("web") == (second, first)
    closed = await ledger.incidents.close(first.id, why="rolled back", by="devops")
    assert (closed.open, closed.closed_by, closed.closed_why) == (False, "devops", "rolled back")
    assert await ledger.incidents.of("web") == (second,)
    assert await ledger.incidents.of(closed=True) == (second, closed)
    assert await ledger.incidents.of("other") == ()
    with pytest.raises(GateClosed, match=r"was closed by devops \(rolled back\)"):
        await ledger.incidents.close(first.id, why="again", by="somebody")
    with pytest.raises(NotFound, match="there is no incident INC-999"):
        await ledger.incidents.close("INC-999", why="x", by="y")


@pytest.mark.parametrize(
    "verb", ["UPDATE ledger.{} SET why = ''", "DELETE FROM ledger.{}", "TRUNCATE ledger.{}"]
)
async def test_the_application_cannot_make_an_incident_never_have_been(ledger_dsn: str, verb: str) -> None:
    async with await psycopg.AsyncConnection.connect(ledger_dsn) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(verb.format("incident_events"))


async def test_a_promotion_keeps_what_it_fixes(ledger: Ledger) -> None:
    opened = await ledger.promotions.open(
        dag_id="promote_web_staging",
        run_id="run",
        service="web",
        environment="staging",
        commit=COMMIT,
        version="1.0.0",
        digest=DIGEST,
        requested_by="developer",
        url="http://airflow.example.com/run",
        fixes=("INC-1", "INC-2"),
    )
    assert opened.fixes == ("INC-1", "INC-2")
    assert await ledger.promotions.get(opened.id) == opened
