"""The seed's metrics under their names, in a registry of one application."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector


class Metrics:
    """Labels come from closed sets only: route templates, status codes, secret types and risk levels."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "llm_http_requests_total",
            "HTTP requests answered.",
            ("method", "endpoint", "status_code"),
            registry=self.registry,
        )
        self.analysis_duration = Histogram(
            "llm_analysis_duration_seconds",
            "Time from a request's last byte to its verdict, waiting for a thread included.",
            ("secret_type",),
            registry=self.registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
        )
        self.detected = Counter(
            "llm_secrets_detected_total",
            "Values judged to be secrets, and secrets found in texts.",
            ("risk_level", "secret_type"),
            registry=self.registry,
        )
        self.cache_hits = Counter(
            "llm_cache_hits_total", "Verdicts taken from the cache.", registry=self.registry
        )
        self.cache_misses = Counter(
            "llm_cache_misses_total", "Verdicts that the cache did not have.", registry=self.registry
        )
        self.dependency_up = Gauge(
            "llm_dependency_up",
            "1 while the dependency answers, 0 while the service goes on without it.",
            ("dependency",),
            registry=self.registry,
        )
        self.pending_verdicts = Gauge(
            "llm_pending_verdicts",
            "Counted verdicts that the store has not confirmed.",
            registry=self.registry,
        )

    def value(self, name: str) -> int:
        """A counter without labels, as it stands."""
        return int(self.registry.get_sample_value(name) or 0)
