"""Metrics against a real Prometheus that scrapes itself or nothing; broken answers by a test's server."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from conftest import Servers
from loopback import always, response, serving

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


def of_range(*series: object) -> bytes:
    return response({"status": "success", "data": {"resultType": "matrix", "result": list(series)}})


CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b'{"status": "success", "data": {"resu'


@pytest.mark.parametrize("gathered", [False, True], ids=["direct", "gathered"])
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(response("", 500), id="500"),
        pytest.param(response("<html>bad gateway</html>", 502), id="proxy-page"),
        pytest.param(response("starting up", 503), id="503"),
        pytest.param(response({"status": "error", "error": "query timed out"}, 503), id="503-in-json"),
        pytest.param(response("<html>login</html>"), id="200-but-html"),
        pytest.param(response({"status": "error", "error": "out of memory"}), id="error"),
        pytest.param(response(""), id="200-but-nothing"),
        pytest.param(response([]), id="200-but-a-list"),
        pytest.param(response({"status": "success"}), id="no-data-key"),
        pytest.param(response({"status": "success", "data": None}), id="data-is-null"),
        pytest.param(response({"status": "success", "data": {"resultType": "matrix"}}), id="no-result"),
        pytest.param(of_range(None), id="series-is-null"),
        pytest.param(of_range({"metric": {}, "histograms": []}), id="series-without-values"),
        pytest.param(of_range({"metric": {}, "values": [[1, "one"]]}), id="words-for-a-value"),
        pytest.param(of_range({"metric": {}, "values": [[1e300, "1"]]}), id="a-time-that-is-none"),
        pytest.param(of_range({"metric": None, "values": [[1, "1"]]}), id="labels-are-null"),
        pytest.param(b"", id="closed-without-a-byte"),
        pytest.param(CUT, id="closed-in-mid-answer"),
    ],
)
async def test_anything_but_a_success_is_a_temporary_error(raw: bytes, gathered: bool) -> None:
    async with serving(always(raw)) as url, httpx.AsyncClient(timeout=10) as client:
        direct = PrometheusMetrics(client, url)
        metrics: Metrics = GatheredMetrics(direct) if gathered else direct
        with pytest.raises(Unavailable):
            await metrics.range("up", AT, AT + STEP, STEP)
        with pytest.raises(Unavailable):
            await metrics.instant("up", AT)


async def test_values_that_are_no_numbers_are_left_out_and_the_others_stay() -> None:
    at = AT.timestamp()
    values = [[at, "NaN"], [at + 1, "2"], [at + 2, "+Inf"]]
    raw = of_range({"metric": {"pod": "a"}, "values": values}, {"metric": {"pod": "b"}, "values": values[:1]})
    async with serving(always(raw)) as url, httpx.AsyncClient(timeout=10) as client:
        (series,) = await PrometheusMetrics(client, url).range("up", AT, AT + 2 * STEP, STEP)
    assert series.labels == {"pod": "a"}
    assert series.points == (Point(AT + STEP, 2.0), Point(AT + 2 * STEP, math.inf))


@pytest.mark.parametrize("labels", [{}, {"platform_ops_query": "7"}, {"platform_ops_query": "x"}])
async def test_figures_that_nobody_asked_for_are_nobodys(labels: dict[str, str]) -> None:
    """A cache or a proxy that answers another query must not judge a release."""
    raw = of_range({"metric": labels, "values": [[AT.timestamp(), "1"]]})
    async with serving(always(raw)) as url, httpx.AsyncClient(timeout=10) as client:
        with pytest.raises(Unavailable, match="for which nobody asked"):
            await GatheredMetrics(PrometheusMetrics(client, url)).range("up", AT, AT, STEP)


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
