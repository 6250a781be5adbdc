"""The generated pages are what the program says today."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from platform_ops.catalog import schema
from platform_ops.cli.reference import cli_page, settings_page

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize(
    ("file", "made"),
    [
        pytest.param("catalog.md", schema.reference, id="catalog"),
        pytest.param("catalog.schema.json", schema.schema_text, id="schema"),
        pytest.param("cli.md", cli_page, id="cli"),
        pytest.param("settings.md", settings_page, id="settings"),
    ],
)
def test_a_generated_page_is_current(file: str, made: Callable[[], str]) -> None:
    assert (REFERENCE / file).read_text() == made(), f"write {file} again as its first lines say"


@pytest.mark.parametrize("path", ["include/config/services.yaml", "astro/local/services.yaml"])
def test_editors_find_the_schema_and_accept_the_catalogs(path: str) -> None:
    text = (ROOT / path).read_text()
    named = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    found = ((ROOT / path).parent / named).resolve()
    jsonschema.validate(yaml.safe_load(text), json.loads(found.read_text()))


def test_every_key_of_the_catalog_is_described() -> None:
    for name, model in schema.json_schema()["$defs"].items():
        for key, field in model.get("properties", {}).items():
            assert field.get("description"), f"{name}.{key}"
