"""What platform-ops is told about this platform: its `PLATFORM_OPS_*` settings, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from local_platform.services.git import Git
from local_platform.services.images import cache, references
from local_platform.services.object_store import BUCKET, ObjectStore
from local_platform.services.objects import check_keys
from local_platform.services.part import Context
from local_platform.services.postgres import Postgres

# The ledger's owner may change its tables: for migrations only, no running service gets it.
OWNER_ONLY = "PLATFORM_OPS_LEDGER_OWNER_DSN"


def product_settings(platform: Context) -> dict[str, str]:
    """Settings of every process that runs platform-ops: Airflow's and the standby controller.

    A `PLATFORM_OPS_*` variable of the calling shell wins: a test or the demonstration has its own catalog.
    """
    return {name: value for name, value in all_settings(platform).items() if name != OWNER_ONLY}


def all_settings(platform: Context) -> dict[str, str]:
    layout, postgres, store = platform.layout, Postgres(platform), ObjectStore(platform)
    state = layout.state / "product"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    images = references(platform)
    settings = {
        "PLATFORM_OPS_CATALOG": str(catalog(platform)),
        "PLATFORM_OPS_PROFILE": "local",
        "PLATFORM_OPS_STATE": str(state),
        "PLATFORM_OPS_LEDGER_DSN": postgres.dsn("ledger_app", "ledger"),
        OWNER_ONLY: postgres.dsn("ledger_owner", "ledger"),
        "PLATFORM_OPS_KUBECONFIG": str(layout.state / "kube" / "controller.yaml"),
        "PLATFORM_OPS_SCAN_KUBECONFIG": str(layout.state / "kube" / "scan.yaml"),
        "PLATFORM_OPS_PROMETHEUS_URL": platform.url("prometheus"),
        "PLATFORM_OPS_GATEWAY_URL": platform.url("gateway"),
        "PLATFORM_OPS_REGISTRY": platform.address("registry"),
        "PLATFORM_OPS_REGISTRY_PLAIN_HTTP": "1",
        "PLATFORM_OPS_BUILD_COMMAND": build_command(platform),
        "PLATFORM_OPS_SCANNER_IMAGE": images.get("analyzer", ""),
        "PLATFORM_OPS_GATES_IMAGE": images.get("gates", ""),
        "PLATFORM_OPS_XCOM_IMAGE": images.get("base", ""),
        "PLATFORM_OPS_SLACK_API_URL": platform.url("inbox") + "/api/",
        "PLATFORM_OPS_SLACK_TOKEN": slack_token(platform),
        "PLATFORM_OPS_AIRFLOW_URL": platform.url("airflow"),
        "PLATFORM_OPS_AIRFLOW_USER": "platform-ops",
        "PLATFORM_OPS_AIRFLOW_PASSWORD": platform.secrets["airflow-user-platform-ops"],
        "PLATFORM_OPS_S3_URL": platform.url("s3"),
        "PLATFORM_OPS_S3_BUCKET": BUCKET,
        "PLATFORM_OPS_S3_ACCESS_KEY": store.access_key,
        "PLATFORM_OPS_S3_SECRET_KEY": store.secret_key,
        **check_keys(platform),
        **Git(platform).settings(),
    }
    given = {name: value for name, value in os.environ.items() if name.startswith("PLATFORM_OPS_")}
    return {**settings, **given}


def build_command(platform: Context) -> str:
    """The image builder's command line; `{…}` are filled in, and labels added, by whoever builds."""
    return (
        f"{sys.executable} -m local_platform.images build --context {{context}} --repository {{repository}}"
        f" --tag {{tag}} --metadata-file {{metadata_file}} --plain-http --cache {cache(platform)}"
    )


def catalog(platform: Context) -> Path:
    """The local platform's own catalog: the same services, triggers and steps short enough to watch."""
    own = platform.layout.root / "astro" / "local" / "services.yaml"
    return own if own.is_file() else platform.layout.root / "include" / "config" / "services.yaml"


def slack_token(platform: Context) -> str:
    """The bot token that the inbox takes and platform-ops sends."""
    return f"xoxb-{platform.secrets['slack']}"
