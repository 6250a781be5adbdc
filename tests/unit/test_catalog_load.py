"""Bad catalogs are reported whole, each problem with its line and the nearest valid name."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_ops.catalog.fields import format_duration, parse_duration
from platform_ops.catalog.last_valid import canonical
from platform_ops.catalog.load import LAST_VALID, load, load_last_valid, load_text
from platform_ops.catalog.models import ENVIRONMENTS, Catalog, Profile
from platform_ops.catalog.profiles import with_profile
from platform_ops.catalog.strategy import Direct, Gradual
from platform_ops.core.errors import CatalogError, GateClosed, NotFound

ROOT = Path(__file__).parents[2]
CATALOGS = [ROOT / "include" / "config" / "services.yaml", ROOT / "astro" / "local" / "services.yaml"]

PEOPLE = {
    "developer": {"roles": ["developer"], "emails": ["developer@example.com"]},
    "qa": {"roles": ["qa"]},
    "senior1": {"roles": ["senior_developer"]},
    "senior2": {"roles": ["senior_developer"]},
    "devops": {"roles": ["devops"]},
}
MINIMAL: dict[str, Any] = {
    "roles": dict.fromkeys(("developer", "qa", "senior_developer", "devops"), "Has it."),
    "people": PEOPLE,
    "services": {
        "web": {
            "repository": "https://git.example.com/platform/web.git",
            "image": "ghcr.io/platform/web",
            "pages": {"slack": "#web-alerts"},
            "environments": {
                "development": {"url": "https://dev.web.example.com"},
                "staging": {
                    "url": "https://staging.web.example.com",
                    "approvals": {"quorum": {"qa": 1}, "requesters": ["developer"]},
                },
                "production": {
                    "url": "https://web.example.com",
                    "approvals": {
                        "quorum": {"senior_developer": 2, "devops": 1},
                        "requesters": ["developer"],
                    },
                },
            },
        }
    },
}
KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
Change = Callable[[dict[str, Any]], None]


def changed(*changes: Change) -> str:
    data = copy.deepcopy(MINIMAL)
    for change in changes:
        change(data)
    return yaml.safe_dump(data, sort_keys=False)


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(CatalogError) as found:
        load_text(text)
    return found.value.problems


def put(path: str, value: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for key in parents:
            data = data[key]
        data[last] = value

    return change


PRODUCTION = "services/web/environments/production"


@pytest.mark.parametrize("path", CATALOGS, ids=["product", "local"])
def test_the_committed_catalogs_are_valid_and_equal_in_their_services(path: Path) -> None:
    catalog = load(path)
    assert list(catalog.services) == ["llm-service", "fm-llm-solver"]
    assert Catalog.model_validate_json(canonical(catalog)) == catalog


def test_the_defaults_are_the_numbers_of_the_pipeline_guide() -> None:
    catalog = load_text(changed())
    entries = [catalog.environment("web", name) for name in ENVIRONMENTS]
    assert [entry.replicas for entry in entries] == [1, 2, 3]
    assert [entry.branch for entry in entries] == ["development", "staging", "main"]
    assert [catalog.target("web", name).namespace for name in ENVIRONMENTS] == [
        "web-dev",
        "web-staging",
        "web-prod",
    ]
    strategy = entries[2].strategy
    assert isinstance(entries[0].strategy, Direct)
    assert isinstance(strategy, Gradual)
    assert strategy.weights == (5, 25, 50, 100)
    assert (strategy.bake, strategy.warm) == (timedelta(minutes=5), timedelta(days=1))
    rules = entries[2].rollback
    assert (rules.error_rate.threshold, rules.error_rate.sustained) == (0.01, timedelta(minutes=2))
    assert (rules.latency.threshold, rules.latency.sustained) == (5.0, timedelta(minutes=3))
    assert (rules.health_checks.threshold, rules.health_checks.sustained) == (0.5, timedelta(minutes=1))
    assert (rules.memory.threshold, rules.memory.sustained) == (0.95, timedelta(minutes=2))


def test_a_hotfix_has_a_rule_of_its_own_that_a_profile_scales_too() -> None:
    text = changed(put(f"{PRODUCTION}/approvals/hotfix", {"quorum": {"devops": 1}, "wait_timer": "PT1M"}))
    catalog = load_text(text)
    rule = catalog.approval_rule("web", "production", hotfix=True)
    assert (rule.required, rule.expires) == ({"devops": 1}, timedelta(hours=2))
    assert catalog.approvals("web", "production", hotfix=True).requesters == ("developer",)
    half = catalog.model_copy(update={"profiles": {"fast": Profile(wait_timer=0.5)}})
    scaled = with_profile(half, "fast").approvals("web", "production", hotfix=True)
    assert scaled.wait_timer == timedelta(seconds=30)


def test_a_hotfix_needs_one_senior_developer_and_one_of_devops_and_no_wait() -> None:
    found = load(CATALOGS[0]).approvals("llm-service", "production", hotfix=True)
    assert found.quorum == {"senior_developer": 1, "devops": 1}
    assert (found.wait_timer, found.response_timeout) == (timedelta(0), timedelta(minutes=30))


@pytest.mark.parametrize(
    ("approvals", "problem"),
    [
        pytest.param(
            {"quorum": {"devops": 1}, "requesters": ["developer"], "wait_timer": "PT2H", "expires": "PT1H"},
            "approvals.expires: must be longer than wait_timer",
            id="votes-expire-before-the-start",
        ),
        pytest.param(
            {"quorum": {"devops": 1}, "requesters": ["developer"], "hotfix": {"quorum": {"devops": 2}}},
            "approvals.hotfix.quorum.devops: needs 2 of devops",
            id="hotfix-pool-too-small",
        ),
        pytest.param(
            {"quorum": {"devops": 1}, "requesters": ["developer"], "hotfix": {"quorum": {"devop": 1}}},
            "approvals.hotfix.quorum.devop: unknown role 'devop': did you mean 'devops'?",
            id="hotfix-role-unknown",
        ),
    ],
)
def test_approvals_that_could_never_let_anything_start(approvals: dict[str, Any], problem: str) -> None:
    (found,) = problems_of(changed(put(f"{PRODUCTION}/approvals", approvals)))
    assert problem in found


def test_approvals_that_nobody_states_are_those_of_the_guide() -> None:
    catalog = load(CATALOGS[0])
    found = [catalog.environment("llm-service", name).approvals for name in ENVIRONMENTS]
    assert [one.quorum for one in found] == [{}, {"qa": 1}, {"senior_developer": 2, "devops": 1}]
    assert [one.wait_timer for one in found] == [timedelta(0), timedelta(minutes=5), timedelta(minutes=10)]
    assert not any(one.self_review for one in found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            put(f"{PRODUCTION}/replcas", 3),
            "unknown key 'replcas': did you mean 'replicas'?",
            id="unknown-key",
        ),
        pytest.param(
            put(f"{PRODUCTION}/strategy", {"kind": "gradual", "bakes": "PT5M"}),
            "strategy.bakes: unknown key 'bakes': did you mean 'bake'?",
            id="unknown-key-inside-a-strategy",
        ),
        pytest.param(put(f"{PRODUCTION}/replicas", "many"), "valid integer", id="wrong-type"),
        pytest.param(put("services/web", 3), "services.web: must be a mapping", id="not-a-mapping"),
        pytest.param(
            put(f"{PRODUCTION}/strategy", {"kind": "gradul"}),
            "unknown kind 'gradul': did you mean 'gradual'?",
            id="unknown-strategy",
        ),
        pytest.param(
            put(f"{PRODUCTION}/strategy", {"kind": "gradual", "router": "service"}),
            "strategy.router: the selector of a Service moves all traffic at once",
            id="shares-by-a-selector",
        ),
        pytest.param(
            put(f"{PRODUCTION}/strategy", {"kind": "direct", "router": "servise"}),
            "unknown router 'servise': did you mean 'service'?",
            id="unknown-router",
        ),
        pytest.param(
            put(f"{PRODUCTION}/strategy", {"kind": "gradual", "weights": [5, 50, 25, 100]}),
            "weights [5, 50, 25, 100] must rise",
            id="weights-that-fall",
        ),
        pytest.param(
            put(f"{PRODUCTION}/strategy", {"kind": "gradual", "weights": [5, 25, 50]}),
            "weights [5, 25, 50] must end at 100",
            id="weights-that-do-not-end-at-100",
        ),
        pytest.param(
            put(f"{PRODUCTION}/approvals/wait_timer", 5),
            "5 is no ISO 8601 duration; write the unit",
            id="duration-without-unit",
        ),
        pytest.param(
            put(f"{PRODUCTION}/approvals/wait_timer", "5m"),
            "'5m' is no ISO 8601 duration",
            id="duration-of-another-language",
        ),
        pytest.param(
            put("roles/security", "Reads the report."), "nobody has the role security", id="empty-role"
        ),
        pytest.param(
            put(f"{PRODUCTION}/approvals/quorum", {"senior_develper": 2}),
            "unknown role 'senior_develper': did you mean 'senior_developer'?",
            id="unknown-role",
        ),
        pytest.param(
            put(f"{PRODUCTION}/approvals/quorum", {"devops": 0}),
            "needs at least 1 person",
            id="quorum-of-none",
        ),
        pytest.param(
            put(f"{PRODUCTION}/approvals/quorum/devops", 2),
            "needs 2 of devops, which is 2 people; there are 1: devops",
            id="pool-too-small",
        ),
        pytest.param(
            put("people/senior1/emails", ["senior1@example.com"]),
            "needs 2 of senior_developer besides an author from among them, which is 3 people",
            id="pool-too-small-with-an-author",
        ),
        pytest.param(
            put(f"{PRODUCTION}/approvals/requesters", []),
            "besides a requester from among them",
            id="pool-too-small-with-a-requester",
        ),
        pytest.param(
            put("people/senior2/roles", ["senior_developer", "devops"]),
            None,
            id="dual-role-person-beside-enough-others",
        ),
        pytest.param(
            put("people/qa/emails", ["developer@example.com"]),
            "already belongs to developer",
            id="address-of-two-people",
        ),
        pytest.param(
            put(f"{PRODUCTION}/url", "https://dev.web.example.com"),
            "is already that of services.web.environments.development.url",
            id="host-of-two-routes",
        ),
        pytest.param(put(f"{PRODUCTION}/url", "web.example.com"), "is no URL", id="url-without-scheme"),
        pytest.param(
            put("services/web/image", "ghcr.io/a/b:1.0"), "neither tag nor digest", id="tagged-image"
        ),
        pytest.param(
            put(f"{PRODUCTION}/checks", [{"path": "/x", "secret_headers": {"X-API-KEY": "hunter2"}}]),
            "never the value itself",
            id="secret-in-the-catalog",
        ),
        pytest.param(
            put(f"{PRODUCTION}/checks", [{"path": "/x", "body": {}}]), "set method: POST", id="get-with-body"
        ),
        pytest.param(
            put(f"{PRODUCTION}/rollback", {"error_rate": {"query": "errors{c='$color'}"}}),
            "is no placeholder",
            id="unknown-placeholder",
        ),
        pytest.param(
            put(f"{PRODUCTION}/resources", {"requests": {"cpu": "half", "memory": "1Gi"}}),
            "is no Kubernetes quantity",
            id="quantity",
        ),
        pytest.param(lambda data: data.pop("people"), "people: is required", id="missing-key"),
        pytest.param(put("people/qa/signing_keys", ["ssh-dss AAAA"]), "is no public ssh key", id="no-key"),
        pytest.param(
            lambda data: [put(f"people/{user}/signing_keys", [KEY])(data) for user in ("developer", "qa")],
            "is already that of people.developer",
            id="key-of-two",
        ),
        pytest.param(
            put("service_identity", {"email": "Developer@example.com"}),
            "belongs to developer; give the service an address of its own",
            id="service-is-a-person",
        ),
        pytest.param(
            put(f"{PRODUCTION}/branch", "staging"),
            "the branch staging is already that of services.web.environments.staging",
            id="one-branch-for-two",
        ),
        pytest.param(
            put(f"{PRODUCTION}/signed_commits", "sometimes"), "signed_commits", id="signed-sometimes"
        ),
        pytest.param(put(f"{PRODUCTION}/signed_commits", False), None, id="off-as-yaml-reads-it"),
        pytest.param(
            put("services/Web_1", MINIMAL["services"]["web"]), "must be small letters", id="service-name"
        ),
    ],
)
def test_each_mistake_is_said_where_it_stands(change: Change, said: str | None) -> None:
    if said is None:
        load_text(changed(change))
        return
    assert any(said in problem for problem in problems_of(changed(change))), problems_of(changed(change))


def test_a_person_with_two_roles_cannot_fill_two_seats() -> None:
    text = changed(
        put("people/senior1/roles", ["senior_developer", "devops"]),
        lambda data: data["people"].pop("devops"),
    )
    assert any("would have to vote twice" in problem for problem in problems_of(text))


def test_everything_is_reported_at_once_with_its_line() -> None:
    text = changed(
        put(f"{PRODUCTION}/replcas", 3),
        put(f"{PRODUCTION}/approvals/quorum/devops", 5),
        put("roles/security", "Reads the report."),
        put("services/api", 3),
        lambda data: data["services"]["web"].pop("repository"),
    )
    found = problems_of(text)
    lines = text.splitlines()
    assert len(found) == 5
    for problem in found:
        file, line, key, _ = problem.split(":", 3)
        name = key.strip().rpartition(".")[2]
        where = lines[int(line) - 1]
        assert file == "services.yaml"
        assert f"{name}:" in where or "web:" in where, (problem, where)
    assert [int(problem.split(":")[1]) for problem in found] == sorted(
        int(problem.split(":")[1]) for problem in found
    )


def test_a_service_that_stands_twice_is_named_with_both_lines() -> None:
    text = changed() + "  web:\n    image: ghcr.io/platform/web\n"
    line = len(changed().splitlines()) + 1
    first = next(number for number, row in enumerate(text.splitlines(), 1) if row == "  web:")
    assert problems_of(text) == (
        f"services.yaml:{line}: services.web: stands here and in line {first}; keep one",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "services.yaml:1: services: is required", id="empty"),
        pytest.param("- a\n- b\n", "must be a mapping", id="a-list"),
        pytest.param("a: [1,\nb: 2\n", "is no valid YAML", id="broken"),
        pytest.param("a: " + "[" * 10**5 + "]" * 10**5, "nested more than 100 levels", id="very-deep"),
        pytest.param("a: *nothing\n", "undefined alias", id="unknown-alias"),
        pytest.param("a: !!python/object:os.system x\n", "is no valid YAML", id="a-python-object"),
    ],
)
def test_what_is_no_catalog_at_all_is_reported_in_the_same_form(text: str, said: str) -> None:
    assert any(said in problem for problem in problems_of(text))


def test_a_broken_edit_leaves_the_last_valid_catalog_in_force(tmp_path: Path) -> None:
    file, state = tmp_path / "services.yaml", tmp_path / "state"
    file.write_text(changed())
    good = load_last_valid(file, state)
    assert good.problems == ()
    file.write_text(changed(put(f"{PRODUCTION}/replcas", 3)))
    broken = load_last_valid(file, state)
    assert broken.value == good.value
    assert len(broken.problems) == 1
    file.write_text(changed(put(f"{PRODUCTION}/replicas", 5)))
    repaired = load_last_valid(file, state)
    assert (repaired.value.environment("web", "production").replicas, repaired.problems) == (5, ())


def test_a_broken_first_catalog_and_a_broken_copy_are_errors(tmp_path: Path) -> None:
    file, state = tmp_path / "services.yaml", tmp_path / "state"
    file.write_text("services: {}\n")
    with pytest.raises(CatalogError):
        load_last_valid(file, state)
    state.mkdir()
    (state / LAST_VALID).write_text('{"written": "by another version"}')
    with pytest.raises(CatalogError):
        load_last_valid(file, state)


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="set PLATFORM_OPS_CATALOG"):
        load(tmp_path / "nothing.yaml")


def test_a_profile_scales_waits_and_sizes_but_never_what_is_judged() -> None:
    catalog = load(CATALOGS[1])
    scaled = with_profile(catalog, "local")
    before, after = (one.environment("llm-service", "production") for one in (catalog, scaled))
    assert isinstance(before.strategy, Gradual)
    assert isinstance(after.strategy, Gradual)
    assert after.approvals.wait_timer == timedelta(seconds=10)
    assert after.strategy.bake == timedelta(seconds=10)
    assert timedelta(minutes=9) < after.strategy.warm < timedelta(minutes=11)
    assert (after.replicas, after.resources.limits.memory) == (2, "512Mi")
    assert after.rollback == before.rollback
    assert after.strategy.step_hold == before.strategy.step_hold
    assert after.approvals.response_timeout == before.approvals.response_timeout
    with pytest.raises(NotFound, match="did you mean 'local'"):
        with_profile(catalog, "locl")


def test_authors_are_people_and_a_stranger_closes_the_gate() -> None:
    catalog = load_text(changed())
    assert catalog.users_of(["Developer@Example.com"]) == {"developer"}
    with pytest.raises(GateClosed, match=r"nobody in the catalog owns who@else\.example\.com"):
        catalog.users_of(["developer@example.com", "who@else.example.com"])


def test_what_a_later_environment_requires_is_verified_from_the_first_on() -> None:
    def required(*changes: Change) -> list[bool]:
        catalog = load_text(changed(*changes))
        return [catalog.signatures_required("web", name) for name in ENVIRONMENTS]

    production, staging = f"{PRODUCTION}/signed_commits", "services/web/environments/staging/signed_commits"
    assert required() == [True, True, True]
    assert required(put(production, "off")) == [False, False, False]
    assert required(put(production, "off"), put(staging, "required")) == [True, True, False]


def test_a_key_signs_for_the_addresses_of_its_person_and_the_service_for_its_own() -> None:
    other = KEY.replace("AAAA=", "AAAB=") if "AAAA=" in KEY else KEY[:-4] + "AAAB"
    identity = put("service_identity", {"email": "ops@example.com", "signing_keys": [other]})
    catalog = load_text(changed(put("people/developer/signing_keys", [KEY]), identity))
    assert [signer.addresses for signer in catalog.signers()] == [
        ("developer@example.com",),
        ("ops@example.com",),
    ]


def test_only_people_of_a_requesting_role_may_ask() -> None:
    catalog = load_text(changed())
    catalog.require_requester("web", "production", "developer")
    for user in ("senior1", "platform-ops"):
        with pytest.raises(GateClosed, match="sign in as one of them"):
            catalog.require_requester("web", "production", user)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("PT0S", timedelta(0), id="nothing"),
        pytest.param("PT30S", timedelta(seconds=30), id="seconds"),
        pytest.param("PT0.5S", timedelta(milliseconds=500), id="half-a-second"),
        pytest.param("PT10M", timedelta(minutes=10), id="minutes"),
        pytest.param("P1D", timedelta(days=1), id="a-day"),
        pytest.param("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4), id="all"),
    ],
)
def test_durations_are_read_and_written_alike(text: str, value: timedelta) -> None:
    assert parse_duration(text) == value
    assert format_duration(value) == text


@pytest.mark.parametrize("text", ["P", "PT", "P1M", "P1Y", "-PT5S", "PT5", "5", 5, None, "PT1H "])
def test_other_durations_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="write the unit"):
        parse_duration(text)
