"""Measures in a process of its own: reads what to parse as JSON, prints CPU seconds as JSON.

Each measurement is a fork that knows nothing of the catalog yet, as each child of the DAG processor.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

FLOOR = """
from datetime import datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
for number in range({dags}):
    with DAG(f"floor_{{number}}", start_date=datetime(2026, 1, 1), schedule=None, catchup=False) as dag:
        last = None
        for step in range({tasks}):
            task = EmptyOperator(task_id=f"step_{{step}}")
            if last is not None:
                last >> task
            last = task
    globals()[dag.dag_id] = dag
"""


def main() -> None:
    wanted = json.load(sys.stdin)
    files = [Path(name) for name in wanted["files"]]
    os.environ["PLATFORM_OPS_CATALOG"] = wanted["small"]
    began = process_time()
    for path in files:
        _bag(path)
    imports = process_time() - began
    os.environ["PLATFORM_OPS_CATALOG"] = wanted["big"]
    _forked(_catalog)  # The first one writes the valid copy.
    runs = [_ours(files) for _ in range(wanted["times"])]
    dags, tasks = runs[0]["dags"], runs[0]["tasks"]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "floor.py"
        path.write_text(FLOOR.format(dags=dags, tasks=round(tasks / dags)), encoding="utf-8")
        _bag(path)
        floor = [_forked(lambda: _timed(path)) for _ in range(wanted["times"])]
    found = {
        "dags": dags,
        "tasks": tasks,
        "services": runs[0]["services"],
        "imports": imports,
        "ours": _columns(runs),
        "floor": _columns(floor),
    }
    print(json.dumps(found))


def _ours(files: list[Path]) -> dict[str, float]:
    """Each file in a process of its own, as Airflow parses them; the sum of all."""
    each = [_forked(lambda path=path: _timed(path)) for path in files]  # type: ignore[misc]
    total = {key: sum(one[key] for one in each) for key in ("parse", "serialise", "dags", "tasks")}
    return {**total, **_forked(_catalog)}


def _columns(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    return {key: [run[key] for run in runs if key in run] for key in ("parse", "serialise", "catalog")}


def _catalog() -> dict[str, float]:
    from platform_ops import wiring

    began = process_time()
    services = len(wiring.catalog().services)
    return {"catalog": process_time() - began, "services": services}


def _timed(path: Path) -> dict[str, float]:
    from airflow.serialization.serialized_objects import DagSerialization

    began = process_time()
    bag = _bag(path)
    parsed = process_time()
    for dag in bag.dags.values():
        json.dumps(DagSerialization.to_dict(dag), default=str)
    serialised = process_time()
    return {
        "parse": parsed - began,
        "serialise": serialised - parsed,
        "dags": len(bag.dags),
        "tasks": sum(len(dag.tasks) for dag in bag.dags.values()),
    }


def _bag(path: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=path, load_op_links=False)
    assert bag.import_errors == {}, bag.import_errors
    return bag


def _forked(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What `work` answers in a fork of this process."""
    read, write = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(write, json.dumps(work()).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the measuring fork ended with {status}"
    found: dict[str, float] = json.loads(text)
    return found


if __name__ == "__main__":
    main()
