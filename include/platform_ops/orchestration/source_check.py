"""`check_source`: our analyzer scans the commit and its history in a pod that holds no credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from platform_ops import wiring
from platform_ops.core.errors import GateClosed

from .signatures import released_before
from .source_pod import RESULT_FILE, SourcePod, bundle_link, require_result
from .step import Run, at_desk, run_to_end

SHOWN = 5
"""Findings, or gaps, that a message names; the ledger and the pod's log have more."""
LONGEST_PATH = 120


class SourceCheck(SourcePod):
    """`analyzer scan` of the promotion's commit; its result is written to the ledger for the commit.

    The whole tree of the commit is scanned, and what its history brought: a value that was pushed is known to
    everybody with a clone, so a later commit that removes it changes nothing. The history is scanned from the
    newest release on that was verified in this environment and whose own history passed; without one (a first
    release, or a branch that was rewritten behind it) all of it is. What was released stays released when the
    rules change: a finding there is the business of scheduled scans, not of every release that follows.
    """

    def __init__(self, *, service: str, environment: str, **kwargs: Any) -> None:
        super().__init__(
            service=service,
            environment=environment,
            purpose="check-source",
            image=wiring.settings().scanner_image,
            **kwargs,
        )

    def execute(self, context: Mapping[str, Any]) -> None:
        run = Run.of(context, self.service, self.environment)
        since = run_to_end(at_desk(_scanned_before, run))
        arguments = run_to_end(at_desk(partial(_scan_arguments, since=since), run))
        result = self.result_of_pod(context, arguments)
        run_to_end(at_desk(partial(_judge, since=since, result=result), run))


async def _scanned_before(desk: wiring.Desk, run: Run) -> str | None:
    """The newest verified release here that leads to the promotion's commit and whose history has passed."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    # A scan that was recorded without its history saw the tree only.
    return await released_before(desk, promotion, "source", lambda detail: "history" in detail)


async def _scan_arguments(desk: wiring.Desk, run: Run, *, since: str | None) -> list[str]:
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    link = await bundle_link(desk, run.service, promotion.commit)
    what = ["--bundle", link, "--commit", promotion.commit]
    history = ["--since", since] if since else ["--history"]
    return ["scan", *what, *history, "--exit-zero", "--output", RESULT_FILE]


async def _judge(desk: wiring.Desk, run: Run, *, since: str | None, result: Any) -> None:
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    found = require_result(result, promotion.commit)
    passed = found["outcome"] == "clean"
    await desk.ledger.gates.record(
        service=run.service,
        subject=promotion.commit,
        gate="source",
        outcome="passed" if passed else "failed",
        detail={**found, "history": {"since": since}},
    )
    if not passed:
        raise GateClosed(refusal(found))


def refusal(result: Mapping[str, Any]) -> str:
    """Why a scan's result (JSON of `analyzer scan`) lets nothing pass, a line a finding, and what to do."""
    counts, gaps = result["counts"], result["not_scanned"]
    lines = []
    if result["findings"]:
        found = [_in_words(finding, result["commit"]) for finding in result["findings"]]
        lines = [
            f"{counts['findings']} secret(s) in {result['commit'][:8]} and its history:",
            *_some(found, counts["findings"]),
            "Revoke each at whoever issued it, take it out of the branch's history, and push again: "
            "a commit that only deletes it is not enough.",
        ]
    if gaps:
        lines += [
            "The scan could not see everything:",
            *_some([_visible(gap) for gap in gaps], counts["not_scanned"]),
        ]
    return "\n".join(lines)


def _some(lines: Sequence[str], count: int) -> list[str]:
    more = [f"… and {count - SHOWN} more"] if count > SHOWN else []
    return [*lines[:SHOWN], *more]


def _in_words(finding: Mapping[str, Any], released: str) -> str:
    """One sentence; the analyzer has redacted the value."""
    where = f"commit {finding['commit'][:8]}" if finding["commit"] else f"the tree of {released[:8]}"
    why = "; ".join(filter(None, finding["reasons"])) or "the rule matches"
    return (
        f"{_shown(finding['path'])}:{finding['line']} in {where}: {finding['secret_type']} "
        f"{finding['redacted']}, rule {finding['rule']}, probability {finding['probability']:.2f}: {why}."
    )


def _shown(path: str) -> str:
    """A path that a stranger chose, in bounded length: the end of it tells most."""
    visible = _visible(path)
    return visible if len(visible) <= LONGEST_PATH else f"…{visible[1 - LONGEST_PATH :]}"


def _visible(text: str) -> str:
    """One line, in which no character moves the reader's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
