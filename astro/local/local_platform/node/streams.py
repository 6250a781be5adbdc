"""exec and attach over WebSocket, as `v5.channel.k8s.io` defines the frames."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from local_platform.cluster.controllers.resources import Object
from local_platform.node.container import Attempt, runtime_command, runtime_environment
from local_platform.node.execution import enter_request
from local_platform.node.runtime import frames

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CLOSE = 255
BLOCK = 32 * 1024

Write = Callable[[int, bytes], Awaitable[None]]


@dataclass(frozen=True)
class StreamRequest:
    """Which streams the client asked for."""

    command: list[str]
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    terminal: bool = False


def exit_status(code: int) -> Object:
    """What the error channel says at the end."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def start_failure(attempt: Attempt, why: str) -> Object:
    return _internal_error(
        "error executing command in container: failed to exec in container: "
        f'failed to start exec "{attempt.identifier}": OCI runtime exec failed: exec failed: '
        f"unable to start container process: {why}: unknown"
    )


def _internal_error(why: str) -> Object:
    """A failure of the runtime, as the kubelet wraps it for the error channel."""
    message = f"Internal error occurred: {why}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


async def input_frames(socket_: web.WebSocketResponse) -> AsyncIterator[tuple[int, bytes]]:
    """The client's frames: channel and payload. Closing stdin arrives as an empty payload."""
    async for message in socket_:
        if message.type == aiohttp.WSMsgType.TEXT:
            # The Python clients send channel and data as one text.
            data = message.data.encode()
        elif message.type == aiohttp.WSMsgType.BINARY:
            data = message.data
        else:
            continue
        if not data:
            continue
        if data[0] == CLOSE:
            if data[1:2] == b"\x00":
                yield frames.STDIN, b""
        elif data[0] != frames.STDIN or len(data) > 1:
            yield data[0], data[1:]


async def finish(socket_: web.WebSocketResponse, status: Object) -> None:
    if not socket_.closed:
        text = json.dumps(status, separators=(",", ":"))
        await socket_.send_bytes(bytes([frames.ERROR]) + text.encode())
        await socket_.close(code=1000)


