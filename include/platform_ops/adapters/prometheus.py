"""PromQL over Prometheus' HTTP API. https://prometheus.io/docs/prometheus/latest/querying/api/"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from platform_ops.core.errors import Refused, Unavailable
from platform_ops.core.ports import Point, Series


class PrometheusMetrics:
    """The `Metrics` port. Queries go by POST, so that no expression is too long for a URL."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url.rstrip("/")

    async def range(
        self, expression: str, start: datetime, end: datetime, step: timedelta
    ) -> tuple[Series, ...]:
        form = {
            "query": expression,
            "start": f"{start.timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{step.total_seconds():g}",
        }
        series = await self._query("query_range", form)
        with self._readable():
            found = [Series(tuple(_points(one["values"])), _labels(one)) for one in series]
        return tuple(one for one in found if one.points)

    async def instant(self, expression: str, at: datetime) -> float | None:
        found = await self._query("query", {"query": expression, "time": f"{at.timestamp():.3f}"})
        with self._readable():
            points = _points([found[0]["value"]]) if found else []
        return points[0].value if points else None

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """A proxy or another server behind the address may answer 200 with anything."""
        try:
            yield
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as odd:
            raise Unavailable(f"What {self._url} answers is none of Prometheus' answers: {odd!r}") from odd

    async def _query(self, endpoint: str, form: Mapping[str, str]) -> list[dict[str, Any]]:
        try:
            response = await self._client.post(f"{self._url}/api/v1/{endpoint}", data=form)
        except httpx.HTTPError as lost:
            why = str(lost) or type(lost).__name__
            raise Unavailable(f"Prometheus at {self._url} does not answer: {why}") from lost
        answer = _decoded(response)
        if response.status_code in (400, 422):
            raise Refused(f"Prometheus refuses {form['query']!r}: {answer.get('error', response.text[:300])}")
        if response.status_code != 200 or answer.get("status") != "success":
            why = answer.get("error") or f"HTTP {response.status_code}"
            raise Unavailable(f"Prometheus at {self._url} answers {why}")
        with self._readable():
            return _series(answer["data"])


def _decoded(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _series(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    if data["resultType"] == "scalar":
        return [{"value": data["result"], "values": [data["result"]]}]
    return list(data["result"])


def _labels(series: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, text in series.get("metric", {}).items() if name != "__name__"}


def _points(samples: list[list[Any]]) -> list[Point]:
    found = (Point(datetime.fromtimestamp(float(at), UTC), float(text)) for at, text in samples)
    return [point for point in found if not math.isnan(point.value)]
