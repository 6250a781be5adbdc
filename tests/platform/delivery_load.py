"""Requests of users, sent by a process of their own: who measures must not slow down what is measured.

    python tests/platform/delivery_load.py URL HOST OUT RATE

The load generator of the demonstration with the stand-in's slow path; a slow request takes longer here than
a colour lives on after it lost its traffic, so that every switch cuts through some of them.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from delivery_child import parent_gone
from releasing import Place

from local_platform.demo.load import Load, Mix, Record

MIX = Mix(
    path="/health",
    slow=0.02,
    slow_path="/api/certificates",
    slow_body=b'{"system": [[-1.0, 0.0], [0.0, -2.0]]}',
    slow_s=6.0,
)


@dataclass(frozen=True)
class Sent:
    path: Path
    process: subprocess.Popen[bytes]

    def number(self) -> int:
        """How many were answered so far."""
        assert self.process.poll() is None, f"the load ended with {self.process.returncode}"
        with self.path.open("rb") as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(2**20), b""))

    def records(self) -> Iterator[Record]:
        """One after the other: there may be hundreds of thousands. An unfinished last line is left out."""
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield Record(**json.loads(line))


@contextmanager
def sending(place: Place, rate: float) -> Iterator[Sent]:
    """`rate` requests a second until the block ends; then all have been answered."""
    out = place.folder / f"load-{len(list(place.folder.glob('load-*')))}.ndjson"
    host = urlsplit(place.target.url).netloc
    words = [sys.executable, __file__, place.gateway_url, host, str(out), str(rate)]
    out.touch()
    sent = Sent(out, subprocess.Popen(words))
    try:
        yield sent
    finally:
        sent.process.send_signal(signal.SIGTERM)
        try:
            sent.process.wait(60)
        except subprocess.TimeoutExpired:
            sent.process.kill()
            sent.process.wait()
            raise
    assert sent.process.returncode == 0, f"the load ended with {sent.process.returncode}"


async def _send(load: Load, rate: float) -> None:
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, load.stopping.set)
    orphaned = asyncio.create_task(parent_gone())
    orphaned.add_done_callback(lambda _: load.stopping.set())
    await load.run(rate)
    orphaned.cancel()


def main(url: str, host: str, path: str, rate: str) -> None:
    with Path(path).open("w", encoding="utf-8", buffering=1) as out:
        asyncio.run(_send(Load(url, host, out, MIX), float(rate)))


if __name__ == "__main__":
    main(*sys.argv[1:])
