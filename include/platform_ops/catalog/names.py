"""Sentences about a name that does not exist, with the nearest one that does."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(name: str, valid: Sequence[str]) -> str | None:
    """The valid name that was most likely meant; None when none is near."""
    found = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(kind: str, name: str, valid: Sequence[str]) -> str:
    """`unknown role 'qs': did you mean 'qa'? Valid: qa, devops`"""
    near = nearest(name, valid)
    hint = f": did you mean {near!r}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Valid: {', '.join(valid) or 'none'}"
