"""What Airflow's DAG processor pays for the DAGs of a big catalog: CPU seconds of parsing and of serialising.

A catalog of many services is parsed by a process that has imported everything before, as the DAG processor's
children have not: imports are a row of their own. Beside it stands the floor in the same run: as many DAGs
with as many tasks, made by a loop with nothing but Airflow in it.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from delivery_table import Options, Row
from own_platform import own_platform

from local_platform.layout import CHECKOUT
from local_platform.services.airflow import task_environment

DAGS = CHECKOUT / "dags"
CATALOG = CHECKOUT / "include/config/services.yaml"
CHILD = Path(__file__).with_name("delivery_parse_child.py")
ENVIRONMENTS = 3
OF_A_SERVICE = 10
"""DAGs: three kinds in three environments, and the hotfix."""
WANTED = 1000
REACH = {"parse": 3.0, "serialise": 8.0}
TIMES = 1
PATIENCE = 900
"""Seconds that a file may take here; Airflow gives up after 30."""


def measure(options: Options) -> list[Row]:
    with own_platform() as platform, tempfile.TemporaryDirectory() as name:
        environment = task_environment(platform.supervisor.platform)
        environment["PLATFORM_OPS_PROFILE"] = ""
        environment["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"] = str(PATIENCE)
        folder = Path(name)
        pairs = _measured(environment, folder, -(-WANTED // ENVIRONMENTS), [DAGS / "promotion.py"])
        every = _measured(environment, folder, WANTED // OF_A_SERVICE, sorted(DAGS.glob("*.py")))
    return [
        *_rows("promotion DAGs, one for each service and environment", pairs),
        *_rows("DAGs of all files", every),
    ]


def catalog(services: int) -> str:
    """The project's catalog with one of its services under as many names."""
    entries = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
    model = entries["services"]["fm-llm-solver"]
    entries["services"] = {
        f"service-{number}": _named(model, f"service-{number}") for number in range(services)
    }
    return yaml.safe_dump(entries, sort_keys=False)


def _named(model: dict[str, Any], name: str) -> dict[str, Any]:
    service = copy.deepcopy(model)
    service["repository"] = f"https://git.example.com/platform/{name}.git"
    service["image"] = f"ghcr.io/platform/{name}"
    for environment, entry in service["environments"].items():
        entry["url"] = f"https://{environment}.{name}.example.com"
    return service


def _measured(environment: dict[str, str], folder: Path, services: int, files: list[Path]) -> dict[str, Any]:
    big, small = folder / f"services-{services}.yaml", folder / "services-1.yaml"
    big.write_text(catalog(services), encoding="utf-8")
    small.write_text(catalog(1), encoding="utf-8")
    wanted = {"big": str(big), "small": str(small), "files": [str(path) for path in files], "times": TIMES}
    state = folder / f"state-{services}"
    state.mkdir()
    done = subprocess.run(
        [sys.executable, str(CHILD)],
        input=json.dumps(wanted),
        env={**os.environ, **environment, "PLATFORM_OPS_STATE": str(state), "AIRFLOW_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _rows(kind: str, found: dict[str, Any]) -> list[Row]:
    rows = []
    for what, limit in REACH.items():
        ours, floor = (median(found[side][what]) for side in ("ours", "floor"))
        times = f"{ours / floor:.1f} times {floor:.2f} s of as many DAGs of Airflow alone"
        name = f"CPU to {what} {found['dags']} {kind} ({found['tasks']} tasks)"
        rows.append(Row(name, f"{ours:.2f} s, {times}", f"at most {limit:g} s", ours <= limit))
    parts = f"{median(found['ours']['catalog']):.2f} s is the catalog of {found['services']} services"
    rows.append(Row("of the parsing", parts))
    rows.append(Row("imports of the DAG files, once a process", f"{found['imports']:.2f} s CPU"))
    return rows
