"""Crash points are a port that tests inject (ADR-8): the installed package holds no switch."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(str(find_spec("platform_ops").submodule_search_locations[0]))  # type: ignore[union-attr,index]


def implementations() -> dict[str, ast.FunctionDef]:
    """Every `reach` that a class of the package defines."""
    return {
        node.name: method
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "reach"
    }


def test_the_package_knows_the_port_and_one_implementation_that_does_nothing() -> None:
    found = implementations()
    assert set(found) == {"CrashPoints", "NoCrashPoints"}
    assert [ast.unparse(node) for node in found["NoCrashPoints"].body] == ["return"]


def test_no_setting_names_a_crash_point() -> None:
    settings = (PACKAGE / "settings.py").read_text(encoding="utf-8").lower()
    assert "crash" not in settings
