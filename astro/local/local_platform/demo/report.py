"""The demonstration's report: one HTML page with a timeline, a chart and the proofs. No script, no outside
address."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from local_platform.demo.load import Summary
from local_platform.demo.watch import Weights

mpl.use("svg")

BLUE, GREEN, RED, GREY = "#3b6fb6", "#3f9b5f", "#c23b3b", "#8a8f98"


@dataclass(frozen=True)
class Event:
    """One line of the timeline; `at` in Unix seconds."""

    at: float
    what: str


@dataclass(frozen=True)
class Proof:
    """Something that must be true at the end, what was expected, and what was seen."""

    claim: str
    holds: bool
    seen: str


@dataclass(frozen=True)
class Story:
    """Everything that the report shows."""

    title: str
    events: Sequence[Event]
    proofs: Sequence[Proof]
    weights: Sequence[Weights]
    load: Summary
    links: Sequence[tuple[str, str]]
    """Label and address."""

    @property
    def proven(self) -> bool:
        return all(proof.holds for proof in self.proofs)


def write_report(story: Story, path: Path) -> None:
    path.write_text(_page(story), encoding="utf-8")


def chart(story: Story) -> bytes:
    """The chart as SVG: weights, requests by colour, errors, p95, over the seconds since the load began."""
    figure = Figure(figsize=(11, 8.5), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True)
    begin = story.load.seconds[0].at if story.load.seconds else 0
    _draw_weights(axes[0], story, begin)
    _draw_requests(axes[1], story, begin)
    _draw_errors(axes[2], story, begin)
    _draw_p95(axes[3], story, begin)
    axes[3].set_xlabel("seconds since the load began")
    for one in axes:
        one.grid(alpha=0.25)
        one.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    # A fixed date and salt: the same story gives the same picture.
    with mpl.rc_context({"svg.hashsalt": "platform-ops"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _draw_weights(axes: Axes, story: Story, begin: float) -> None:
    end = story.load.seconds[-1].at + 1 if story.load.seconds else begin + 1
    times = [max(w.at, begin) - begin for w in story.weights] + [end - begin]
    for colour, paint in (("blue", BLUE), ("green", GREEN)):
        values = [getattr(w, colour) for w in story.weights]
        axes.step(times, values + values[-1:], where="post", color=paint, label=colour, linewidth=2)
    axes.set_ylabel("weight, %")
    axes.set_ylim(-3, 103)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _draw_requests(axes: Axes, story: Story, begin: float) -> None:
    times = [second.at - begin for second in story.load.seconds]
    blue = [second.colours.get("blue", 0) for second in story.load.seconds]
    green = [second.colours.get("green", 0) for second in story.load.seconds]
    other = [max(s.requests - b - g, 0) for s, b, g in zip(story.load.seconds, blue, green, strict=True)]
    axes.stackplot(
        times,
        blue,
        green,
        other,
        colors=[BLUE, GREEN, GREY],
        labels=["blue", "green", "no colour"],
        step="post",
    )
    axes.set_ylabel("requests/s")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _draw_errors(axes: Axes, story: Story, begin: float) -> None:
    times = [second.at - begin for second in story.load.seconds]
    failed = [second.failed for second in story.load.seconds]
    axes.bar(times, failed, width=1.0, align="edge", color=RED)
    axes.set_ylabel("failed/s")
    axes.set_ylim(0, max(5, *failed) if failed else 5)


def _draw_p95(axes: Axes, story: Story, begin: float) -> None:
    seen = [(second.at - begin, second.p95_ms) for second in story.load.seconds if second.p95_ms is not None]
    axes.plot([at for at, _ in seen], [p95 for _, p95 in seen], color=GREY, linewidth=1.2)
    axes.set_ylabel("p95, ms")
    axes.set_ylim(bottom=0)


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1d2430;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;border-bottom:1px solid
#e3e6ea;text-align:left;vertical-align:top}
td:first-child,.at{white-space:nowrap;width:1%}
.at{color:#6b7280;white-space:nowrap;font-variant-numeric:tabular-nums}.ok{color:#2c7a4b;font-weight:600}.no{color:#b42318;font-weight:600}
img{width:100%;height:auto}.verdict{padding:.6rem
1rem;border-radius:.5rem;background:#eef6f0}.verdict.bad{background:#fdecea}
"""


_PAGE = Template(
    """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>$title</title><style>$style</style>
<h1>$title</h1>
<p class="verdict $mood">$verdict $requests requests, $failed failed.</p>
<img alt="Weights, requests by colour, failed requests and p95 over time"
 src="data:image/svg+xml;base64,$picture">
<h2>Proofs</h2><table>$proofs</table>
<h2>Timeline</h2><table>$events</table>
<h2>Where to look</h2><ul>$links</ul></html>
"""
)


def _page(story: Story) -> str:
    begin = min((event.at for event in story.events), default=0.0)
    return _PAGE.substitute(
        title=html.escape(story.title),
        style=_STYLE,
        mood="" if story.proven else "bad",
        verdict="Proven: all of it." if story.proven else "Not proven: see the lines marked below.",
        requests=story.load.requests,
        failed=story.load.failed,
        picture=base64.b64encode(chart(story)).decode(),
        proofs="".join(_proof_row(proof) for proof in story.proofs),
        events="".join(_event_row(event, begin) for event in story.events),
        links="".join(
            f'<li><a href="{html.escape(to)}">{html.escape(label)}</a></li>' for label, to in story.links
        ),
    )


def _proof_row(proof: Proof) -> str:
    mark, word = ("ok", "proven") if proof.holds else ("no", "not proven")
    words = f"<td>{html.escape(proof.claim)}</td><td>{html.escape(proof.seen)}</td>"
    return f'<tr><td class="{mark}">{word}</td>{words}</tr>'


def _event_row(event: Event, begin: float) -> str:
    times = f'<td class="at">{_clock(event.at)}</td><td class="at">+{event.at - begin:.0f} s</td>'
    return f"<tr>{times}<td>{html.escape(event.what)}</td></tr>"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
