"""The parts of a promotion plan: what is told of gates, votes, times, objects and triggers beforehand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes import MIDNIGHT
from rollout_scenes import PLAN, V1, V2, migrating, release

from platform_ops.cli.output import ExitCode
from platform_ops.cli.planning import exit_code_of
from platform_ops.core.approvals import ApprovalRule
from platform_ops.core.candidate import take
from platform_ops.core.errors import GateClosed
from platform_ops.core.gate_states import GatesSeen, gate_states
from platform_ops.core.gates import FAILED, PASSED, Required
from platform_ops.core.manifest_diff import Change, ManifestChange, comparable
from platform_ops.core.plan import Plan
from platform_ops.core.promotion_plan import (
    UNKNOWN,
    ApprovalTerms,
    ManifestPlan,
    NotKnown,
    PlannedRelease,
    PromotionPlan,
    RuleState,
    approval_plan,
    in_words,
    timeline,
    trigger_state,
)
from platform_ops.core.records import GateResult
from platform_ops.core.release import Colour
from platform_ops.core.triggers import (
    Comparison,
    Kind,
    Outcome,
    Trigger,
    Verdict,
    condition,
    error_rate,
    fast_burn,
    latency,
    memory,
)

COMMIT, OTHER = "c" * 40, "d" * 40
MINUTE = timedelta(minutes=1)
TERMS = ApprovalTerms(10 * MINUTE, timedelta(days=1), timedelta(days=1), ("developer",))


def result(gate: str, outcome: str = PASSED, inputs: str = "", subject: str = COMMIT) -> GateResult:
    return GateResult("web", subject, gate, outcome, {"reason": "12 files"}, MIDNIGHT, inputs)


@pytest.mark.parametrize(
    ("gate", "seen", "state", "todo"),
    [
        pytest.param("lint", GatesSeen(), "missing", "no result yet: the promotion runs it", id="missing"),
        pytest.param("image", GatesSeen(), "missing", "the promotion decides it", id="not-built"),
        pytest.param(
            "source", GatesSeen([result("source")]), "passed", "decides it again", id="looked-at-again"
        ),
        pytest.param("lint", GatesSeen([result("lint")]), "passed", "runs it again", id="inputs-not-known"),
        pytest.param(
            "lint",
            GatesSeen([], {"lint": "now"}, {"lint": result("lint", inputs="now", subject=OTHER)}),
            "passed",
            "equal inputs have passed: no pod runs",
            id="cached-of-another-commit",
        ),
        pytest.param(
            "lint",
            GatesSeen([result("lint", inputs="then")], {"lint": "now"}),
            "stale",
            "its inputs have changed since: the promotion runs it again",
            id="stale",
        ),
        pytest.param(
            "lint",
            GatesSeen([result("lint", FAILED, "then")], {"lint": "now"}),
            "stale",
            "inputs have changed",
            id="a-failure-of-other-inputs-refuses-nothing",
        ),
        pytest.param(
            "lint",
            GatesSeen([result("lint", FAILED, "now")], {"lint": "now"}),
            "failed",
            "correct what its log names and push",
            id="failed",
        ),
        pytest.param(
            "lint", GatesSeen([result("lint", "not_run")]), "not run", "that is no pass", id="not-run"
        ),
        pytest.param(
            "lint", GatesSeen([result("types")]), "missing", "no result yet", id="another-gates-pass"
        ),
    ],
)
def test_a_required_gate_says_where_it_stands_and_what_comes_next(
    gate: str, seen: GatesSeen, state: str, todo: str
) -> None:
    (found,) = gate_states(Required((gate, "freeze")), seen)
    assert (found.gate, found.state, found.required) == (gate, state, True)
    assert todo in found.todo
    assert found.refuses is (state == "failed")
    assert found.cached is ("no pod runs" in todo)


def test_an_advisory_gate_comes_last_and_refuses_nothing() -> None:
    required = Required(("lint",), {"performance": "no load test here"})
    *wanted, advisory = gate_states(required, GatesSeen(), ("signatures",))
    assert [one.gate for one in wanted] == ["lint", "signatures"]
    assert (advisory.gate, advisory.state, advisory.reason) == ("performance", "not run", "no load test here")
    assert not advisory.required
    assert not advisory.refuses


@pytest.mark.parametrize(
    ("requester", "authors", "self_review", "may_vote", "may_not"),
    [
        pytest.param("ann", (), False, ("bob", "eve"), {"ann": "asked for the release"}, id="requester"),
        pytest.param("", ("bob",), False, ("ann", "eve"), {"bob": "wrote part of the release"}, id="author"),
        pytest.param("ann", ("bob",), True, ("ann", "bob", "eve"), {}, id="self-review"),
        pytest.param("", (), False, ("ann", "bob", "eve"), {}, id="nobody-known"),
    ],
)
def test_who_asked_or_wrote_may_not_vote(
    requester: str, authors: tuple[str, ...], self_review: bool, may_vote: tuple[str, ...], may_not: Any
) -> None:
    rule = ApprovalRule({"senior": 2}, {"senior": frozenset({"ann", "bob", "eve"})}, self_review)
    found = approval_plan(rule, TERMS, requester=requester, authors=authors)
    assert found.may_vote == {"senior": may_vote}
    assert found.may_not == may_not
    assert found.notes == ()


def test_too_few_who_may_vote_are_told_before_anybody_waits_for_them() -> None:
    rule = ApprovalRule({"senior": 2}, {"senior": frozenset({"ann", "bob"})})
    found = approval_plan(rule, TERMS, requester="ann", authors=("eve",))
    assert found.notes == (
        "only 1 of the 2 that are needed may vote as senior: let somebody else ask, or give the role to one "
        "more person",
    )


@pytest.mark.parametrize(
    ("plan", "first_release", "steps", "least"),
    [
        pytest.param(
            PLAN,
            False,
            ["approve", "deploy preview", "verify", "5 %", "25 %", "50 %", "100 %", "bake", "warm"],
            35 * MINUTE,
            id="gradual",
        ),
        pytest.param(
            PLAN, True, ["approve", "deploy preview", "verify", "100 %", "bake"], 20 * MINUTE, id="first"
        ),
        pytest.param(
            replace(migrating(PLAN), bake=timedelta(), warm=timedelta(), steps=PLAN.steps[-1:]),
            False,
            ["approve", "migrate", "deploy preview", "verify", "100 %"],
            15 * MINUTE,
            id="direct-with-a-schema",
        ),
    ],
)
def test_the_steps_and_the_least_time_until_it_is_promoted(
    plan: Plan, first_release: bool, steps: list[str], least: timedelta
) -> None:
    found = timeline(plan, wait_timer=10 * MINUTE, first_release=first_release)
    assert [one.step for one in found.steps] == steps
    assert found.least == least
    ends = [one.begins + one.lasts for one in found.steps]
    assert [one.begins for one in found.steps] == [timedelta(), *ends[:-1]]


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (error_rate(), "more than 1 % of the requests failed"),
        (latency(5), "more than 5 % of the requests took longer than 5 s"),
        (fast_burn(), "at least 50 % of the requests failed"),
        (memory(), "memory above 0.95 in all samples of one series"),
        (
            replace(memory(), name="free-disk", comparison=Comparison.BELOW, threshold=10),
            "free-disk below 10 in all samples of one series",
        ),
        (
            Trigger("hits", Kind.RATIO, "a", "b", 0.2, MINUTE, 1, comparison=Comparison.BELOW, defect="hit"),
            "less than 20 % of the requests hit",
        ),
    ],
)
def test_a_triggers_condition_is_said_in_words(trigger: Trigger, words: str) -> None:
    assert condition(trigger) == words


@pytest.mark.parametrize(
    ("verdict", "outcome", "value", "words"),
    [
        (Verdict("error-rate", Outcome.PASS, "error-rate: 1 of 400", 0.0025), "pass", 0.0025, "1 of 400"),
        (Verdict("error-rate", Outcome.NO_DATA, "error-rate: no requests"), "no data", None, "no requests"),
        (Verdict("error-rate", Outcome.UNAVAILABLE, "error-rate: it: away"), UNKNOWN, None, "it: away"),
        (NotKnown("the cluster is away"), UNKNOWN, None, "the cluster is away"),
        (NotKnown("nothing serves", away=False), "no data", None, "nothing serves"),
    ],
)
def test_a_trigger_shows_todays_value_or_why_there_is_none(
    verdict: Verdict | NotKnown, outcome: str, value: float | None, words: str
) -> None:
    found = trigger_state(error_rate(), verdict)
    assert (found.outcome, found.value, found.words) == (outcome, value, words)
    assert (found.sustained, found.minimum_samples) == (2 * MINUTE, 100)


def test_what_the_api_server_keeps_for_itself_is_no_difference() -> None:
    own = {
        "managedFields": [{}],
        "resourceVersion": "7",
        "uid": "u",
        "generation": 3,
        "creationTimestamp": "",
    }
    metadata = {"name": "web", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}
    live = {"kind": "Service", "metadata": {**metadata, **own}, "spec": {"a": 1}, "status": {"ready": 2}}
    before, after = comparable(live, {"kind": "Service", "metadata": {"name": "web"}, "spec": {"a": 1}})
    assert before == after == {"kind": "Service", "metadata": {"name": "web"}, "spec": {"a": 1}}
    assert comparable(None, live)[0] == {}


def test_of_a_secret_only_its_keys_are_told_and_whether_values_differ() -> None:
    live = {"kind": "Secret", "data": {"same": "c2FtZQ==", "other": "b25l", "gone": "Z29uZQ=="}}
    applied = {"kind": "Secret", "data": {"same": "c2FtZQ==", "other": "dHdv", "added": "bmV3"}}
    before, after = comparable(live, applied)
    assert before["data"] == {"same": "***", "other": "*** (before)", "gone": "***"}
    assert after["data"] == {"same": "***", "other": "*** (after)", "added": "***"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (5, "5 s"), (150, "2 min 30 s"), (86400, "1 d"), (90061, "1 d 1 h 1 min 1 s")],
)
def test_durations_are_said_as_people_say_them(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("", release(V2).name), (release(V1).name, release(V1).name), (V1, release(V1).name)],
)
def test_the_newest_verified_release_is_taken_or_the_one_that_is_named(wanted: str, name: str) -> None:
    where = {"service": "llm-service", "environment": "production", "before": "staging"}
    assert take([release(V2), release(V1)], wanted, **where).name == name
    with pytest.raises(GateClosed, match=r"'9' is not verified in staging. production would take: 1\.2\.0"):
        take([release(V2)], "9", **where)
    with pytest.raises(GateClosed, match="staging has not verified any release of llm-service yet"):
        take([], "", **where)


GOOD = PromotionPlan(
    service="llm-service",
    environment="production",
    live=None,
    release=PlannedRelease("1.0.0-cccccccc", "1.0.0", COMMIT, V1, ""),
    gates=gate_states(Required(("lint",)), GatesSeen([result("lint")])),
    admission=(RuleState("freeze", PASSED),),
    approval=approval_plan(ApprovalRule(), TERMS, requester="", authors=()),
    timeline=timeline(PLAN, wait_timer=MINUTE, first_release=False),
    manifests=ManifestPlan(Colour.GREEN, (ManifestChange("Service", "web", Change.UNCHANGED),)),
    triggers=(trigger_state(error_rate(), NotKnown("nothing serves", away=False)),),
)
FROZEN = (RuleState("freeze", "failed", ("frozen until Monday: promote again after it",)),)
BROKEN = ManifestPlan(Colour.GREEN, (ManifestChange("Service", "web", Change.REFUSED, why="bad port"),))


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        pytest.param({}, ExitCode.OK, "", id="good"),
        pytest.param({"admission": FROZEN}, ExitCode.GATE_CLOSED, "frozen until Monday", id="a-rule"),
        pytest.param(
            {"gates": gate_states(Required(("lint",)), GatesSeen([result("lint", FAILED)]))},
            ExitCode.GATE_CLOSED,
            "lint failed: correct what its log names and push",
            id="a-failed-gate",
        ),
        pytest.param({"manifests": BROKEN}, ExitCode.REFUSED, "Service web: bad port", id="a-manifest"),
        pytest.param({"manifests": NotKnown("the cluster")}, ExitCode.UNAVAILABLE, "the cluster", id="away"),
        pytest.param({"manifests": NotKnown("not built", away=False)}, ExitCode.OK, "", id="not-built-yet"),
        pytest.param(
            {"admission": (RuleState("staging", UNKNOWN, ("how staging is",)),)},
            ExitCode.UNAVAILABLE,
            "how staging is",
            id="staging-away",
        ),
        pytest.param(
            {"triggers": (trigger_state(error_rate(), NotKnown("Prometheus")),)},
            ExitCode.UNAVAILABLE,
            "Prometheus",
            id="metrics-away",
        ),
        pytest.param({"trouble": ("who wrote it",)}, ExitCode.UNAVAILABLE, "who wrote it", id="git-away"),
        pytest.param(
            {"admission": FROZEN, "trouble": ("x",)}, ExitCode.GATE_CLOSED, "frozen", id="certain-first"
        ),
    ],
)
def test_the_exit_code_says_whether_it_would_go_through(
    changes: dict[str, Any], code: ExitCode, said: str
) -> None:
    found = replace(GOOD, **changes)
    assert exit_code_of(found) is code
    assert said in "\n".join([*found.refusals(), *found.rejected(), *found.unknown()])
