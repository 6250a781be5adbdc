"""platform-ops itself, beside Airflow: the ledger's tables, and the standby of the rollout controller."""

from __future__ import annotations

import time
from typing import ClassVar

from local_platform.errors import NotReadyError
from local_platform.processes import read_record
from local_platform.product import all_settings, product_settings
from local_platform.services.part import Command, Part, run_step

SETTLED_SECONDS = 3.0


class Ledger(Part):
    """The step that brings the ledger's tables to the version of the checkout."""

    name: ClassVar[str] = "ledger"
    needs: ClassVar[tuple[str, ...]] = ("postgres",)

    def complete(self) -> None:
        env = {**self.platform.environment(), **all_settings(self.platform)}
        run_step(
            [self.platform.layout.program("ops"), "ledger", "migrate"], env=env, what="ops ledger migrate"
        )

    def where(self) -> str:
        return "database ledger"


class Controller(Part):
    """Takes over a rollout whose lease has run out, whoever held it."""

    name: ClassVar[str] = "controller"
    needs: ClassVar[tuple[str, ...]] = ("ledger", "objects")
    stop_seconds: ClassVar[float] = 15.0

    def command(self) -> Command:
        argv = [self.platform.layout.program("ops"), "controller", "--holder", "standby-1"]
        return Command(argv, product_settings(self.platform))

    def probe(self) -> None:
        """It serves nothing that could be asked; wrong settings end it within its first seconds."""
        record = read_record(self.platform.layout.state / "run" / f"{self.name}.json")
        if record and time.time() - record.started_at < SETTLED_SECONDS:
            raise NotReadyError("it was started a moment ago")
