"""What stands at every effect on production traffic (design, rule 2), whichever router has it.

The guard: whoever asks, a colour whose weight would rise must run a digest that the ledger holds as approved.
The fence: the patched object carries the highest token that ever patched it, and every patch names the
resourceVersion it was decided on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platform_ops.core.errors import GateClosed, StaleHolder
from platform_ops.core.ports import Approvals, Fence, Workloads
from platform_ops.core.release import Colour, Target, Weights

TOKEN = "platform-ops.io/fencing-token"
ROLLOUT = "platform-ops.io/rollout"
COLOUR_HEADER = "x-platform-colour"


class Guard:
    """Asks the cluster which digest a colour runs, and the ledger whether it may have traffic."""

    def __init__(self, workloads: Workloads, approvals: Approvals) -> None:
        self._workloads = workloads
        self._approvals = approvals

    async def ensure_allowed(self, target: Target, present: Weights, wanted: Weights) -> None:
        """NotApproved or GateClosed for a colour that would get more than it has."""
        for colour in Colour:
            if wanted.of(colour) > present.of(colour):
                await self._ensure_colour(target, colour)

    async def _ensure_colour(self, target: Target, colour: Colour) -> None:
        status = await self._workloads.status(target, colour)
        if not status.exists or status.digest is None:
            raise GateClosed(
                f"{target.key}: {colour} gets no traffic: "
                + ("its image is not named by digest" if status.exists else "it is not deployed")
            )
        await self._approvals.ensure_allowed(target, status.digest)


def token_of(stored: Mapping[str, Any]) -> int:
    """The highest token that patched the object; 0: none ever did."""
    text = stored["metadata"].get("annotations", {}).get(TOKEN, "0")
    return int(text) if text.isdecimal() else 0


def refuse_outrun(target: Target, stored: Mapping[str, Any], fence: Fence) -> None:
    if token_of(stored) > fence.token:
        raise StaleHolder(
            f"{target.key}: token {fence.token} of rollout {fence.rollout_id} is outrun by "
            f"{token_of(stored)}; somebody else moves this traffic now"
        )


def marks(fence: Fence) -> dict[str, str]:
    """Annotations of an object that this holder patches."""
    return {TOKEN: str(fence.token), ROLLOUT: fence.rollout_id}
