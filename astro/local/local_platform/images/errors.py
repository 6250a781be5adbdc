"""What can go wrong in a build, for a person to read."""

from __future__ import annotations


class BuildError(Exception):
    """The image cannot be built or pushed; the message says what to do."""
