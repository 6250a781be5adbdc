"""Nothing of a replay outlives the process that runs it, however that ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_platform import processes
from local_platform.node.__main__ import stop_all

from .recordings import CHECKOUT

DONE = "done\n"
END_SECONDS = 5.0


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Whatever is started inside is ended with the context, or with this process when it is killed.

    What is started inherits a mark in its environment; pods are found by the nodes' folders below `folder`.
    """
    paths = os.pathsep.join(str(CHECKOUT / part) for part in ("astro/local", "tests/cluster_double"))
    guard = subprocess.Popen(
        [sys.executable, "-m", "replay.guard", str(folder)],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    before = os.environ.get(processes.MARK)
    os.environ[processes.MARK] = str(folder)
    try:
        yield
    except BaseException:
        guard.communicate()
        raise
    finally:
        if before is None:
            del os.environ[processes.MARK]
        else:
            os.environ[processes.MARK] = before
    guard.communicate(DONE)


def end_everything(folder: Path) -> None:
    """Ends every process that carries the folder's mark, then what runs in the pods of its nodes."""
    mark = str(folder)
    processes.end_rest(processes.family(None, mark), None, mark, END_SECONDS)
    for node in folder.glob("*/node"):
        asyncio.run(stop_all(node))


if __name__ == "__main__":
    # One word says that all is well, the end of file that whoever held the pipe is gone.
    if sys.stdin.readline() != DONE:
        end_everything(Path(sys.argv[1]))
