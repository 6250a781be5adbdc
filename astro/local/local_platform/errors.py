"""Errors of the local platform: each text says what is wrong and what a person does next."""

from __future__ import annotations


class PlatformError(Exception):
    """Something a person has to put right; shown as one sentence, without a traceback."""


class NotReadyError(Exception):
    """A part does not answer yet (or no longer); the text is what the probe saw."""
