"""What `llm-service` is given in each environment: a database, a part of the cache, and keys of its own.

Its tables are made by the promotion: the Job of the schema migration runs before the first preview.
"""

from __future__ import annotations

from local_platform.cluster_access import ENVIRONMENTS
from local_platform.services.part import Context
from local_platform.services.postgres import Postgres, owner_of
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


def migration_values(platform: Context, environment: str) -> dict[str, str]:
    """The entries of the Secret `llm-service-migration`, which only the Job of the schema migration gets."""
    name = f"analyzer_{environment}"
    return {"ANALYZER_DATABASE_OWNER_URL": Postgres(platform).dsn(owner_of(name), name)}
