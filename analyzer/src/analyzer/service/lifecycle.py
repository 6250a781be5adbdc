"""What a process knows of its own life: ready, or draining."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Lifecycle:
    """Shared by the application (readiness) and the server (signals). One a process."""

    draining: bool = False
    warm: bool = False
    """Whether the engine has found what it must."""
    started: float = field(default_factory=time.monotonic)

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started
