"""Batches, texts, training, versions, experiments, keys, limits: as a client meets them, in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

import analyzer_shapes as shapes
import httpx
import pytest
from analyzer_clients import KEYS, SETTINGS, UNSURE, eventually, trained, training_rows, unsure_values
from analyzer_servers import running

from analyzer.service.app import create_app
from analyzer.settings import key_digest

BUILTIN = create_app(SETTINGS).state.runtime.registry.builtin


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(SETTINGS)) as made:
        yield made


async def post(client: httpx.AsyncClient, path: str, body: object) -> httpx.Response:
    return await client.post(path, json=body, headers=KEYS)


async def test_a_batch_has_a_verdict_for_each_value_in_their_order(client: httpx.AsyncClient) -> None:
    token = shapes.with_checksum("ghp")
    items = [{"secret_value": "a"}, {"secret_value": token}, {"secret_value": "b"}]
    results = (await post(client, "/analyze/batch", {"items": items})).json()["results"]
    assert [result["is_secret"] for result in results] == [False, True, False]
    single = (await post(client, "/analyze", {"secret_value": token})).json()
    assert results[1] == single


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_a_size(client: httpx.AsyncClient, count: int) -> None:
    answer = await post(client, "/analyze/batch", {"items": [{"secret_value": "a"}] * count})
    assert answer.status_code == 422


async def test_findings_in_a_text_have_their_span_and_no_value(client: httpx.AsyncClient) -> None:
    token, other = shapes.with_checksum("ghp"), shapes.with_checksum("npm")
    text = f"ä = 1\nñ😀 = '{token}'\nplain\n{other}"
    answer = await post(client, "/analyze/text", {"text": text})
    spans = [
        (f["secret_type"], f["line"], f["column"], f["end_line"], f["end_column"])
        for f in answer.json()["findings"]
    ]
    assert spans == [
        ("GitHub Token", 2, 7, 2, 7 + len(token)),
        ("npm Token", 4, 1, 4, 1 + len(other)),
    ]
    lines = text.split("\n")
    assert lines[1][6 : 6 + len(token)] == token
    assert token not in answer.text
    assert other not in answer.text


async def test_more_findings_than_are_listed_are_mentioned(client: httpx.AsyncClient) -> None:
    text = "\n".join(shapes.with_checksum("ghp") for _ in range(1001))
    body = (await post(client, "/analyze/text", {"text": text})).json()
    assert (len(body["findings"]), body["truncated"]) == (1000, True)


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/analyze", 70_000, 413),
        ("/analyze/text", 70_000, 200),
        ("/analyze/text", 1_100_000, 413),
        ("/analyze/batch", 1_100_000, 413),
        ("/train", 1_100_000, 422),
        ("/train", 4_300_000, 413),
        ("/no/such/path", 70_000, 413),
    ],
)
async def test_each_path_has_its_body_limit(
    client: httpx.AsyncClient, path: str, size: int, status: int
) -> None:
    assert (await post(client, path, {"text": "a " * (size // 2)})).status_code == status


async def test_the_second_time_a_verdict_comes_from_the_cache(client: httpx.AsyncClient) -> None:
    body = {"secret_value": "some value", "context": "a", "variable_name": "b"}
    first = await post(client, "/analyze", body)
    second = await post(client, "/analyze", body)
    await post(client, "/analyze", body | {"context": "another"})
    assert first.json() == second.json()
    metrics = (await client.get("/metrics")).text
    assert "llm_cache_hits_total 1.0" in metrics
    assert "llm_cache_misses_total 2.0" in metrics
    assert (await client.get("/stats", headers=KEYS)).json()["cache"] == {"hits": 1, "misses": 2}


async def test_a_job_makes_a_candidate_that_serves_only_when_it_is_chosen(client: httpx.AsyncClient) -> None:
    body = next(unsure_values())
    before = (await post(client, "/analyze", body)).json()
    await trained(client, "billing-1")
    assert (await post(client, "/analyze", body)).json() == before
    listed = (await client.get("/versions", headers=KEYS)).json()
    assert [v["name"] for v in listed["versions"]] == [BUILTIN, "billing-1"]
    chosen = await post(client, "/versions/activate", {"version": "billing-1"})
    assert (chosen.status_code, chosen.json()["active"]) == (200, "billing-1")
    after = (await post(client, "/analyze", body)).json()
    assert (before["is_secret"], after["is_secret"]) == (False, True)
    assert after["model_version"] == "billing-1"
    assert (await client.get("/version")).json()["model_version"] == "billing-1"
    await post(client, "/versions/activate", {"version": BUILTIN})
    assert (await post(client, "/analyze", body)).json() == before


async def test_a_job_tells_its_figures(client: httpx.AsyncClient) -> None:
    begun = (await post(client, "/train", {"rows": training_rows()})).json()
    assert begun["status"] == "queued"
    job = await eventually(
        lambda: client.get(f"/train/{begun['id']}", headers=KEYS), lambda body: body["status"] == "succeeded"
    )
    assert job["version"] == f"candidate-{begun['id'].replace('-', '')[:12]}"
    assert job["figures"]["log_loss"] < job["figures"]["log_loss_engine"]
    assert job["rows"] == 200


async def test_a_job_that_gains_nothing_fails_with_a_sentence_and_makes_no_version(
    client: httpx.AsyncClient,
) -> None:
    rows = [row | {"is_secret": number % 7 in (0, 3, 4)} for number, row in enumerate(training_rows())]
    begun = (await post(client, "/train", {"rows": rows, "name": "by-lot"})).json()
    job = await eventually(
        lambda: client.get(f"/train/{begun['id']}", headers=KEYS), lambda body: body["status"] == "failed"
    )
    assert "no gain" in job["problem"] or "opposite" in job["problem"]
    assert (await client.get("/versions/by-lot/document", headers=KEYS)).status_code == 404


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        pytest.param(
            [*training_rows(), training_rows()[0] | {"is_secret": False}], "both labels", id="poisoned"
        ),
        pytest.param([r for r in training_rows() if r["is_secret"]], "is_secret=false", id="a-class-missing"),
        pytest.param(training_rows(4) * 1251, "", id="too-many"),
        pytest.param([], "", id="none"),
    ],
)
async def test_hostile_rows_are_refused_at_once(
    client: httpx.AsyncClient, rows: list[dict[str, object]], sentence: str
) -> None:
    answer = await post(client, "/train", {"rows": rows})
    assert answer.status_code == 422
    assert sentence in str(answer.json()["detail"])
    assert not [row for row in rows if str(row["secret_value"]) in answer.text]


async def test_a_document_moves_to_another_service(client: httpx.AsyncClient) -> None:
    document = await trained(client, "billing-1")
    async with running(create_app(SETTINGS)) as other:
        made = await post(other, "/versions/create", {"name": "imported", "model": document})
        assert (made.status_code, made.json()["source"]) == (201, "upload")
        again = await post(other, "/versions/create", {"name": "imported", "model": document})
        assert (again.status_code, again.json()["detail"]) == (
            409,
            "a version named 'imported' exists already",
        )
        assert (await other.get("/versions/imported/document", headers=KEYS)).json()["model"] == document


async def test_a_corrupt_or_too_new_model_is_refused_and_what_serves_goes_on(
    client: httpx.AsyncClient,
) -> None:
    document = await trained(client, "billing-1")
    for bad, sentence in (
        (document | {"format": 9}, "newer than this service reads"),
        (document | {"weights": document["weights"][:3]}, "needs"),
        (document | {"base": "other"}, "another engine version"),
        ({}, "format"),
    ):
        answer = await post(client, "/versions/create", {"name": "bad", "model": bad})
        assert answer.status_code == 422
        assert sentence in answer.json()["detail"]
    listed = (await client.get("/versions", headers=KEYS)).json()
    assert (listed["active"], len(listed["versions"])) == (BUILTIN, 2)


async def test_the_name_of_the_builtin_version_is_taken(client: httpx.AsyncClient) -> None:
    document = await trained(client, "billing-1")
    assert (await post(client, "/versions/create", {"name": BUILTIN, "model": document})).status_code == 409
    assert (await post(client, "/train", {"rows": training_rows(), "name": BUILTIN})).status_code == 409


ARMS = {"arms": [{"version": BUILTIN, "weight": 1}, {"version": "billing-1", "weight": 3}]}


async def test_an_experiment_is_watched_in_the_statistics_and_ends_in_a_promotion(
    client: httpx.AsyncClient,
) -> None:
    await trained(client, "billing-1")
    assert (await post(client, "/ab/enable", ARMS)).status_code == 201
    assert (await post(client, "/ab/enable", ARMS)).status_code == 409
    bodies = list(islice(unsure_values(), 200))
    first = [(await post(client, "/analyze", body)).json()["model_version"] for body in bodies]
    again = [(await post(client, "/analyze", body)).json()["model_version"] for body in reversed(bodies)]
    assert first == again[::-1]
    elsewhere = [
        (await post(client, "/analyze", body | {"context": "elsewhere"})).json()["model_version"]
        for body in bodies
    ]
    assert first == elsewhere
    assert 120 <= first.count("billing-1") <= 180
    experiment = (await client.get("/stats", headers=KEYS)).json()["experiment"]
    arms = {arm["version"]: arm for arm in experiment["arms"]}
    assert arms["billing-1"]["verdicts"] == 3 * first.count("billing-1")
    assert arms[BUILTIN]["verdicts"] == 3 * first.count(BUILTIN)
    assert arms[BUILTIN]["secrets"] == 0
    assert arms["billing-1"]["secrets"] > 0
    assert (await client.get("/ab", headers=KEYS)).json() == experiment
    ended = await post(client, "/ab/promote", {"version": "billing-1"})
    assert (ended.status_code, ended.json()["promoted"]) == (200, "billing-1")
    assert (await client.get("/ab", headers=KEYS)).status_code == 404
    assert {(await post(client, "/analyze", body)).json()["model_version"] for body in bodies[:20]} == {
        "billing-1"
    }


async def test_an_experiment_that_ends_leaves_what_served_before(client: httpx.AsyncClient) -> None:
    await trained(client, "billing-1")
    assert (await post(client, "/ab/end", {})).status_code == 409
    await post(client, "/ab/enable", ARMS)
    assert (await post(client, "/ab/end", {})).json()["promoted"] is None
    assert (await client.get("/versions", headers=KEYS)).json()["active"] == BUILTIN


@pytest.mark.parametrize(
    ("arms", "status"),
    [
        pytest.param([(BUILTIN, 1), ("nobody", 1)], 404, id="unknown"),
        pytest.param([(BUILTIN, 1), (BUILTIN, 1)], 409, id="twice"),
        pytest.param([(BUILTIN, 1)], 422, id="one-arm"),
        pytest.param([(BUILTIN, 0), ("nobody", 1)], 422, id="no-weight"),
        pytest.param([(BUILTIN, 1), ("No/Body", 1)], 422, id="no-name"),
    ],
)
async def test_an_experiment_of_what_is_not_there_is_refused(
    client: httpx.AsyncClient, arms: list[tuple[str, int]], status: int
) -> None:
    body = {"arms": [{"version": version, "weight": weight} for version, weight in arms]}
    answer = await post(client, "/ab/enable", body)
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert (await client.get("/ab", headers=KEYS)).status_code == 404


async def test_only_an_arm_can_be_promoted(client: httpx.AsyncClient) -> None:
    assert (await post(client, "/ab/promote", {"version": BUILTIN})).status_code == 409
    await trained(client, "billing-1")
    await trained(client, "billing-2")
    await post(client, "/ab/enable", ARMS)
    assert (await post(client, "/ab/promote", {"version": "billing-2"})).status_code == 409
    assert (await post(client, "/versions/activate", {"version": "billing-2"})).status_code == 409


async def new_key(client: httpx.AsyncClient, *scopes: str, **more: int) -> dict[str, str]:
    body = {"client": "shop", "scopes": list(scopes), **more}
    answer = await post(client, "/keys", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


async def test_a_key_opens_what_its_scopes_say(client: httpx.AsyncClient) -> None:
    header = {"X-API-KEY": (await new_key(client, "analyze"))["key"]}
    assert (await client.post("/analyze", json={"secret_value": "a"}, headers=header)).status_code == 200
    assert (await client.get("/stats", headers=header)).status_code == 200
    for path, body in (
        ("/train", {"rows": training_rows()}),
        ("/versions/create", {"name": "a", "model": {}}),
        ("/ab/enable", ARMS),
        ("/keys", {"client": "me", "scopes": ["admin"]}),
    ):
        assert (await client.post(path, json=body, headers=header)).status_code == 403


async def test_a_key_is_rotated_without_a_gap_and_revoked_at_once(client: httpx.AsyncClient) -> None:
    old = await new_key(client, "analyze")
    new = (await post(client, f"/keys/{old['id']}/rotate", {})).json()
    assert (new["client"], new["scopes"]) == ("shop", ["analyze"])

    async def status(key: str) -> int:
        answer = await client.post("/analyze", json={"secret_value": "a"}, headers={"X-API-KEY": key})
        return answer.status_code

    assert [await status(old["key"]), await status(new["key"])] == [200, 200]
    assert (await post(client, f"/keys/{new['id']}/rotate", {})).status_code == 409
    assert (await client.delete(f"/keys/{old['id']}", headers=KEYS)).status_code == 204
    assert [await status(old["key"]), await status(new["key"])] == [401, 200]
    await client.get("/stats", headers=KEYS)
    listed = (await client.get("/keys", headers=KEYS)).json()["keys"]
    assert [key["last_used_at"] is not None for key in listed] == [True, True]
    assert old["key"] not in str(listed)
    assert "digest" not in str(listed)


async def test_a_key_ends_with_its_overlap() -> None:
    async with running(create_app(replace(SETTINGS, key_overlap=timedelta(0)))) as client:
        old = await new_key(client, "analyze")
        await post(client, f"/keys/{old['id']}/rotate", {})
        answer = await client.post("/analyze", json={"secret_value": "a"}, headers={"X-API-KEY": old["key"]})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "end",
    [
        "2001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2099-01-01T00:00:00",
        "0001-01-01T00:00:00+23:59",
        "soon",
    ],
)
async def test_a_key_with_a_senseless_end_is_refused(client: httpx.AsyncClient, end: str) -> None:
    body = {"client": "shop", "scopes": ["analyze"], "expires_at": end}
    assert (await post(client, "/keys", body)).status_code == 422


async def test_a_key_may_be_made_for_a_time(client: httpx.AsyncClient) -> None:
    made = await new_key(client, "train", days=2)
    lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lifetime == timedelta(days=2)


async def test_a_key_of_the_settings_without_admin_rights_only_analyses() -> None:
    app = create_app(replace(SETTINGS, admin_key_digests=frozenset({key_digest("admin")})))
    async with running(app) as client:
        assert (await post(client, "/analyze", {"secret_value": "a"})).status_code == 200
        assert (await client.get("/keys", headers=KEYS)).status_code == 403
        assert (await client.get("/keys", headers={"X-API-KEY": "admin"})).status_code == 200


async def test_each_key_has_its_rate_and_is_told_of_it() -> None:
    settings = replace(SETTINGS, rate_limit="5/minute", admin_key_digests=frozenset({key_digest("admin")}))
    async with running(create_app(settings)) as client:
        first = await post(client, "/analyze", {"secret_value": "a"})
        assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("5", "4")
        assert first.headers["ratelimit-policy"] == "5;w=60"
        assert 1 <= int(first.headers["ratelimit-reset"]) <= 60
        batch = {"items": [{"secret_value": "a"}] * 4}
        assert (await post(client, "/analyze/batch", batch)).headers["ratelimit-remaining"] == "0"
        refused = await post(client, "/analyze", {"secret_value": "a"})
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await client.get("/stats", headers={"X-API-KEY": "admin"})).status_code == 200
        assert (await client.get("/health")).status_code == 200


async def test_the_documentation_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    for path in ("/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css", "/openapi.json"):
        assert path in page.text
        asset = await client.get(path)
        assert asset.status_code == 200
        assert len(asset.content) > 1000
    assert "script-src 'self' 'sha256-" in page.headers["content-security-policy"]


async def test_a_method_that_a_path_has_not_is_told_the_others(client: httpx.AsyncClient) -> None:
    answer = await client.put("/keys", headers=KEYS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_every_answer_has_security_headers(client: httpx.AsyncClient) -> None:
    for answer in (await client.get("/health"), await client.get("/none"), await client.post("/analyze")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_the_detailed_health_names_each_part_with_its_time(client: httpx.AsyncClient) -> None:
    body = (await client.get("/health/detailed")).json()
    assert body["status"] == "healthy"
    for part in ("model", "cache", "database", "queue"):
        assert body["checks"][part]["status"] == "healthy"
        assert body["checks"][part]["seconds"] >= 0


async def test_the_statistics_add_up(client: httpx.AsyncClient) -> None:
    for value in (shapes.with_checksum("ghp"), shapes.with_checksum("npm"), "a", "b", "b"):
        await post(client, "/analyze", {"secret_value": value, **UNSURE})
    stats = (await client.get("/stats", headers=KEYS)).json()
    assert (stats["verdicts"], stats["secrets"], stats["pending"]) == (5, 2, 0)
    assert stats["by_secret_type"] == {"GitHub Token": 1, "npm Token": 1}
    assert stats["versions"][0]["verdicts"] == 5
    assert (stats["scope"], stats["degraded"]) == ("this process", False)
