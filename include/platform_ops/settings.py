"""Settings from environment variables, `PLATFORM_OPS_…`. Nothing here comes from Airflow's Connections, which
people can edit (design, rule 2)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from platform_ops.core.errors import PermanentError

PREFIX = "PLATFORM_OPS_"
_INCLUDE = Path(__file__).resolve().parent.parent
_SWITCHED_ON = ("1", "true", "yes")


@dataclass(frozen=True)
class Settings:
    """One attribute for each variable; empty means not set. `need` gives a value that must be there."""

    catalog: str = str(_INCLUDE / "config" / "services.yaml")
    """Path of the service catalog."""
    profile: str = ""
    """Profile of the catalog that scales it to this place, such as `local`."""
    state: str = ""
    """Folder for the last valid catalog and the mirrors of git repositories."""
    manifests: str = str(_INCLUDE / "config" / "manifests")
    """Folder of the manifest templates."""
    ledger_dsn: str = ""
    """PostgreSQL of the ledger, as its application role."""
    ledger_owner_dsn: str = ""
    """The same as its owner; only `ops ledger migrate` needs it."""
    kubeconfig: str = ""
    """Kubeconfig with the contexts that the catalog names."""
    prometheus_url: str = ""
    """Prometheus that holds the gateway's counters."""
    gateway_url: str = ""
    """Where probes connect, with the URL's host as Host header; empty: to the URL itself."""
    registry: str = ""
    """`host[:port]` and prefix instead of the registry in the catalog's image names."""
    registry_plain_http: str = ""
    """`1` for a registry without TLS on loopback."""
    registry_user: str = ""
    """User of the registry, where it asks for one; development's build pushes with it."""
    registry_password: str = ""
    """Password or token of that user."""
    build_command: str = ""
    """Command that builds and pushes an image, with {context} {repository} {tag} {metadata_file}; empty:
    docker buildx. Labels are appended as `--label key=value`. It stands in the statement of provenance, so it
    must hold no secret."""
    builder_id: str = "https://platform-ops.io/builder"
    """Who builds, in the statements of provenance: a URI of this installation. Another one's are refused."""
    allowed_signers: str = ""
    """File of more keys that may sign commits, in the format of `ssh-keygen`'s allowed signers."""
    signing_key: str = ""
    """Private ssh key of the service identity: it signs merges and version tags. Only those who promote
    need it."""
    scanner_image: str = ""
    """Image of the analyzer that scans sources, by digest."""
    gates_image: str = ""
    """Image of the gate runner, by digest."""
    gate_policy: str = str(_INCLUDE / "config" / "gate-policy.yaml")
    """Path of the gate policy."""
    xcom_image: str = ""
    """Image of the side-car that hands a pod's result over."""
    jobs_namespace: str = "platform-ops-jobs"
    """Namespace of scan pods."""
    slack_api_url: str = "https://slack.com/api"
    """Slack's Web API."""
    slack_token: str = ""
    """Bot token with chat:write, channels:read and channels:history."""
    airflow_url: str = ""
    """Airflow's address for people and API."""
    airflow_user: str = ""
    """Service identity; it is no approver."""
    airflow_password: str = ""
    """Its password."""
    s3_url: str = ""
    """Endpoint of the object store."""
    s3_bucket: str = "platform-ops"
    """Bucket for sources on their way to scan pods."""
    s3_access_key: str = ""
    """Access key."""
    s3_secret_key: str = ""
    """Secret key."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """The settings that an environment holds; empty variables take the default."""
        named = {field.name: environment.get(variable(field.name), "").strip() for field in fields(cls)}
        return cls(**{name: value for name, value in named.items() if value})

    def need(self, name: str) -> str:
        """The value of a setting that this process cannot do without."""
        value: str = getattr(self, name)
        if not value:
            raise PermanentError(f"{variable(name)} is not set; see docs/reference/settings.md")
        return value

    @property
    def state_folder(self) -> Path | None:
        return Path(self.state) if self.state else None

    @property
    def plain_http(self) -> bool:
        return self.registry_plain_http.lower() in _SWITCHED_ON

    @property
    def build_words(self) -> tuple[str, ...]:
        """The build command as an argument list; empty when the default is meant."""
        try:
            return tuple(shlex.split(self.build_command))
        except ValueError as broken:
            raise PermanentError(f"{variable('build_command')}: {broken}") from broken

    def __repr__(self) -> str:
        """Names what is set, never a value: some are secrets."""
        return f"Settings({', '.join(field.name for field in fields(self) if getattr(self, field.name))})"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def settings() -> Settings:
    """The settings of this process."""
    return Settings.of(os.environ)
