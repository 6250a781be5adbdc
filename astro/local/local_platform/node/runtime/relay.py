"""The shim's loop: output into the log and to everybody attached, input to the container, the exit into a
file.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import socket
import struct
import termios
import time
from datetime import UTC, datetime

from local_platform.node.runtime import frames
from local_platform.node.runtime.sandbox import ContainerSpec

LONGEST_LINE = 16 * 1024
MOST_UNSENT = 4 << 20


def write_atomically(name: str, text: str) -> None:
    """Write a file so that a reader sees all of it or none, also after a power cut."""
    with open(name + ".new", "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name + ".new", name)


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits, as container runtimes stamp log lines."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{rest:09d}Z"


class LogWriter:
    """Lines in the container runtime interface's log format: time, stream, F (full) or P (part), text."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._rest = {1: b"", 2: b""}

    def write(self, stream: int, data: bytes) -> None:
        text = self._rest[stream] + data
        *lines, rest = text.split(b"\n")
        out = [self._line(stream, line) for line in lines]
        while len(rest) >= LONGEST_LINE:
            out.append(self._entry(stream, b"P", rest[:LONGEST_LINE]))
            rest = rest[LONGEST_LINE:]
        self._rest[stream] = rest
        if out:
            os.write(self._file, b"".join(out))

    def close(self) -> None:
        for stream, rest in self._rest.items():
            if rest:
                os.write(self._file, self._entry(stream, b"F", rest))
        os.close(self._file)

    def _line(self, stream: int, line: bytes) -> bytes:
        parts = [line[at : at + LONGEST_LINE] for at in range(0, len(line), LONGEST_LINE)] or [b""]
        marks = [b"P"] * (len(parts) - 1) + [b"F"]
        return b"".join(self._entry(stream, mark, part) for mark, part in zip(marks, parts, strict=True))

    def _entry(self, stream: int, mark: bytes, text: bytes) -> bytes:
        name = b"stdout" if stream == 1 else b"stderr"
        return b" ".join((timestamp(time.time_ns()).encode(), name, mark, text)) + b"\n"


class Attached:
    """One connection to the attach socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.decoder = frames.Decoder()
        self.unsent = b""


class Relay:
    """Runs until the container's first process has ended and all its output was read."""

    def __init__(
        self,
        spec: ContainerSpec,
        first: int,
        listener: socket.socket,
        outputs: dict[int, int],
        stdin: int | None,
        terminal: int | None,
    ) -> None:
        self._spec = spec
        self._first = first
        self._outputs = outputs
        self._stdin = stdin
        self._terminal = terminal
        self._log = LogWriter("log")
        self._attached: list[Attached] = []
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        for descriptor in outputs:
            self._selector.register(descriptor, selectors.EVENT_READ, self._read_output)
        self._ended: tuple[int, int] | None = None
        self._process = os.pidfd_open(first)
        self._selector.register(self._process, selectors.EVENT_READ, self._reap)

    def run(self) -> None:
        while self._ended is None or self._outputs:
            for key, _ in self._selector.select():
                key.data(key.fileobj)
        self._log.close()
        code, finished = self._ended
        write_atomically("exit.json", json.dumps({"code": code, "finished": finished}))
        for attached in self._attached:
            attached.connection.setblocking(True)
            attached.connection.settimeout(5)
            self._flush(attached)
            attached.connection.close()

    def _reap(self, _: object) -> None:
        _, status = os.waitpid(self._first, 0)
        code = os.waitstatus_to_exitcode(status)
        self._ended = (128 - code if code < 0 else code, time.time_ns())
        self._selector.unregister(self._process)

    def _read_output(self, descriptor: object) -> None:
        assert isinstance(descriptor, int)
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # a terminal whose last user has left answers EIO
            data = b""
        if not data:
            self._selector.unregister(descriptor)
            del self._outputs[descriptor]
            return
        channel = self._outputs[descriptor]
        self._log.write(channel, data.replace(b"\r\n", b"\n") if self._terminal is not None else data)
        for attached in list(self._attached):
            attached.unsent += frames.encode(channel, data)
            self._flush(attached)

    def _accept(self, _: object) -> None:
        connection, _address = self._listener.accept()
        attached = Attached(connection)
        self._attached.append(attached)
        self._selector.register(connection, selectors.EVENT_READ, lambda _: self._read_attached(attached))

    def _flush(self, attached: Attached) -> None:
        try:
            while attached.unsent:
                attached.unsent = attached.unsent[attached.connection.send(attached.unsent) :]
        except BlockingIOError:
            if len(attached.unsent) > MOST_UNSENT:
                self._drop(attached)
        except OSError:
            self._drop(attached)

    def _drop(self, attached: Attached) -> None:
        if attached in self._attached:
            self._attached.remove(attached)
            self._selector.unregister(attached.connection)
            attached.connection.close()

    def _read_attached(self, attached: Attached) -> None:
        try:
            data = attached.connection.recv(65536)
            received = attached.decoder.feed(data)
        except (OSError, ValueError):
            data, received = b"", []
        for channel, payload in received:
            if channel == frames.STDIN:
                self._write_input(payload)
            elif channel == frames.RESIZE and self._terminal is not None:
                resize(self._terminal, payload)
        if not data:
            self._drop(attached)

    def _write_input(self, payload: bytes) -> None:
        if self._stdin is None:
            return
        if payload:
            try:
                os.write(self._stdin, payload)
            except BrokenPipeError:
                self._stdin = None
        elif self._terminal is not None:
            os.write(self._terminal, b"\x04")
        elif self._spec.stdin_once:
            os.close(self._stdin)
            self._stdin = None


def resize(terminal: int, payload: bytes) -> None:
    size = json.loads(payload)
    packed = struct.pack("HHHH", size.get("Height", 24), size.get("Width", 80), 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)
