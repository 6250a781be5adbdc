"""What `llm-service` is given in each environment: a database, a part of the cache, and keys of its own."""

from __future__ import annotations

import sys
from typing import ClassVar

from local_platform.cluster_access import ENVIRONMENTS
from local_platform.services.part import Context, Part, run_step
from local_platform.services.postgres import ANALYZER_OWNER, Postgres
from local_platform.services.valkey import Valkey

DEVELOPMENT_KEY = "dev-key-12345"


def secret_values(platform: Context, environment: str) -> dict[str, str]:
    """The entries of the Secret `llm-service`; a template of it is `analyzer/deploy/secret.yaml`."""
    secrets, name = platform.secrets, f"analyzer_{environment}"
    keys = [secrets[f"api-key-{environment}"]]
    if environment == "development":
        # The public key of the service's documentation; the service refuses to start with it elsewhere.
        keys.append(DEVELOPMENT_KEY)
    return {
        "ANALYZER_API_KEYS": ",".join(keys),
        "ANALYZER_ADMIN_KEYS": secrets[f"admin-key-{environment}"],
        "ANALYZER_FINGERPRINT_KEY": secrets[f"fingerprint-key-{environment}"],
        "ANALYZER_DATABASE_URL": Postgres(platform).dsn(name, name),
        # Number 0 stays free for who looks around with a client.
        "ANALYZER_REDIS_URL": Valkey(platform).url(database=1 + ENVIRONMENTS.index(environment)),
    }


class AnalyzerDatabases(Part):
    """The step that brings the service's tables to the version of the checkout, in all environments at once.

    A release never waits for it: migrations only add, so the version before works with the new tables.
    """

    name: ClassVar[str] = "analyzer-databases"
    needs: ClassVar[tuple[str, ...]] = ("postgres",)

    def complete(self) -> None:
        postgres = Postgres(self.platform)
        urls = [postgres.dsn(ANALYZER_OWNER, f"analyzer_{environment}") for environment in ENVIRONMENTS]
        env = {**self.platform.environment(), "ANALYZER_DATABASE_OWNER_URL": "\n".join(urls)}
        argv = [sys.executable, "-m", "analyzer.storage.migrate"]
        run_step(argv, env=env, what="python -m analyzer.storage.migrate")

    def where(self) -> str:
        return f"databases analyzer_{{{','.join(ENVIRONMENTS)}}}"
