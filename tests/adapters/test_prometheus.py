"""Metrics against a real Prometheus that scrapes itself or nothing; broken answers by a transport."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from conftest import Servers

from platform_ops.adapters.gathered_metrics import GatheredMetrics
from platform_ops.adapters.prometheus import PrometheusMetrics
from platform_ops.core.errors import Refused, Unavailable
from platform_ops.core.ports import Metrics, Point, Series
from platform_ops.core.triggers import Trigger, default_triggers, promql

STEP = timedelta(seconds=1)
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=[lambda direct: direct, GatheredMetrics], ids=["direct", "gathered"])
def metrics(request: pytest.FixtureRequest, http: httpx.AsyncClient, servers: Servers) -> Metrics:
    made: Metrics = request.param(PrometheusMetrics(http, servers["PROMETHEUS_URL"]))
    return made


async def test_a_range_is_its_points_in_order(metrics: Metrics) -> None:
    series = await metrics.range("vector(2) * 3", AT, AT + 2 * STEP, STEP)
    assert series == (Series(tuple(Point(AT + number * STEP, 6.0) for number in range(3))),)


async def test_every_series_comes_with_its_labels(metrics: Metrics) -> None:
    both = 'label_replace(vector(1), "pod", "a", "", "") or label_replace(vector(2), "pod", "b", "", "")'
    series = await metrics.range(both, AT, AT, STEP)
    assert {one.labels["pod"]: one.points[-1].value for one in series} == {"a": 1.0, "b": 2.0}
    assert all(set(one.labels) == {"pod"} for one in series)


@pytest.mark.parametrize("trigger", default_triggers(), ids=lambda trigger: trigger.name)
async def test_prometheus_understands_the_queries_of_every_trigger(
    metrics: Metrics, trigger: Trigger
) -> None:
    for expression in (trigger.expression, trigger.count):
        asked = promql(expression, namespace="n", service="s", colour="blue", window=trigger.sustained)
        assert await metrics.range(asked, AT, AT + STEP, STEP) == ()


async def test_an_instant_is_one_value(metrics: Metrics) -> None:
    assert await metrics.instant("vector(0.25)", AT) == 0.25
    assert await metrics.instant("4", AT) == 4.0


async def test_no_series_is_no_data_and_not_zero(metrics: Metrics) -> None:
    assert await metrics.range("nobody_exports_this", AT, AT + STEP, STEP) == ()
    assert await metrics.instant("nobody_exports_this", AT) is None


async def test_not_a_number_is_no_data(metrics: Metrics) -> None:
    assert await metrics.range("vector(0) / 0", AT, AT + STEP, STEP) == ()
    assert await metrics.instant("vector(0) / 0", AT) is None


async def test_a_query_longer_than_a_url_is_answered(metrics: Metrics) -> None:
    long = "vector(1)" + " + vector(1)" * 2000
    assert await metrics.instant(long, AT) == 2001.0


async def test_bad_promql_is_refused_with_prometheus_own_words(metrics: Metrics) -> None:
    with pytest.raises(Refused, match="parse error"):
        await metrics.instant("sum(", AT)


async def test_a_server_that_is_away_is_a_temporary_error(http: httpx.AsyncClient) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await PrometheusMetrics(http, "http://127.0.0.1:1").instant("1", AT)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(httpx.Response(503, text="starting up"), id="503"),
        pytest.param(httpx.Response(502, text="<html>bad gateway</html>"), id="proxy-page"),
        pytest.param(httpx.Response(200, text="<html>login</html>"), id="200-but-html"),
        pytest.param(httpx.Response(200, json={"status": "error", "error": "out of memory"}), id="error"),
    ],
)
async def test_anything_but_a_success_is_a_temporary_error(answer: httpx.Response) -> None:
    transport = httpx.MockTransport(lambda request: answer)
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(Unavailable):
            await PrometheusMetrics(client, "http://prometheus").instant("1", AT)


async def test_silence_is_a_temporary_error() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, httpx.AsyncClient(timeout=0.2) as client:
        with pytest.raises(Unavailable, match="ReadTimeout"):
            await PrometheusMetrics(client, f"http://127.0.0.1:{port}").instant("1", AT)


class Counted(httpx.AsyncHTTPTransport):
    """Counts what really goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        return await super().handle_async_request(request)


async def test_the_questions_of_a_moment_are_few_queries_and_everybody_gets_his_own(servers: Servers) -> None:
    transport = Counted()
    async with httpx.AsyncClient(transport=transport, timeout=10) as client:
        metrics = GatheredMetrics(PrometheusMetrics(client, servers["PROMETHEUS_URL"]))
        asked = [metrics.range(f"vector({n}) or vector(1)", AT - n * STEP, AT, STEP) for n in range(40)]
        answers = await asyncio.gather(*asked, metrics.range("nobody_exports_this", AT, AT, STEP))
    assert transport.sent == 5, "ten questions a query"
    assert [[len(one.points) for one in series] for series in answers] == [*([n] for n in range(1, 41)), []]
    assert [series[0].points[-1] for series in answers[:40]] == [Point(AT, float(n)) for n in range(40)]
    assert [series[0].labels for series in answers[:40]] == [{}] * 40


async def test_a_wrong_question_is_refused_to_whoever_asked_it_alone(
    http: httpx.AsyncClient, servers: Servers
) -> None:
    metrics = GatheredMetrics(PrometheusMetrics(http, servers["PROMETHEUS_URL"]))
    right, wrong = await asyncio.gather(
        metrics.range("vector(7)", AT, AT, STEP),
        metrics.range("sum(", AT, AT, STEP),
        return_exceptions=True,
    )
    assert right == (Series((Point(AT, 7.0),)),)
    assert isinstance(wrong, Refused)
    assert "parse error" in str(wrong)
