"""The page that names every recorded scenario with its result: written from a replay, read by the test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .normalisations import NORMALISATIONS
from .recordings import CHECKOUT, load

PAGE = CHECKOUT / "docs" / "reference" / "cluster-double.md"
SAME = "same"
AFTER = "same after"
OUT = "out of scope"

_ROW = re.compile(r"^\| `([^`]+)` \| (same after|same|out of scope) \| (.*) \|$", re.M)


@dataclass(frozen=True)
class Row:
    """One scenario: its class, and and the normalisations that may be needed, or the reason."""

    result: str
    normalisations: tuple[str, ...] = ()
    remark: str = ""

    @property
    def text(self) -> str:
        return ", ".join(self.normalisations) if self.result in (SAME, AFTER) else self.remark


def read() -> dict[str, Row]:
    """The rows of the committed page."""
    rows = {}
    for name, result, text in _ROW.findall(PAGE.read_text()):
        names = tuple(part for part in text.split(", ") if part) if result in (SAME, AFTER) else ()
        rows[name] = Row(result, names, "" if names else text)
    return rows


def render(rows: Mapping[str, Row]) -> str:
    """The whole page."""
    counts = {result: sum(row.result == result for row in rows.values()) for result in (SAME, AFTER, OUT)}
    scenarios = {one.name: one for one in load()}
    lines = [
        "# The cluster double against the recorded API server",
        "",
        "Written by `python -m replay --write` in `tests/cluster_double`; `test_recordings.py` keeps it",
        "true.",
        "",
        "The double (`astro/local/local_platform/cluster`) is replayed against recordings of a real",
        "Kubernetes 1.36.2 API server: the recorded requests go out in their recorded order, and status,",
        "headers (content-type, warning, allow, retry-after), bodies, watch events, tables and the frames",
        "of exec and attach are compared. The first control plane's Pods ran under a kubelet; here the node",
        "runs them, from an image that the test makes. The second one had no kubelet: a script patched Pod",
        "status, and the test's does the same. What earlier scenarios created is there because they are",
        "replayed in order. Parts of the recordings that do not see each other are replayed at the same",
        "time, against a double each.",
        "",
        f"**{len(rows)} scenarios: {counts[SAME]} same, {counts[AFTER]} same after a listed normalisation, "
        f"{counts[OUT]} out of scope.**",
        "",
        "## Normalisations",
        "",
        "| name | what |",
        "| --- | --- |",
        *(f"| {name} | {what} |" for name, what in NORMALISATIONS.items()),
        "",
        "## Scenarios",
        "",
        "The normalisations of a scenario are those that it may need; which of the timing ones (order,",
        "coalesced events, passing state) a run needs depends on the run.",
        "",
        "| scenario | result | normalisations or reason |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {rows[name].result} | {rows[name].text} |" for name in scenarios),
        "",
    ]
    return "\n".join(lines)
