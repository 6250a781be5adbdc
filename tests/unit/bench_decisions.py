"""`make bench-decisions`: how often the rules take a healthy release back, and how soon they catch a bad one.

The real `judge` and `decide` look once a second, with production's plan as the catalog states it,
unscaled. Only the
traffic is simulated: arrivals a second are Poisson, failures binomial, and the gateway is scraped once a
second. Seeds are fixed. Two situations: a promotion from its first shift on, and a fault that begins when all
traffic is on the new colour (the warm window). Probes and memory have no part in it: no request feeds them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes import MIDNIGHT
from rollout_scenes import TARGET, V1, V2, release

from platform_ops.catalog.load import load
from platform_ops.controller.planning import rollout_plan
from platform_ops.core.judging import Answers, judge
from platform_ops.core.plan import Plan
from platform_ops.core.ports import ColourStatus, Point, RouteState, Series
from platform_ops.core.release import Colour, Weights
from platform_ops.core.rollout import decide
from platform_ops.core.state import Act, Effect, Hold, Observed, Phase, Rollout, advanced, intended

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "decisions-bench.md"
PLOT = ROOT / "docs" / "images" / "decisions.svg"

RATES = (0.5, 1, 2, 5, 10, 50, 100, 500)
HEALTHY = 0.005
BAD = (0.015, 0.02, 0.05, 0.10, 0.50, 1.0)
SPAN = 1200
"""Seconds: 20 minutes."""
FALSE_AT_MOST = 0.02
OF_REQUESTS = ("error-rate", "latency-p95", "fast-burn")
SITUATIONS = ("promotion", "all traffic")
WARM_WINDOWS = 4
"""How far the observer looks back after the promotion (`controller.observing`)."""


def production() -> Plan:
    plan = rollout_plan(load(ROOT / "include/config/services.yaml"), "llm-service", "production")
    return replace(plan, triggers=tuple(t for t in plan.triggers if t.name in OF_REQUESTS))


@dataclass(frozen=True)
class Cell:
    situation: str
    rate: float
    share: float
    runs: int

    @property
    def seed(self) -> tuple[int, ...]:
        return SITUATIONS.index(self.situation), round(self.rate * 10), round(self.share * 1000)


@dataclass(frozen=True)
class Result:
    cell: Cell
    caught: tuple[int, ...]
    """Of the runs that went back: after how many seconds."""
    ended: tuple[str, ...]
    """Phase of each run at the end."""

    @property
    def share_caught(self) -> float:
        return len(self.caught) / self.cell.runs

    def quantile(self, part: float) -> float | None:
        """Seconds within which such a part of *all* runs was caught; None: so many were not."""
        ordered = sorted(self.caught)
        index = min(self.cell.runs - 1, int(part * self.cell.runs))
        return ordered[index] if index < len(ordered) else None


class Traffic:
    """Counters of the new colour. The past stays when the weight changes; the future is drawn again."""

    def __init__(self, random: np.random.Generator, rate: float, share: float) -> None:
        self._random, self._rate, self._share = random, rate, share
        self._requests = np.zeros(1)
        self._errors = np.zeros(1)

    def shared(self, now: int, weight: int) -> dict[str, Answers]:
        """What the metrics answer from `now` on, by trigger."""
        arrivals = self._random.poisson(self._rate * weight / 100, SPAN - now)
        failures = self._random.binomial(arrivals, self._share)
        self._requests = np.concatenate((self._requests[: now + 1], self._requests[now] + arrivals.cumsum()))
        self._errors = np.concatenate((self._errors[: now + 1], self._errors[now] + failures.cumsum()))
        requests, errors = _series(self._requests), _series(self._errors)
        failed = Answers((errors,), (requests,))
        return {
            "error-rate": failed,
            "fast-burn": failed,
            "latency-p95": Answers((), (requests,)),
        }


_MOMENTS = [MIDNIGHT + timedelta(seconds=n) for n in range(SPAN + 1)]


def _series(values: np.ndarray) -> Series:
    return Series(tuple(Point(at, v) for at, v in zip(_MOMENTS, values.tolist(), strict=True)))


def _rollout(plan: Plan, situation: str) -> Rollout:
    rollout = Rollout(
        id="bench",
        dag_id="bench",
        run_id="bench",
        promotion_id=None,
        target=TARGET,
        release=release(V2),
        colour=Colour.GREEN,
        previous_digest=V1,
        plan=plan,
        goal=Phase.RECLAIMED,
        requested_by="bench",
        log_url="",
        created_at=MIDNIGHT,
        phase=Phase.SHIFTING,
        entered_at=MIDNIGHT,
        weights=Weights(100, 0),
    )
    if situation == "promotion":
        return rollout
    return replace(
        rollout, phase=Phase.WARM, weights=Weights(0, 100), step=len(plan.steps) - 1, moved_at=MIDNIGHT
    )


class Run:
    """One rollout under simulated traffic."""

    def __init__(self, plan: Plan, cell: Cell, number: int) -> None:
        self._plan = plan
        self._traffic = Traffic(np.random.default_rng((*cell.seed, number)), cell.rate, cell.share)
        self._rollout = _rollout(plan, cell.situation)
        self._route = self._rollout.weights
        self._longest = max(trigger.sustained for trigger in plan.triggers)
        self._answers = self._traffic.shared(0, self._route.green)
        self._new = ColourStatus(True, V2, plan.replicas, plan.replicas)
        self._old = replace(self._new, digest=V1)

    def caught_after(self) -> int | None:
        """Seconds until it goes back; None: it did not within the span."""
        for second, now in enumerate(_MOMENTS):
            while True:
                transition = decide(self._observed(now), now)
                if transition.act is Act.BEGIN_ROLLBACK:
                    return second
                if transition.act in (Act.WAIT, Act.STAY):
                    break
                self._do(transition, second, now)
        return None

    @property
    def phase(self) -> str:
        return "held" if self._rollout.hold else self._rollout.phase.value

    def _do(self, transition, second: int, now: datetime) -> None:  # type: ignore[no-untyped-def]
        if transition.act is Act.HOLD:
            self._rollout = replace(self._rollout, hold=Hold("platform-ops", transition.why, now))
            return
        self._rollout = intended(self._rollout, transition, now)
        if transition.act is Act.SHIFT:
            self._route = transition.weights
            self._answers = self._traffic.shared(second, self._route.green)
        seen = Effect(confirmed=transition.act is Act.CONFIRM)
        self._rollout = advanced(self._rollout, transition, seen, now)

    def _observed(self, now: datetime) -> Observed:
        rollout = self._rollout
        verdicts = ()
        if rollout.moved_at is not None and rollout.phase.under_traffic:
            since = rollout.since or now
            if rollout.phase in (Phase.PROMOTED, Phase.WARM):
                since = now - WARM_WINDOWS * self._longest
            verdicts = tuple(
                judge(t, self._answers[t.name], begin=rollout.moved_at, since=since, now=now)
                for t in self._plan.triggers
            )
        return Observed(rollout, self._new, self._old, RouteState(self._route, 1), verdicts)


def measure(cell: Cell) -> Result:
    plan, caught, ended = production(), [], []
    for number in range(cell.runs):
        run = Run(plan, cell, number)
        after = run.caught_after()
        if after is not None:
            caught.append(after)
        ended.append("went back" if after is not None else run.phase)
    return Result(cell, tuple(caught), tuple(ended))


def cells(healthy: int, bad: int) -> Iterator[Cell]:
    for situation in SITUATIONS:
        for rate in RATES:
            yield Cell(situation, rate, HEALTHY, healthy)
            yield from (Cell(situation, rate, share, bad) for share in BAD)


def least(rate: float, share: float) -> float:
    """Seconds that the user's numbers ask for at least, all traffic on the new colour: the window and the
    sample of the error rate, or the sample of the fast burn."""
    steady = max(120.0, 100 / rate)
    if share >= 0.5 and rate * 15 >= 50:
        return min(steady, 50 / rate)
    return steady


def table(results: list[Result], situation: str) -> str:
    by_cell = {(r.cell.rate, r.cell.share): r for r in results if r.cell.situation == situation}
    head = ["requests/s", f"healthy ({HEALTHY:.1%}) taken back", *(f"{share:.3g} %" for share in _percent())]
    rows = []
    for rate in RATES:
        healthy = by_cell[rate, HEALTHY]
        row = [f"{rate:g}", f"{len(healthy.caught)} of {healthy.cell.runs}"]
        row += [_when(by_cell[rate, share], situation) for share in BAD]
        rows.append(row)
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    lines = [_line(head, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _percent() -> list[float]:
    return [share * 100 for share in BAD]


def _when(result: Result, situation: str) -> str:
    median, late = result.quantile(0.5), result.quantile(0.9)
    if median is None:
        return f"{result.share_caught:.0%} in 20 min"
    text = f"{median:.0f} / {f'{late:.0f}' if late is not None else '> 1200'}"
    if situation == "all traffic":
        text += f" ({least(result.cell.rate, result.cell.share):.0f})"
    return text


def _line(row: list[str], widths: list[int]) -> str:
    return "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"


def plot(results: list[Result]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "decisions"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4))
    for share in BAD:
        found = [r for r in results if r.cell.situation == "all traffic" and r.cell.share == share]
        points = [(r.cell.rate, median) for r in found if (median := r.quantile(0.5)) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=f"{share * 100:g} % errors")
    axes.plot(RATES, [least(rate, 0.02) for rate in RATES], "k--", label="least, error rate")
    axes.plot(RATES, [least(rate, 1.0) for rate in RATES], "k:", label="least, fast burn")
    axes.set(xscale="log", yscale="log", xlabel="requests a second", ylabel="seconds from fault to decision")
    axes.legend(fontsize="small", ncols=2)
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.tight_layout()
    figure.savefig(PLOT, metadata={"Date": None})


def write_page(results: list[Result]) -> None:
    """Put the tables between the page's marks; the words around them are written by people."""
    text = PAGE.read_text(encoding="utf-8")
    for situation in SITUATIONS:
        begin, end = f"<!-- {situation} -->\n", f"<!-- end of {situation} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + table(results, situation) + "\n" + end + rest.partition(end)[2]
    PAGE.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--healthy", type=int, default=100, help="runs of each healthy cell")
    parser.add_argument("--bad", type=int, default=20, help="runs of each bad cell")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="renew the page and the plot in docs/")
    chosen = parser.parse_args()
    began = time.monotonic()
    with multiprocessing.Pool(chosen.processes) as pool:
        results = pool.map(measure, cells(chosen.healthy, chosen.bad), chunksize=1)
    for situation in SITUATIONS:
        print(
            f"\n{situation}: healthy releases taken back in 20 min; seconds until half / nine of ten bad ones"
        )
        print(
            "were taken back" + (" (the least that the rules' numbers allow)" * (situation == "all traffic"))
        )
        print(table(results, situation))
    healthy = [r for r in results if r.cell.share == HEALTHY]
    worst = max(healthy, key=lambda r: r.share_caught)
    spent = time.monotonic() - began
    print(f"\nmost false rollbacks: {worst.share_caught:.1%} at {worst.cell.rate:g} requests/s ", end="")
    print(f"({worst.cell.situation}); to reach: at most {FALSE_AT_MOST:.0%}; {spent:.0f} s in all")
    if chosen.write:
        write_page(results)
        plot(results)
    return 0 if worst.share_caught <= FALSE_AT_MOST else 1


if __name__ == "__main__":
    sys.exit(main())
