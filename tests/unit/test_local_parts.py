"""Which parts a platform has, in which order, and what platform-ops is told about them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from analyzer import settings
from local_platform.cluster_access import ENVIRONMENTS
from local_platform.errors import PlatformError
from local_platform.kept import Ports, Secrets
from local_platform.layout import CHECKOUT, Layout
from local_platform.parts import PARTS, PORTS, needed
from local_platform.product import OWNER_ONLY, all_settings, product_settings
from local_platform.services.airflow import AirflowApi, airflow_settings
from local_platform.services.analyzer import migration_values, secret_values
from local_platform.services.part import Context


@pytest.fixture
def platform(tmp_path: Path) -> Context:
    layout = Layout(CHECKOUT, tmp_path / "state")
    layout.create()
    ports = Ports(layout.state / "ports.json")
    ports.choose(list(PORTS))
    return Context(layout, ports, Secrets(layout.state / "secrets.json"))


def test_every_need_stands_before_the_part_that_has_it() -> None:
    seen: set[str] = set()
    for part in PARTS:
        assert seen.issuperset(part.needs), part.name
        seen.add(part.name)


def test_a_named_part_brings_everything_below_it_and_nothing_else() -> None:
    assert [part.name for part in needed(["gateway"])] == ["cluster", "objects", "gateway"]


def test_no_name_means_every_part() -> None:
    assert needed([]) == PARTS


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PlatformError, match="no part is called redis; there are postgres, valkey"):
        needed(["redis"])


def test_no_running_service_gets_the_right_to_change_the_ledgers_tables(
    platform: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(OWNER_ONLY, raising=False)
    command = AirflowApi(platform).command()

    assert OWNER_ONLY in all_settings(platform)
    assert OWNER_ONLY not in product_settings(platform)
    assert OWNER_ONLY not in command.env
    assert platform.secrets["postgres-ledger_owner"] not in repr(command)


def test_a_setting_of_the_shell_wins(platform: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_OPS_CATALOG", "/elsewhere.yaml")

    assert product_settings(platform)["PLATFORM_OPS_CATALOG"] == "/elsewhere.yaml"


def test_an_exported_kubeconfig_reaches_no_part(platform: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/production.yaml")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")

    environment = platform.environment()
    assert "KUBECONFIG" not in environment
    assert "AIRFLOW__CORE__EXECUTOR" not in environment


def test_no_secret_stands_on_a_command_line(platform: Context) -> None:
    """Every user of the machine can read a command line."""
    commands = [part(platform).command() for part in PARTS]
    words = [word for command in commands if command for word in command.argv]
    values = [*Secrets(platform.layout.state / "secrets.json")._values.values()]

    assert len(values) > 10
    assert not [word for word in words for value in values if value in word]


def test_airflow_listens_on_loopback_with_secrets_of_its_own(platform: Context) -> None:
    settings = airflow_settings(platform)

    assert settings["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert len(settings["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS" not in settings


def test_scan_pods_are_started_with_a_kubeconfig_of_their_own(platform: Context) -> None:
    connection = airflow_settings(platform)["AIRFLOW_CONN_KUBERNETES_DEFAULT"]

    assert "/kube/scan.yaml" in connection
    assert "controller.yaml" not in connection


def test_environments_share_neither_keys_nor_databases_nor_a_part_of_the_cache(platform: Context) -> None:
    secrets = [secret_values(platform, environment) for environment in ENVIRONMENTS]

    for name in secrets[0]:
        assert len({values[name] for values in secrets}) == len(ENVIRONMENTS), name
    assert all("_owner" not in value for values in secrets for value in values.values())


def test_only_development_takes_the_key_that_the_services_documentation_names(platform: Context) -> None:
    takes = {
        environment: settings.DEVELOPMENT_KEY in secret_values(platform, environment)["ANALYZER_API_KEYS"]
        for environment in ENVIRONMENTS
    }

    assert takes == {"development": True, "staging": False, "production": False}


def test_the_services_secrets_are_what_their_templates_ask_for(platform: Context) -> None:
    templates = yaml.safe_load_all((CHECKOUT / "analyzer/deploy/secret.yaml").read_text())

    for template, values in zip(templates, (secret_values, migration_values), strict=True):
        assert list(values(platform, "production")) == list(template["stringData"])


def test_there_is_one_context_an_environment() -> None:
    assert ENVIRONMENTS == ("development", "staging", "production")
