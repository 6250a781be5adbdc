"""Envoy's static configuration: one HTTP listener, the admin port, the files that change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local_platform.gateway.translate import ROUTE_CONFIGURATION

LATENCY_BUCKETS_MS = [
    0.5, 1, 2.5, 5, 10, 25, 50, 75, 100, 150, 200, 250, 300, 400, 500, 750,
    1000, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 10000, 30000, 60000,
]  # fmt: skip
"""Upper bounds of the latency histogram: fine around the limits of triggers, p95 up to 10 s and beyond."""

STAT_PREFIX = "ingress"
ROUTES_FILE = "routes.json"
CLUSTERS_FILE = "clusters.json"

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def bootstrap(*, host: str, port: int, admin_port: int, xds: Path) -> dict[str, Any]:
    """Envoy's bootstrap; `xds` is the folder of the files that are moved into place."""
    return {
        "node": {"id": "local-gateway", "cluster": "local-platform"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        # Histograms reach a scrape when they are flushed: every second, as often as Prometheus looks.
        "stats_flush_interval": "1s",
        "stats_config": {
            "stats_matcher": {
                "inclusion_list": {"patterns": [{"safe_regex": {"regex": regex}} for regex in _STATS]}
            },
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": LATENCY_BUCKETS_MS},
                {"match": {"suffix": "downstream_rq_time"}, "buckets": LATENCY_BUCKETS_MS},
            ],
        },
        "dynamic_resources": {"cds_config": _file(xds / CLUSTERS_FILE)},
        "static_resources": {"listeners": [_listener(host, port, xds)]},
    }


# Per backend only what rollouts and this gateway read: Prometheus asks every second, and Envoy counts each
# response a second time under `internal.` or `external.`.
_STATS = (
    r"cluster\.[^.]+\.(upstream_(rq|cx)_\w+|upstream_rq|membership_\w+|update_\w+|version\w*)",
    r"cluster\.[^.]+\.outlier_detection\.ejections_(active|enforced_total)",
    r"cluster_manager\..*",
    rf"http\.{STAT_PREFIX}\.(downstream_rq_\w+|downstream_cx_\w+|no_\w+|rds\..*)",
    r"server\.(live|uptime|state|memory_allocated|total_connections)",
)


def _file(path: Path) -> dict[str, Any]:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _listener(host: str, port: int, xds: Path) -> dict[str, Any]:
    manager = {
        "@type": f"type.googleapis.com/{HCM}",
        "stat_prefix": STAT_PREFIX,
        "rds": {"route_config_name": ROUTE_CONFIGURATION, "config_source": _file(xds / ROUTES_FILE)},
        "use_remote_address": True,
        "internal_address_config": {"unix_sockets": False},
        "generate_request_id": False,
        "normalize_path": True,
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "drain_timeout": "5s",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
    }
    return {
        "name": STAT_PREFIX,
        "address": _address(host, port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
