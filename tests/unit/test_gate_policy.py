"""The gate policy and the catalog's gates: the guides' sets, and errors that name file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from test_catalog_load import MINIMAL, changed

from platform_ops.catalog.load import load_text
from platform_ops.catalog.policy import LAST_VALID, load_last_valid_policy, load_policy
from platform_ops.core.errors import CatalogError
from platform_ops.core.gates import GATES, IN_PODS

POLICY = Path(__file__).parents[2] / "include/config/gate-policy.yaml"
LEAST = 'version: "1"\nevery_environment: [source, image]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "gate-policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(CatalogError) as broken:
        load_policy(written(folder, text))
    return [problem.removeprefix(f"{folder}/") for problem in broken.value.problems]


def test_the_projects_policy_asks_for_what_the_guides_ask_for() -> None:
    policy = load_policy(POLICY)
    development, staging, production = (
        policy.required(environment) for environment in ("development", "staging", "production")
    )
    assert {"format", "imports", "lint", "types", "unit", "source", "image"} <= set(development.gates)
    assert set(staging.gates) - set(development.gates) == {"integration", "api", "incidents"}
    assert set(production.gates) - set(staging.gates) == {"coverage", "staging"}
    assert set(production.gates) == set(GATES)
    assert production.minimum_coverage == 80
    assert set(development.advisory) < set(staging.advisory) < set(production.advisory)
    assert all(policy.limit(gate).total_seconds() > 0 for gate in IN_PODS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            LEAST + "production_only: [coverege]\n",
            "3: production_only: unknown gate 'coverege': did you mean 'coverage'?",
        ),
        (LEAST + "minimum_coverage: 100\n", "3: minimum_coverage: input should be less than 100, not 100"),
        (LEAST + "minimum_coverge: 80\n", "3: minimum_coverge: unknown key 'minimum_coverge': did you mean"),
        (LEAST + "staging_and_later: [image]\n", "1: catalog: image: required twice"),
        (LEAST + "time_limits: {source: PT1M}\n", "3: time_limits: unknown gate 'source'"),
        (
            'version: "1"\nevery_environment: [image]\n',
            "1: catalog: every_environment must hold source and image",
        ),
        (
            LEAST + "not_run:\n  image: {scope: every_environment, reason: because nobody has the time}\n",
            "1: catalog: image: both required and under not_run",
        ),
        (
            LEAST + "not_run:\n  windows:\n    scope: every_environment\n    reason: later\n",
            "6: not_run.windows.reason",
        ),
        (
            LEAST + "not_run:\n  windows: {scope: stagin, reason: no such machine is here}\n",
            "4: not_run.windows.scope",
        ),
        ("every_environment: [source, image]\n", "1: version: is required"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(f"gate-policy.yaml:{expected}")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, LEAST + "time_limit: 5\nminimum_coverage: much\nnot_run: [a]\n")) == 3


def test_a_broken_edit_leaves_the_last_valid_policy(tmp_path: Path) -> None:
    state = tmp_path / "state"
    good = load_last_valid_policy(written(tmp_path, LEAST), state)
    assert (good.problems, (state / LAST_VALID).exists()) == ((), True)
    broken = load_last_valid_policy(written(tmp_path, LEAST + "nonsense: 1\n"), state)
    assert broken.value == good.value
    assert "nonsense" in broken.problems[0]


def freeze(**entry: str) -> str:
    def change(data: dict[str, object]) -> None:
        data["services"]["web"]["environments"]["production"]["freeze"] = [{"name": "ice", **entry}]  # type: ignore[index]

    return changed(change)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"begins": "Fri 16:00", "ends": "Mon 08:00", "zone": "Europe/Berln"},
            "did you mean 'Europe/Berlin'?",
        ),
        ({"begins": "Friday 16:00", "ends": "Mon 08:00", "zone": "UTC"}, "neither a date and time"),
        ({"begins": "Fri 16:00", "ends": "2026-12-01 08:00", "zone": "UTC"}, "must both be"),
        ({"begins": "2026-12-02 08:00", "ends": "2026-12-01 08:00", "zone": "UTC"}, "ends before it begins"),
    ],
)
def test_a_freeze_window_that_makes_no_sense_is_named_with_its_line(
    entry: dict[str, str], words: str
) -> None:
    text = freeze(**entry)
    with pytest.raises(CatalogError) as broken:
        load_text(text)
    (problem,) = broken.value.problems
    assert "services.web.environments.production.freeze[0]" in problem
    assert words in problem


def test_a_freeze_window_in_the_catalog_is_one_of_the_core() -> None:
    catalog = load_text(freeze(begins="Fri 16:00", ends="Mon 08:00", zone="Europe/Berlin"))
    (window,) = catalog.environment("web", "production").freeze
    assert window.window().begins.weekly


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ({"format": "yapf"}, "unknown format 'yapf'"),
        ({"paths": ["../other"]}, "must lie in the service's tree"),
        ({"unit": []}, "must not be empty"),
    ],
)
def test_a_services_gates_are_checked(gates: dict[str, object], words: str) -> None:
    data = yaml.safe_load(yaml.safe_dump(MINIMAL))
    data["services"]["web"]["gates"] = gates
    with pytest.raises(CatalogError, match=words):
        load_text(yaml.safe_dump(data))
