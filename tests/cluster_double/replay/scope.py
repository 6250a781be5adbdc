"""What the replay leaves out, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .recordings import Exchange

# Whole scenarios that the double does not set out to reproduce.
OUT_OF_SCOPE: dict[str, str] = {}

# First scenarios of the parts that see nothing of each other but their namespaces: each part is replayed
# against a double of its own, all at the same time.
PART_BEGINS = frozenset({"svc-create-ns", "job-create-ns", "kpo-success"})

# Before these the recorded API server was started anew (its watch cache was empty, or etcd compacted): the
# replay kills the double and starts it again.
RESTART_BEFORE = frozenset({"watch-gone-410-etcd35", "list-expired-410-etcd35", "pyasync-watch"})

# Seconds to wait for a state that comes late by design: back-off after a failure.
PATIENCE = {"pod-crashloop": 25.0, "pod-liveness": 15.0, "pod-oom": 15.0, "job-failure": 15.0}

# Namespaces that the recorder deleted without a recorded request before these scenarios.
SWEPT_BEFORE = {"pysync-version": ("k-basic", "k-dep", "k-pf")}

# Single exchanges of scenarios that are otherwise replayed, with the normalisation that covers them.
_EXCLUDED: dict[tuple[str, int], str] = {
    # The recorded server held Pods in `default` that no recorded request had created.
    ("disc-raw-documents", 26): "earlier state",
    # The recorded etcd had been compacted before; `list-expired-410-etcd35` has the answer.
    ("list-paging", 13): "earlier state",
    # The recording's runtime had already removed the container whose log was asked for.
    ("pod-crashloop", 9): "container runtime",
    ("pysync-version", 4): "earlier state",
    ("dep-get-variants", 33): "earlier state",
    ("dep-get-variants", 34): "earlier state",
    ("dep-describe-node", 3): "earlier state",
    ("dep-describe-node", 4): "earlier state",
    # ResourceSlices belong to a component that the double does not have.
    ("dep-describe-node", 6): "components",
}


@dataclass(frozen=True)
class Write:
    """A write that the recorded commands made past the recording proxy, seen only in a watch beside it."""

    method: str
    name: str
    body: Any
    manager: str


# After the exchange (scenario, seq) was opened; the ConfigMaps are in the namespace of that exchange.
_LABEL = {"metadata": {"labels": {"w": "1"}}}
_BOOKMARK_WRITES = (
    Write("PATCH", "p1", _LABEL, "kubectl-label"),
    Write(
        "POST", "", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wnew"}}, "kubectl-create"
    ),
    Write("DELETE", "wnew", None, "kubectl"),
)
_SELECTOR_WRITES = (
    Write("PATCH", "p2", {"metadata": {"labels": {"sel": "y"}}}, "kubectl-label"),
    Write("PATCH", "p2", {"metadata": {"annotations": {"n": "1"}}}, "kubectl-annotate"),
    Write("PATCH", "p2", {"metadata": {"labels": {"sel": None}}}, "kubectl-label"),
)
UNRECORDED: dict[tuple[str, int], tuple[Write, ...]] = {
    ("watch-bookmarks", 2): _BOOKMARK_WRITES,
    ("watch-bookmarks-etcd35", 2): _BOOKMARK_WRITES,
    ("watch-selector-leave", 1): _SELECTOR_WRITES,
    ("watch-selector-leave-etcd35", 1): _SELECTOR_WRITES,
}

# Bodies whose repeated keys were lost when the recording was parsed.
RAW_BODIES: dict[tuple[str, int], bytes] = {
    (
        "basic-raw-errors",
        22,
    ): b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"dup","name":"dup"},"dat":{}}',
}


# Answers whose body is a file of the recorded image: the test's own image holds another text.
OWN_CONTENT = frozenset({("proxy-subresource", 1)})


def excluded(exchange: Exchange) -> str:
    """The normalisation under which an exchange is not sent; empty when it is."""
    return _EXCLUDED.get((exchange.scenario, exchange.seq), "")
