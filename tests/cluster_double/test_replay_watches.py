"""The replay's own judgement of a watch's end: strict on the server, deaf to stops of its own loop."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import aiohttp
import pytest
from replay.recordings import Exchange
from replay.running import Wait
from replay.watches import Watch

WAIT = Wait(recorded=0.0, longest=0.0)
TOO_LATE = "the watch did not end after its timeoutSeconds"


def exchange(seconds: int) -> Exchange:
    given = {field.name: None for field in dataclasses.fields(Exchange)}
    known = {"query": (("watch", "1"), ("timeoutSeconds", str(seconds))), "events": (), "ended": ""}
    return Exchange(**{**given, **known})  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[str]:
    """Ends a watch after as many seconds as its path says; in threads, which go on while a loop stands."""
    over = threading.Event()

    class Watched(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            over.wait(float(urlsplit(self.path).path.lstrip("/")))

        def log_message(self, *_: object) -> None:
            """Nothing: pytest shows what a test needs."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Watched) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        over.set()
        listening.shutdown()
        thread.join()


async def ended(url: str, seconds: int, stop: float = 0.0) -> str:
    """The trouble of a watch of so many seconds; this loop stands still for `stop` seconds meanwhile."""
    async with aiohttp.ClientSession() as session:
        opened = await Watch.open(session, exchange(seconds), url, {})
        asyncio.get_running_loop().call_later(0.2, time.sleep, stop)
        await opened.finish(WAIT)
        return opened.trouble


async def test_a_watch_that_ends_in_time_is_no_trouble(server: str) -> None:
    assert await ended(f"{server}/1", 1) == ""


async def test_a_watch_that_goes_on_is_trouble(server: str) -> None:
    assert await ended(f"{server}/20", 1) == TOO_LATE


async def test_a_loop_that_stood_still_does_not_make_the_server_late(server: str) -> None:
    assert await ended(f"{server}/1", 1, stop=4.0) == ""
