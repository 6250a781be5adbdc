"""The arithmetic of a Deployment: how many replicas of each of its ReplicaSets, without looking at the
cluster.

Follows the deployment controller of Kubernetes (pkg/controller/deployment/rolling.go,
util/deployment_util.go).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """One ReplicaSet: replicas wanted, existing, and available."""

    name: str
    wanted: int
    existing: int
    available: int
    created: str = ""


@dataclass(frozen=True)
class Bounds:
    """How many pods there may be too many, and how many may be missing."""

    surge: int
    unavailable: int


def bounds(replicas: int, surge: int | str, unavailable: int | str) -> Bounds:
    """Percentages as numbers: surge rounds up, unavailable down; both zero would stand still, so one may
    be missing.
    """
    upper = _scaled(surge, replicas, math.ceil)
    lower = _scaled(unavailable, replicas, math.floor)
    if upper == 0 and lower == 0:
        lower = 1
    return Bounds(upper, min(lower, replicas))


def _scaled(value: int | str, total: int, rounding: object) -> int:
    if isinstance(value, int):
        return value
    if value.endswith("%"):
        exact = int(value[:-1]) * total / 100
        return math.ceil(exact) if rounding is math.ceil else math.floor(exact)
    return int(value)


def new_set_size(replicas: int, new: Counts, others: list[Counts], limits: Bounds) -> int:
    """How large the new set may be now."""
    if new.wanted > replicas:
        return replicas
    total = new.wanted + sum(one.wanted for one in others)
    room = replicas + limits.surge - total
    return new.wanted if room <= 0 else min(new.wanted + room, replicas)


def shrink_old_sets(replicas: int, new: Counts, others: list[Counts], limits: Bounds) -> dict[str, int]:
    """New sizes of old sets by name: unhealthy pods go first, then as many as availability allows."""
    if not sum(one.wanted for one in others):
        return {}
    minimum = replicas - limits.unavailable
    everything = new.wanted + sum(one.wanted for one in others)
    new_unavailable = new.wanted - new.available
    most = everything - minimum - new_unavailable
    if most <= 0:
        return {}
    sizes = {one.name: one.wanted for one in others}
    oldest_first = sorted(others, key=lambda one: one.created)
    removed = 0
    for one in oldest_first:
        if removed >= most:
            break
        unhealthy = min(most - removed, one.wanted - one.available)
        if one.wanted and unhealthy > 0:
            sizes[one.name] -= unhealthy
            removed += unhealthy
    available = new.available + sum(one.available for one in others)
    spare = available - minimum
    for one in oldest_first:
        if spare <= 0:
            break
        step = min(sizes[one.name], spare)
        sizes[one.name] -= step
        spare -= step
    return {one.name: sizes[one.name] for one in others if sizes[one.name] != one.wanted}


def share_scaling(replicas: int, surge: int, sets: list[Counts], before: dict[str, int]) -> dict[str, int]:
    """New sizes when a Deployment is scaled in mid-rollout: each set grows or shrinks in proportion.

    Args:
        replicas: the Deployment's new size.
        surge: how many more may exist.
        sets: all sets that hold pods, newest last.
        before: per set the Deployment's largest allowed total when the set was last sized.
    """
    total = sum(one.wanted for one in sets)
    allowed = replicas + surge if replicas > 0 else 0
    to_add = allowed - total
    # Of sets of one size, the newest grows first and the oldest shrinks first.
    by_age = sorted(sets, key=lambda one: one.created, reverse=to_add > 0)
    ordered = sorted(by_age, key=lambda one: -one.wanted)
    result: dict[str, int] = {}
    added = 0
    for one in ordered:
        share = 0
        if to_add != 0:
            largest = before.get(one.name) or total
            fraction = round(one.wanted * allowed / largest) - one.wanted if largest else 0
            left = to_add - added
            share = min(fraction, left) if to_add > 0 else max(fraction, left)
        result[one.name] = one.wanted + share
        added += share
    if ordered and added != to_add:
        first = ordered[0].name
        result[first] = max(0, result[first] + to_add - added)
    return result
