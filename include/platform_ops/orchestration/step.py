"""A step: one coroutine `act(desk, run)` as an Airflow task, with our errors turned into Airflow's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.types import DagRunProtocol

from platform_ops import wiring
from platform_ops.core.errors import PermanentError

R = TypeVar("R")

AUTOMATIC = "airflow"
"""Requester of a run that an asset started."""


@dataclass(frozen=True)
class Run:
    """The Airflow run that a step belongs to, and what it is about."""

    dag_id: str
    run_id: str
    service: str
    environment: str
    requested_by: str
    """Airflow user who triggered the run, or AUTOMATIC."""
    params: Mapping[str, Any] = field(default_factory=dict)
    log_url: str = ""
    """Link to the log of the task that acts now."""

    @classmethod
    def of(cls, context: Mapping[str, Any], service: str, environment: str) -> Run:
        run: DagRunProtocol = context["dag_run"]
        return cls(
            dag_id=run.dag_id,
            run_id=run.run_id,
            service=service,
            environment=environment,
            requested_by=getattr(run, "triggering_user_name", None) or AUTOMATIC,
            params=dict(context["params"]),
            log_url=context["ti"].log_url,
        )


def run_to_end(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine in a task process. Permanent errors fail the task at once; others are retried."""
    try:
        return asyncio.run(work)
    except PermanentError as error:
        raise AirflowFailException(str(error)) from error


async def at_desk(act: Callable[[wiring.Desk, Run], Awaitable[R]], run: Run) -> R:
    async with wiring.connect() as desk:
        return await act(desk, run)


def step(
    act: Callable[[wiring.Desk, Run], Awaitable[None]], **task_options: Any
) -> Callable[[str, str], Any]:
    """Make `act` a task factory: `step(resolve)(service, environment)` adds the task to the DAG being
    built."""

    def run_step(service: str, environment: str) -> None:
        run = Run.of(get_current_context(), service, environment)
        run_to_end(at_desk(act, run))

    run_step.__name__ = run_step.__qualname__ = act.__name__
    run_step.__doc__ = act.__doc__
    return task(task_id=act.__name__, doc_md=act.__doc__, **task_options)(run_step)
