"""What must be true when the demonstration ends, and how that was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from local_platform.demo.load import Record
from local_platform.demo.report import Proof
from local_platform.demo.watch import Weights

PRODUCTION_QUORUM = {"senior_developer": 2, "devops": 1}
STAGING_QUORUM = {"qa": 1}
LAST_SECONDS = 3.0
"""The stretch of load at the end in which all answers must be of one colour."""


def same_artefact(built: str | None, live: str | None) -> Proof:
    """Rule 5: nothing is rebuilt on the way."""
    return Proof(
        "The digest in production is the one built in development",
        built is not None and built == live,
        f"development {_short(built)}, production {_short(live)}",
    )


def approvals_recorded(audit: Sequence[Mapping[str, Any]], digest: str, environment: str) -> Proof:
    """The ledger, asked by `ops audit`, names who let this digest in, by role."""
    wanted = PRODUCTION_QUORUM if environment == "production" else STAGING_QUORUM
    granted = [
        entry
        for entry in audit
        if entry["promotion"]["environment"] == environment
        and entry["promotion"]["digest"] == digest
        and entry["grant"]
    ]
    votes = [vote for entry in granted for vote in entry["votes"] if vote["option"] == "Approve"]
    by_role = {role: sorted({vote["user"] for vote in votes if vote["role"] == role}) for role in wanted}
    names = "; ".join(f"{role}: {', '.join(users) or 'nobody'}" for role, users in by_role.items())
    return Proof(
        f"The ledger holds the approvals of this digest for {environment}",
        all(len(by_role[role]) >= count for role, count in wanted.items()),
        names,
    )


def nothing_failed(records: Sequence[Record]) -> Proof:
    failed = [record for record in records if record.failed]
    return Proof(
        "No request failed during the promotions",
        bool(records) and not failed,
        f"{len(failed)} of {len(records)} failed",
    )


def gradual(weights: Sequence[Weights], steps: Sequence[int], since: float) -> Proof:
    """The weights that the cluster stored after `since`, of the colour that rose."""
    seen = [w for w in weights if w.at >= since]
    colour = "green" if seen and seen[-1].green == 100 else "blue"
    path = [getattr(w, colour) for w in seen]
    missing = [step for step in steps if step not in path]
    return Proof(
        "Traffic moved in steps",
        bool(path) and not missing and path == sorted(path),
        f"{colour}: {' → '.join(map(str, path)) or 'no change seen'}",
    )


def traffic_is_on(colour: str, weights: Sequence[Weights], records: Sequence[Record]) -> Proof:
    """Both what the route says and the colours of the last real answers."""
    routed = bool(weights) and getattr(weights[-1], colour) == 100
    end = max((record.at for record in records), default=0.0)
    last = [record.colour for record in records if record.at > end - LAST_SECONDS]
    other = sum(1 for seen in last if seen != colour)
    return Proof(
        f"All traffic is back on {colour}",
        routed and bool(last) and other == 0,
        f"route: {weights[-1].blue}/{weights[-1].green}; last {len(last)} answers, {other} not from {colour}",
    )


def rolled_back(audit: Sequence[Mapping[str, Any]], run_id: str, run_state: str) -> Sequence[Proof]:
    """What the ledger's journal says of the run's rollout, and what Airflow shows."""
    journal = [line for entry in audit if entry["promotion"]["run_id"] == run_id for line in entry["journal"]]
    phase = journal[-1]["detail"]["phase"] if journal else "no rollout"
    verified = [line["why"] for line in journal if line["what"] == "VerifyOld" and line["kind"] == "done"]
    why = next((line["why"] for line in journal if line["what"] == "BeginRollback"), "nothing")
    return (
        Proof(
            "The rollout went back by itself",
            any(line["detail"]["phase"] == "RolledBack" for line in journal),
            f"{phase}, because: {why}",
        ),
        Proof("The old version was verified after going back", bool(verified), "; ".join(verified) or "not"),
        Proof("The run is red", run_state == "failed", f"run {run_state}"),
    )


def paged_once(messages: Sequence[Mapping[str, Any]], run_id: str) -> Proof:
    """One message in the channel whose log link is of this run."""
    pages = [message for message in messages if run_id in unquote(str(message))]
    return Proof(
        "One page arrived, with a link to the log", len(pages) == 1, f"{len(pages)} messages name {run_id}"
    )


def _short(digest: str | None) -> str:
    return digest[:19] if digest else "none"
