"""The Compose file, read as the specification says (no Docker runs it here), and held to what it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

FOLDER = Path(__file__).parents[1]
TEXT = (FOLDER / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]


def test_it_is_a_compose_file() -> None:
    assert set(PyCompose.from_yaml(TEXT).service_names()) == {"llm-service", "migrate", "postgres", "redis"}


def test_the_reader_would_refuse_another_file() -> None:
    with pytest.raises(ValueError):
        PyCompose.from_yaml(TEXT.replace("healthcheck:", "healthchek:"))


@pytest.mark.parametrize("name", ["llm-service", "postgres", "redis"])
def test_every_server_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_nothing_listens_beyond_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000"]


def test_credentials_come_from_the_environment_and_the_example_names_them_all() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", TEXT))
    example = dict(
        line.split("=", 1)
        for line in (FOLDER / ".env.example").read_text().splitlines()
        if not line.startswith("#")
    )
    assert set(example) == asked
    assert all(value.startswith("<") for value in example.values())
    variables = [v for service in SERVICES.values() for v in service.get("environment", {}).items()]
    secret = [(name, value) for name, value in variables if re.search("PASSWORD|KEY|_URL", name)]
    assert [name for name, value in secret if "${" not in value] == ["ANALYZER_REDIS_URL"]


@pytest.mark.parametrize("name", ["llm-service", "migrate"])
def test_our_containers_have_no_more_rights_than_they_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
