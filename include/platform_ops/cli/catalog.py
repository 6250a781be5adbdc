"""`ops catalog`: check the catalog, and write what is made from its models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from platform_ops import wiring
from platform_ops.catalog import schema as generated
from platform_ops.catalog.load import load
from platform_ops.catalog.policy import load_policy
from platform_ops.catalog.profiles import with_profile
from platform_ops.core.errors import CatalogError

from .asking import AsJson
from .output import ExitCode, out, print_json

app = typer.Typer(help="The service catalog.", no_args_is_help=True)


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="By default PLATFORM_OPS_CATALOG.")] = None,
    as_json: AsJson = False,
) -> None:
    """Report everything that is wrong in catalog and gate policy, each as `file:line: key: problem`."""
    chosen = wiring.settings()
    file = path or Path(chosen.catalog)
    try:
        catalog = load(file)
        with_profile(catalog, chosen.profile)
        load_policy(Path(chosen.gate_policy))
    except CatalogError as broken:
        if not as_json:
            raise
        print_json({"file": str(file), "valid": False, "problems": broken.problems})
        raise typer.Exit(ExitCode.CATALOG) from None
    if as_json:
        print_json({"file": str(file), "valid": True, "services": list(catalog.services), "problems": []})
    else:
        out.print(f"{file}: valid; services {', '.join(catalog.services)}")


@app.command()
def schema() -> None:
    """Print the JSON Schema for editors."""
    typer.echo(generated.schema_text(), nl=False)


@app.command()
def reference() -> None:
    """Print the reference page."""
    typer.echo(generated.reference(), nl=False)
