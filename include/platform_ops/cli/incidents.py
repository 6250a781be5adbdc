"""`ops incident open`, `close`, `list`: while one is open, a service gets no release but its fix."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_ops.core.incidents import Incident
from platform_ops.wiring import Desk

from .asking import AsJson, OneEnvironment, OneService, Service, at_desk, person
from .output import clock_time, out, print_json, table

app = typer.Typer(help="Incidents: open, close, list.", no_args_is_help=True)

What = Annotated[str, typer.Option("--why", help="What is wrong, or what ended it: for whoever is refused.")]


@app.command("open")
def open_incident(
    service: Service, why: What, environment: OneEnvironment = None, as_json: AsJson = False
) -> None:
    """Nothing of the service is promoted there from now on, but what `--fixes` it or a hotfix."""

    async def act(desk: Desk) -> None:
        desk.catalog.service(service)
        if environment is not None:
            desk.catalog.environment(service, environment)
        incident = await desk.ledger.incidents.open(service, environment, why=why, by=person())
        if as_json:
            print_json(incident)
            return
        out.print(f"opened {incident.id}: no release of {service} into {_where(incident)} while it is open")
        out.print(f"its fix: ops promote {service} {environment or 'staging'} --fixes {incident.id}")

    at_desk(act)


@app.command("close")
def close_incident(
    incident: Annotated[str, typer.Argument(help="Its id, such as INC-7.")],
    why: What,
    as_json: AsJson = False,
) -> None:
    """The service may be promoted again."""

    async def act(desk: Desk) -> None:
        closed = await desk.ledger.incidents.close(incident, why=why, by=person())
        if as_json:
            print_json(closed)
        else:
            out.print(f"closed {closed.id} of {closed.service}")

    at_desk(act)


@app.command("list")
def list_incidents(
    service: OneService = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The open incidents, newest first."""

    async def act(desk: Desk) -> None:
        found = await desk.ledger.incidents.of(service, closed=everything)
        if as_json:
            print_json(found)
            return
        rows = table("incident", "service", "environment", "since", "why", "closed")
        for one in found:
            ended = (
                f"{clock_time(one.closed_at)} by {one.closed_by}: {one.closed_why}" if one.closed_at else "–"
            )
            rows.add_row(one.id, one.service, _where(one), clock_time(one.opened_at), one.why, ended)
        out.print(rows if found else "no incident is open")

    at_desk(act)


def _where(incident: Incident) -> str:
    return incident.environment or "all environments"