class Execution:
    """One program run for a client: with pipes, or with a terminal of the container."""

    def __init__(self, attempt: Attempt, request: StreamRequest) -> None:
        self._attempt = attempt
        self._request = request
        self._master: int | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, socket_: web.WebSocketResponse) -> None:
        async def write(channel: int, data: bytes) -> None:
            if not socket_.closed:
                await socket_.send_bytes(bytes([channel]) + data)

        await write(frames.STDOUT, b"")
        reader, writer = os.pipe()
        try:
            output = await self._start(writer)
        finally:
            os.close(writer)
        assert self._process is not None
        feeding = asyncio.ensure_future(self._feed(socket_))
        pumping = asyncio.ensure_future(self._pump(output, write))
        waiting = asyncio.ensure_future(self._process.wait())
        await asyncio.wait({feeding, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            self._process.kill()
        code = await waiting
        await pumping
        feeding.cancel()
        with os.fdopen(reader) as failures:
            failure = failures.read()
        if self._master is not None:
            os.close(self._master)
        await finish(socket_, start_failure(self._attempt, failure) if failure else exit_status(code))

    async def _start(self, failure: int) -> asyncio.subprocess.Process:
        piped = asyncio.subprocess.PIPE
        nothing = asyncio.subprocess.DEVNULL
        if self._request.terminal:
            ours, theirs = socket.socketpair()
            request = enter_request(self._attempt, self._request.command, failure, terminal=theirs.fileno())
            descriptors: tuple[int, ...] = (failure, theirs.fileno())
            streams = (nothing, nothing, nothing)
        else:
            request = enter_request(self._attempt, self._request.command, failure)
            descriptors = (failure,)
            streams = (piped if self._request.stdin else nothing, piped, piped)
        self._process = await asyncio.create_subprocess_exec(
            *runtime_command("enter", request),
            env=runtime_environment(),
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            pass_fds=descriptors,
        )
        if self._request.terminal:
            theirs.close()
            with ours:
                _, received, _, _ = await asyncio.to_thread(socket.recv_fds, ours, 1, 1)
            if received:
                self._master = received[0]
                os.set_blocking(self._master, False)
        return self._process

    async def _pump(self, process: asyncio.subprocess.Process, write: Write) -> None:
        if self._master is not None:
            await self._pump_terminal(self._master, write)
            return
        channels = [
            (frames.STDOUT, process.stdout, self._request.stdout),
            (frames.STDERR, process.stderr, self._request.stderr),
        ]

        async def copy(channel: int, stream: asyncio.StreamReader, wanted: bool) -> None:
            while data := await stream.read(BLOCK):
                if wanted:
                    await write(channel, data)

        await asyncio.gather(
            *(copy(channel, stream, wanted) for channel, stream, wanted in channels if stream)
        )

    async def _pump_terminal(self, master: int, write: Write) -> None:
        loop = asyncio.get_running_loop()
        while True:
            ready: asyncio.Future[None] = loop.create_future()
            loop.add_reader(master, lambda ready=ready: ready.done() or ready.set_result(None))  # type: ignore[misc]
            try:
                await ready
                data = os.read(master, BLOCK)
            except BlockingIOError:
                continue
            except OSError:  # the last user of the terminal has left
                return
            finally:
                loop.remove_reader(master)
            if not data:
                return
            await write(frames.STDOUT, data)

    async def _feed(self, socket_: web.WebSocketResponse) -> None:
        """Give the client's input to the program; returns when the client has gone."""
        async for channel, payload in input_frames(socket_):
            if channel == frames.RESIZE and self._master is not None:
                set_size(self._master, payload)
            elif channel == frames.STDIN and self._request.stdin:
                await self._input(payload)

    async def _input(self, payload: bytes) -> None:
        if self._master is not None:
            os.write(self._master, payload or b"\x04")
            return
        stdin = self._process.stdin if self._process else None
        if stdin is None:
            return
        try:
            if payload:
                stdin.write(payload)
                await stdin.drain()
            else:
                stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            return


def set_size(terminal: int, payload: bytes) -> None:
    size = json.loads(payload)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size["Height"], size["Width"], 0, 0))


async def _shim_streams(attempt: Attempt) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """The shim's socket; None when the attempt has ended, which may be a moment ago."""
    if not attempt.running:
        return None
    folder = os.open(attempt.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # A socket's path may have 107 bytes; by way of the open folder it is always short.
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/attach.sock")
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    finally:
        os.close(folder)


async def attach(socket_: web.WebSocketResponse, attempt: Attempt, request: StreamRequest) -> None:
    """Join the container's own streams through its shim; of an ended container only its state is told."""
    streams = await _shim_streams(attempt)
    await socket_.send_bytes(bytes([frames.STDOUT]))
    if streams is None:
        why = "error attaching to container: container is in CONTAINER_EXITED state"
        await finish(socket_, _internal_error(why))
        return
    reader, writer = streams

    async def output() -> None:
        decoder = frames.Decoder()
        wanted = {frames.STDOUT: request.stdout, frames.STDERR: request.stderr}
        while data := await reader.read(BLOCK):
            for channel, payload in decoder.feed(data):
                if wanted.get(channel) and not socket_.closed:
                    await socket_.send_bytes(bytes([channel]) + payload)

    async def feed() -> None:
        async for channel, payload in input_frames(socket_):
            if channel == frames.RESIZE or (channel == frames.STDIN and request.stdin):
                writer.write(frames.encode(channel, payload))
                await writer.drain()

    tasks = {asyncio.ensure_future(output()), asyncio.ensure_future(feed())}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    writer.close()
    await finish(socket_, exit_status(0))
