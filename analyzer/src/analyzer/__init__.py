"""The LLM Secret Detection Service: an engine, an HTTP service around it, and a batch scanner."""

from __future__ import annotations

__version__ = "0.1.0"
