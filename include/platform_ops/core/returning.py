"""Going back to a named earlier release, outside of the warm window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from .errors import GateClosed
from .plan import Plan, Step
from .release import Release, Target


def release_to_return_to(
    target: Target, typed: str, served: Sequence[Release], present: str | None
) -> Release:
    """The release called `typed`, by name or digest, of those that served there well. `present` is the digest
    that has the traffic now. GateClosed says what can be taken."""
    others = [release for release in served if release.digest != present]
    names = ", ".join(release.name for release in others[:10]) or "none"
    for release in served:
        if typed in (release.name, release.digest):
            if release.digest == present:
                raise GateClosed(f"{release.name} serves in {target.key} already. Others that did: {names}")
            return release
    raise GateClosed(
        f"{typed!r} never served in {target.key}, so it was never proven there: promote it instead. "
        f"Releases that served there: {names}"
    )


def returning(plan: Plan) -> Plan:
    """One switch with the checks before and after it. The metrics' triggers do not judge it: they would take
    the traffic forward again, to the version that a person has just decided against. Pods that are down still
    do."""
    switch = (Step(100, timedelta(0)),)
    return replace(plan, steps=switch, bake=timedelta(0), triggers=())
