"""The way of a release through the environments, as the catalog names them."""

from __future__ import annotations

from platform_ops.core.errors import NotFound

from .models import ENVIRONMENTS


def place_of(dag_id: str) -> tuple[str, str]:
    """Service and environment of a DAG's id, `promote_<service>_<environment>`; a hotfix goes to the last."""
    _, service, *environment = dag_id.split("_", 2)
    return service, environment[0] if environment else ENVIRONMENTS[-1]


def builds(environment: str) -> bool:
    """Only the first environment builds; the others take the digest (rule 5)."""
    return environment == ENVIRONMENTS[0]


def goes_live(environment: str) -> bool:
    """What serves in the last environment is released: it is merged and gets a version."""
    return environment == ENVIRONMENTS[-1]


def starts_by_hand(environment: str) -> bool:
    """Production waits for a person."""
    return environment == ENVIRONMENTS[-1]


def environment_before(environment: str) -> str:
    """The environment that must have verified a release first."""
    position = ENVIRONMENTS.index(environment)
    if position == 0:
        raise NotFound(f"No environment comes before {environment}.")
    return ENVIRONMENTS[position - 1]


def environment_after(environment: str) -> str:
    """The environment that takes a release next."""
    if environment == ENVIRONMENTS[-1]:
        raise NotFound(f"No environment comes after {environment}.")
    return ENVIRONMENTS[ENVIRONMENTS.index(environment) + 1]
