"""A pytest plugin: the session starts outside the tree, so that nothing in it is taken for a library; tests
run where their authors run them, at the tree's root."""

from __future__ import annotations

import os


def pytest_sessionstart() -> None:
    """After pytest and its plugins were imported, before anything of the tree is."""
    os.chdir(os.environ["GATE_TREE"])
