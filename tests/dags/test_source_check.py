"""`check_source` scans the tree and what its history brought, and says what it found without the values."""

from __future__ import annotations

import json
import random
import re
import socket
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from own_airflow import DATABASE, OwnAirflow, TestRun, Way
from own_platform import OwnPlatform
from test_promotion_runs import SOLVER

from analyzer.engine.checks import base62_crc32
from local_platform.sources import BRANCH, ServiceRepository

LEAKED = "src/fm_llm_solver/settings_local.py"
AFTER_THE_SCAN = "build|check_image|deploy_preview|verify|roll_out|verify_active"
FILES = 50_000
ALLOWED_BY_COMMENT = ("# nosec", "# noqa", "# gitleaks:allow", "# analyzer: allow tests until=2999-12-31")


def github_token() -> str:
    """A value in GitHub's format with a right checksum, made now: no such thing stands in a file of ours."""
    body = "".join(random.SystemRandom().choices(string.ascii_letters + string.digits, k=30))
    return f"ghp_{body}{base62_crc32(body.encode()).decode()}"


def git(clone: Path, *arguments: str, given: bytes | None = None) -> str:
    done = subprocess.run(["git", *arguments], cwd=clone, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def rewrite(repository: ServiceRepository, commit: str) -> None:
    """The branch ends at `commit` again, here and where it was pushed."""
    git(repository.clone, "reset", "--quiet", "--hard", commit)
    git(repository.clone, "push", "--quiet", "--force", "origin", BRANCH)


@pytest.fixture
def branch(solver: ServiceRepository, first: Way) -> Iterator[ServiceRepository]:
    """The stand-in's branch, without what the test pushed once it is over."""
    before = git(solver.clone, "rev-parse", "HEAD")
    yield solver
    rewrite(solver, before)


@pytest.fixture
def doorbell() -> Iterator[socket.socket]:
    """A port that code of a scanned tree would connect to if anybody ran it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def rang(doorbell: socket.socket) -> bool:
    try:
        doorbell.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def scan_of(airflow: OwnAirflow, run: TestRun) -> dict[str, Any]:
    """What the ledger keeps of the newest scan of the run's commit."""
    gates = {gate["gate"]: gate for gate in airflow.audit(run)["gates"]}
    detail: dict[str, Any] = gates["source"]["detail"]
    return detail | {"gate": gates["source"]["outcome"]}


def everything_said(airflow: OwnAirflow, platform: OwnPlatform, run: TestRun) -> str:
    """The logs of all tasks, XComs, pages, and what the ledger holds of scans and pages."""
    with psycopg.connect(platform.dsn("airflow", DATABASE)) as connection:
        query = "SELECT key, value::text FROM xcom WHERE run_id = %s"
        xcoms = connection.execute(query, (run.run_id,)).fetchall()
    assert xcoms, "the pod's name is one at least"
    with psycopg.connect(platform.dsn("ledger_owner", "ledger")) as connection:
        tables = ("gates", "outbox", "promotions")
        rows = [connection.execute(f"SELECT t::text FROM ledger.{name} AS t").fetchall() for name in tables]
    pages = json.dumps(platform.pages())
    return "\n".join([run.log, str(xcoms), str(rows), pages, json.dumps(airflow.audit(run))])


@pytest.mark.platform
def test_a_secret_of_a_deleted_commit_stops_releases_until_the_branch_is_rewritten(
    airflow: OwnAirflow, platform: OwnPlatform, branch: ServiceRepository, first: Way
) -> None:
    clean, token = git(branch.clone, "rev-parse", "HEAD"), github_token()

    def leak(tree: Path) -> None:
        (tree / LEAKED).write_text(f'GITHUB_TOKEN = "{token}"\n')

    def move_by_seven_lines(tree: Path) -> None:
        (tree / LEAKED).write_text("\n" * 7 + f'GITHUB_TOKEN = "{token}"\n')

    bad = branch.commit(leak)
    branch.commit(move_by_seven_lines)
    deleted = branch.commit()
    run = airflow.run(f"promote_{SOLVER}_development")
    assert run.with_state("failed") == {"check_source", "watcher"}
    assert {"resolve", "page"} <= run.with_state("success")
    assert run.tasks["build"] == "upstream_failed"
    scan = scan_of(airflow, run)
    assert (scan["gate"], scan["commit"]) == ("failed", deleted.id)
    assert [(f["commit"], f["path"], f["line"]) for f in scan["findings"]] == [(bad.id, LEAKED, 1)]
    sentence = (
        rf"{LEAKED}:1 in commit {bad.id[:8]}: GitHub \S.* ghp_…\(40 characters\), rule github-token, "
        r"probability 0\.99: it has the format of .+\."
    )
    (page,) = airflow.pages(run)
    for text in (page, run.log):
        assert re.search(sentence, text), text
        assert "a commit that only deletes it is not enough" in text
    assert "check_source failed" in page
    assert token not in everything_said(airflow, platform, run)

    rewrite(branch, clean)
    branch.commit()
    # What the rest of a promotion does is the business of other tests.
    again = airflow.run(f"promote_{SOLVER}_development", mark_success=AFTER_THE_SCAN)
    assert again.tasks["check_source"] == "success"
    scan = scan_of(airflow, again)
    assert (scan["gate"], scan["findings"]) == ("passed", [])
    promoted = [
        one["promotion"]["commit"]
        for one in airflow.ops("audit", SOLVER, "development")
        if one["promotion"]["outcome"] == "promoted"
    ]
    assert scan["history"]["since"] in promoted


@pytest.mark.platform
def test_all_of_the_history_is_scanned_before_the_first_release_to_an_environment(
    platform: OwnPlatform, first: Way
) -> None:
    with psycopg.connect(platform.dsn("ledger_owner", "ledger")) as connection:
        query = (
            "SELECT subject, detail->'history' FROM ledger.gates"
            " WHERE service = %s AND gate = 'source' ORDER BY number LIMIT %s"
        )
        scans = connection.execute(query, (SOLVER, len(first.runs))).fetchall()
    assert scans == [(first.commit.id, {"since": None})] * len(first.runs)


def hostile_tree(token_lines: str, program: bytes, ring: str) -> Iterator[tuple[str, str, bytes]]:
    """Mode, path and content: what asks scanners to be silent, to run something, to go astray or to drown."""
    yield "100644", LEAKED, token_lines.encode()
    yield "100644", "program", program
    yield "100644", ".gitleaks.toml", b"[allowlist]\npaths = ['''.*''']\n"
    yield "100644", ".gitleaksignore", f"{LEAKED}:github-token:1\n".encode()
    yield "100644", ".gitattributes", b"* filter=evil diff=evil export-ignore\n"
    yield "100644", ".gitconfig", f"[core]\n\tfsmonitor = python3 -c '{ring}'\n".encode()
    yield "100644", ".flake8", b"[flake8:local-plugins]\nextension =\n  X1 = evil:Plugin\npaths = .\n"
    yield "100644", "mypy.ini", b"[mypy]\nplugins = evil.py\n"
    yield "100644", ".pylintrc", f"[MAIN]\ninit-hook='{ring}'\n".encode()
    for module in ("evil", "sitecustomize", "conftest", "setup", "analyzer", "json"):
        yield "100755", f"{module}.py", ring.encode()
    yield "120000", "loop", b"."
    yield "120000", "outside", b"../../../../../etc/passwd"
    yield "120000", "endless", b"/dev/zero"
    for number in range(FILES):
        yield "100644", f"many/{number // 500}/{number}.txt", f"{number}\n".encode()


def push_tree(repository: ServiceRepository, entries: Iterator[tuple[str, str, bytes]]) -> None:
    """A signed commit on top of the branch with these entries besides; the work tree stays as it is."""
    draft = "refs/heads/draft"
    head = f"commit {draft}\ncommitter developer <developer@example.com> now\ndata 4\nmore\n"
    stream = [head.encode(), f"from refs/heads/{BRANCH}^0\n".encode()]
    for mode, path, content in entries:
        stream.append(f"M {mode} inline {path}\ndata {len(content)}\n".encode() + content + b"\n")
    git(repository.clone, "fast-import", "--quiet", "--date-format=now", given=b"".join(stream))
    repository.commit_tree(f"{draft}^{{tree}}", "more")


@pytest.mark.platform
def test_a_hostile_tree_silences_nothing_runs_nothing_and_is_scanned_to_its_end(
    airflow: OwnAirflow, platform: OwnPlatform, branch: ServiceRepository, doorbell: socket.socket
) -> None:
    ring = f'import socket; socket.create_connection(("127.0.0.1", {doorbell.getsockname()[1]}))'
    subprocess.run([sys.executable, "-c", ring], check=True)
    assert rang(doorbell)
    tokens = [github_token() for _ in range(7)]
    lines = "".join(
        f'TOKEN_{number} = "{token}"  {ALLOWED_BY_COMMENT[number % len(ALLOWED_BY_COMMENT)]}\n'
        for number, token in enumerate(tokens[:6])
    )
    noise = random.Random(1).randbytes(1_500_000)
    program = noise + b"\0" + tokens[6].encode() + b"\0" + noise
    push_tree(branch, hostile_tree(lines, program, ring))

    # The suites run what the tree holds, in pods of their own: here it is about the scan.
    run = airflow.run(f"promote_{SOLVER}_development", mark_success=r"gates\..*")
    assert run.with_state("failed") == {"check_source", "watcher"}
    scan = scan_of(airflow, run)
    places = sorted((f["path"], f["line"]) for f in scan["findings"] if f["path"] != "program")
    assert places == [(LEAKED, number) for number in range(1, 7)]
    assert [f["path"] for f in scan["findings"]].count("program") == 1
    assert (scan["suppressed"], scan["not_scanned"]) == ([], [])
    assert scan["counts"]["files"] > FILES
    assert scan["counts"]["skipped"]["symbolic link"] == len(("loop", "outside", "endless"))
    assert not rang(doorbell)
    (page,) = airflow.pages(run)
    assert "7 secret(s) in " in page
    assert "… and 2 more" in page
    said = everything_said(airflow, platform, run)
    assert [token for token in tokens if token in said] == []


def finding(**changed: Any) -> dict[str, Any]:
    return {
        "path": "a.py", "line": 3, "rule": "generic-password", "secret_type": "Password", "commit": None,
        "redacted": "…(12 characters)", "probability": 0.934,
        "reasons": ["its name says that it is a password", ""],
    } | changed  # fmt: skip


def result(findings: int = 0, gaps: int = 0, **changed: Any) -> dict[str, Any]:
    """As the analyzer writes it; it lists a hundred of each at most, and counts all."""
    return {
        "commit": "a" * 40,
        "counts": {"findings": findings, "not_scanned": gaps},
        "findings": [finding(**changed)] * min(findings, 100),
        "not_scanned": ["b.bin: larger than 10 bytes"] * min(gaps, 100),
    }


@pytest.mark.usefixtures("airflow_settings")
def test_a_finding_is_one_sentence() -> None:
    from platform_ops.orchestration.source_check import refusal

    assert refusal(result(findings=1)).splitlines()[1] == (
        "a.py:3 in the tree of aaaaaaaa: Password …(12 characters), rule generic-password, "
        "probability 0.93: its name says that it is a password."
    )


@pytest.mark.usefixtures("airflow_settings")
def test_the_rest_is_counted_also_beyond_what_the_result_lists() -> None:
    from platform_ops.orchestration.source_check import refusal

    assert "… and 495 more" in refusal(result(findings=500)).splitlines()
    assert "more" not in refusal(result(findings=5))
    assert "… and 195 more" in refusal(result(gaps=200)).splitlines()
    both = refusal(result(findings=1, gaps=1))
    assert "1 secret(s)" in both
    assert "b.bin: larger than 10 bytes" in both


@pytest.mark.usefixtures("airflow_settings")
def test_a_path_neither_breaks_the_line_nor_drowns_it() -> None:
    from platform_ops.orchestration.source_check import refusal

    assert r"x\n\x1b[2J.py:3 in" in refusal(result(findings=1, path="x\n\x1b[2J.py"))
    line = refusal(result(findings=1, path="d/" * 2000 + "end.py")).splitlines()[1]
    assert line.startswith("…")
    assert "/end.py:3 in" in line
    assert len(line) < 300
