"""What the replay leaves out, each with its reason."""

from __future__ import annotations

from .recordings import Exchange

# Whole scenarios that the double does not set out to reproduce.
OUT_OF_SCOPE: dict[str, str] = {}

# Single exchanges of scenarios that are otherwise replayed, with the normalisation that covers them.
_EXCLUDED: dict[tuple[str, int], str] = {
    # The recorded server held Pods in `default` that no recorded request had created.
    ("disc-raw-documents", 26): "earlier state",
}


def excluded(exchange: Exchange) -> str:
    """The normalisation under which an exchange is not sent; empty when it is."""
    return _EXCLUDED.get((exchange.scenario, exchange.seq), "")
