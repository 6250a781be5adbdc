"""The demonstration exits with 0 by these proofs alone: each must be able to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local_platform.demo import proof
from local_platform.demo.load import Record, summarise
from local_platform.demo.report import Event, Proof, Story, chart, write_report
from local_platform.demo.watch import Weights

BUILT, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
RUN = "manual__2026-01-01T00:00:00+00:00"
STEPS = (5, 25, 50, 100)


def answers(*colours: str, failed: bool = False) -> list[Record]:
    status = 500 if failed else 200
    return [
        Record(at=float(at), kind="kept-alive", status=status, latency_ms=1.0, colour=colour)
        for at, colour in enumerate(colours)
    ]


def route(*green: int) -> list[Weights]:
    return [Weights(float(at), 100 - share, share) for at, share in enumerate(green)]


def audit(
    *votes: tuple[str, str], environment: str = "production", grant: bool = True
) -> list[dict[str, Any]]:
    cast = [{"role": role, "user": user, "option": "Approve"} for role, user in votes]
    promotion = {"environment": environment, "digest": BUILT, "run_id": RUN}
    return [{"promotion": promotion, "grant": grant, "votes": cast, "journal": []}]


def journal(*lines: tuple[str, str, str]) -> list[dict[str, Any]]:
    written = [
        {"what": what, "kind": kind, "why": what, "detail": {"phase": phase}} for what, kind, phase in lines
    ]
    return [{**audit()[0], "journal": written}]


WENT_BACK = (
    ("BeginRollback", "done", "RollingBack"),
    ("VerifyOld", "done", "RollingBack"),
    ("Enter", "done", "RolledBack"),
)
QUORUM = (("senior_developer", "senior1"), ("senior_developer", "senior2"), ("devops", "devops"))


@pytest.mark.parametrize(
    ("seen", "holds"),
    [
        pytest.param(proof.same_artefact(BUILT, BUILT), True, id="one artefact"),
        pytest.param(proof.same_artefact(BUILT, OTHER), False, id="another artefact"),
        pytest.param(proof.same_artefact(None, None), False, id="no artefact"),
        pytest.param(proof.approvals_recorded(audit(*QUORUM), BUILT, "production"), True, id="quorum"),
        pytest.param(proof.approvals_recorded(audit(*QUORUM), OTHER, "production"), False, id="other digest"),
        pytest.param(
            proof.approvals_recorded(audit(*QUORUM[1:]), BUILT, "production"), False, id="one vote too few"
        ),
        pytest.param(
            proof.approvals_recorded(audit(*QUORUM[:1] * 2, *QUORUM[2:]), BUILT, "production"),
            False,
            id="one person twice",
        ),
        pytest.param(
            proof.approvals_recorded(audit(*QUORUM, grant=False), BUILT, "production"), False, id="no grant"
        ),
        pytest.param(proof.nothing_failed(answers("blue", "green")), True, id="all answered"),
        pytest.param(proof.nothing_failed(answers("blue", failed=True)), False, id="a request failed"),
        pytest.param(proof.nothing_failed([]), False, id="no request"),
        pytest.param(proof.gradual(route(0, 5, 25, 50, 100), STEPS, 0), True, id="step by step"),
        pytest.param(proof.gradual(route(0, 5, 50, 100), STEPS, 0), False, id="a step left out"),
        pytest.param(proof.gradual(route(0, 5, 25, 5, 50, 100), STEPS, 0), False, id="a step back"),
        pytest.param(proof.gradual(route(0, 5, 25, 50, 100), STEPS, 5), False, id="all before the release"),
        pytest.param(proof.traffic_is_on("blue", route(5, 0), answers("blue")), True, id="back"),
        pytest.param(proof.traffic_is_on("blue", route(5), answers("blue")), False, id="route still split"),
        pytest.param(
            proof.traffic_is_on("blue", route(0), answers("blue", "green")), False, id="other answers"
        ),
        pytest.param(proof.traffic_is_on("blue", route(0), []), False, id="no answers"),
        pytest.param(proof.paged_once([{"text": f"log of {RUN}"}], RUN), True, id="one page"),
        pytest.param(proof.paged_once([{"text": RUN}] * 2, RUN), False, id="two pages"),
        pytest.param(proof.paged_once([{"text": "another run"}], RUN), False, id="no page of this run"),
    ],
)
def test_a_proof_holds_only_for_what_it_claims(seen: Proof, holds: bool) -> None:
    assert seen.holds is holds


@pytest.mark.parametrize(
    ("lines", "state", "holds"),
    [
        pytest.param(WENT_BACK, "failed", (True, True, True), id="went back, verified, red"),
        pytest.param(WENT_BACK, "success", (True, True, False), id="a green run"),
        pytest.param((WENT_BACK[0], WENT_BACK[2]), "failed", (True, False, True), id="never verified"),
        pytest.param(WENT_BACK[:2], "failed", (False, True, True), id="not there yet"),
        pytest.param((), "failed", (False, False, True), id="no rollout"),
    ],
)
def test_going_back_is_proven_by_journal_and_run(
    lines: tuple[tuple[str, str, str], ...], state: str, holds: tuple[bool, ...]
) -> None:
    assert tuple(one.holds for one in proof.rolled_back(journal(*lines), RUN, state)) == holds


def story(*proofs: Proof) -> Story:
    load = summarise(answers("blue", "blue", "green"))
    return Story(
        "one <release>", [Event(0.0, "begins & ends")], proofs, route(0, 100), load, [("Inbox", "x")]
    )


def test_the_report_says_what_is_not_proven_and_escapes_what_it_shows(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(story(Proof("kept", True, "seen"), Proof("broken", False, "unseen")), page)
    text = page.read_text(encoding="utf-8")
    assert "Not proven" in text
    assert '<td class="no">not proven</td><td>broken</td>' in text
    assert "one &lt;release&gt;" in text
    assert "begins &amp; ends" in text
    assert "<script" not in text
    assert "http://" not in text


def test_the_same_story_gives_the_same_chart() -> None:
    assert chart(story()) == chart(story())
