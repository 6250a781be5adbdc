"""For processes that a measurement starts: they end with it, whatever ended it."""

from __future__ import annotations

import asyncio
import os


async def parent_gone() -> None:
    """Returns when the process that started this one has ended."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)
