"""What containers use: for `kubectl top` (`/stats`) and for Prometheus (`/metrics`), in cAdvisor's names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local_platform.node.memory import memory_limit
from local_platform.node.pod_worker import PodWorker
from local_platform.node.processes import Usage, process_table, tree, usage


@dataclass(frozen=True)
class Sample:
    """One running container at one moment."""

    namespace: str
    pod: str
    container: str
    usage: Usage
    limit: int | None
    at: float


class Meter:
    """Measures containers; processor rates are between two measurements."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str, str], tuple[float, float]] = {}

    async def samples(self, workers: list[PodWorker]) -> list[Sample]:
        wanted = []
        for worker in workers:
            metadata = worker.pod["metadata"]
            for spec in worker.every_spec():
                attempt = worker.containers[spec["name"]].current
                if attempt and attempt.running and attempt.first:
                    wanted.append((metadata, spec, attempt.first.pid))
        table = await asyncio.to_thread(process_table)
        now = time.time()
        return [
            Sample(
                metadata["namespace"],
                metadata["name"],
                spec["name"],
                usage(tree(pid, table)),
                memory_limit(spec),
                now,
            )
            for metadata, spec, pid in wanted
        ]

    def stats(self, samples: list[Sample]) -> dict[str, Any]:
        """Per pod and container: processor in nanocores since the last call, memory in bytes."""
        pods: dict[tuple[str, str], list[dict[str, Any]]] = {}
        fresh = {}
        for sample in samples:
            key = (sample.namespace, sample.pod, sample.container)
            at, before = self._before.get(key, (sample.at, sample.usage.processor))
            span = sample.at - at
            cores = max(0.0, sample.usage.processor - before) / span if span > 0 else 0.0
            fresh[key] = (
                (sample.at, sample.usage.processor)
                if span > 1 or key not in self._before
                else self._before[key]
            )
            container = {
                "name": sample.container,
                "cpuNanoCores": int(cores * 1e9),
                "workingSetBytes": sample.usage.memory,
            }
            pods.setdefault(key[:2], []).append(container)
        self._before = fresh
        return {
            "pods": [
                {"namespace": namespace, "name": name, "containers": containers}
                for (namespace, name), containers in pods.items()
            ]
        }


def exposition(samples: list[Sample], workers: list[PodWorker]) -> str:
    """Prometheus' text format."""
    lines: list[str] = []
    for name, kind, meaning, values in (
        (
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set of the container in bytes.",
            [(_labels(one), one.usage.memory) for one in samples],
        ),
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the container in core-seconds.",
            [(_labels(one), one.usage.processor) for one in samples],
        ),
        (
            "container_spec_memory_limit_bytes",
            "gauge",
            "Memory limit for the container in bytes.",
            [(_labels(one), one.limit) for one in samples if one.limit is not None],
        ),
        (
            "kube_pod_container_status_restarts_total",
            "counter",
            "The number of container restarts per container.",
            list(_restarts(workers)),
        ),
        (
            "kube_pod_status_ready",
            "gauge",
            "Describes whether the pod is ready to serve requests.",
            list(_ready(workers)),
        ),
        (
            "prober_probe_total",
            "counter",
            "Cumulative number of a liveness, readiness or startup probe for a container by result.",
            list(_probes(workers)),
        ),
    ):
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{labels} {value}" for labels, value in values]
    return "\n".join(lines) + "\n"


def _labels(sample: Sample) -> str:
    return f'{{namespace="{sample.namespace}",pod="{sample.pod}",container="{sample.container}"}}'


def _restarts(workers: list[PodWorker]) -> Iterator[tuple[str, int]]:
    for worker in workers:
        metadata = worker.pod["metadata"]
        for name, container in worker.containers.items():
            labels = f'{{namespace="{metadata["namespace"]}",pod="{metadata["name"]}",container="{name}"}}'
            yield labels, container.restarts


def _probes(workers: list[PodWorker]) -> Iterator[tuple[str, int]]:
    """With the kubelet's labels, which has them at /metrics/probes."""
    for worker in workers:
        metadata = worker.pod["metadata"]
        where = f'namespace="{metadata["namespace"]}",pod="{metadata["name"]}",pod_uid="{worker.uid}"'
        for container, counted in worker.parts.probes.items():
            for (kind, result), number in sorted(counted.items()):
                labels = f'container="{container}",{where},probe_type="{kind}",result="{result}"'
                yield f"{{{labels}}}", number


def _ready(workers: list[PodWorker]) -> Iterator[tuple[str, int]]:
    for worker in workers:
        metadata = worker.pod["metadata"]
        conditions = {
            one["type"]: one["status"] for one in (worker.pod.get("status") or {}).get("conditions") or []
        }
        is_ready = conditions.get("Ready") == "True"
        for condition, value in (("true", is_ready), ("false", not is_ready)):
            where = f'namespace="{metadata["namespace"]}",pod="{metadata["name"]}"'
            yield f'{{{where},condition="{condition}"}}', int(value)
