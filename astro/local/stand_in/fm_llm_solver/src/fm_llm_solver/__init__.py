"""A stand-in for FM-LLM-Solver: its interface, and as much of its work as a platform test needs."""

from __future__ import annotations

__version__ = "0.1.0"
