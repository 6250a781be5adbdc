"""Starts one container, keeps its log, and records how it ended.

`python -m local_platform.node.runtime.shim SPEC`.

The node may die and come back: the shim is a session of its own, and everything it knows is in the
container's folder (`state.json`, `log`, `exit.json`, `attach.sock`). When the shim itself is killed, the
kernel kills the container. The first process prints one JSON line, `{"started": {...}}` or `{"failed":
"why"}`, and leaves the shim behind.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import termios
from pathlib import Path
from typing import NoReturn

from local_platform.node.runtime import kernel, sandbox
from local_platform.node.runtime.relay import Relay, write_atomically
from local_platform.node.runtime.sandbox import ContainerSpec


def main() -> None:
    spec = ContainerSpec.from_json(json.loads(Path(sys.argv[1]).read_text()))
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        with os.fdopen(reader) as file:
            sys.stdout.write(file.read() or '{"failed": "the shim died before it started the container"}')
        return
    os.close(reader)
    os.setsid()
    detach_standard_streams()
    run(spec, writer)


def detach_standard_streams() -> None:
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)


def run(spec: ContainerSpec, report: int) -> None:
    os.chdir(spec.folder)
    Path("attach.sock").unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("attach.sock")
    listener.listen(8)
    streams = Streams(spec)
    failure_reader, failure_writer = os.pipe()
    try:
        sandbox.enter_user_and_pid_namespaces()
    except OSError as error:
        fail(report, f"user namespaces are not allowed here ({error}); see sysctl user.max_user_namespaces")
    first = os.fork()
    if first == 0:
        become_container(spec, streams, failure_writer)
    os.close(failure_writer)
    streams.close_container_side()
    terminal = streams.receive_terminal()
    with os.fdopen(failure_reader) as file:
        failure = file.read()
    if failure:
        os.waitpid(first, 0)
        fail(report, failure)
    state = {"shim": identity(os.getpid()), "first": identity(first)}
    write_atomically("state.json", json.dumps(state))
    os.write(report, json.dumps({"started": state}).encode())
    os.close(report)
    Relay(spec, first, listener, streams.outputs(terminal), streams.input(terminal), terminal).run()


def fail(report: int, why: str) -> NoReturn:
    os.write(report, json.dumps({"failed": why}).encode())
    os._exit(1)


def identity(pid: int) -> dict[str, int]:
    """A pid and the time it started, in clock ticks since boot: together they name one process for ever."""
    return {"pid": pid, "start": start_time(pid)}


def start_time(pid: int) -> int:
    # proc(5): the name in field 2 may hold spaces and brackets, so fields are counted from the last bracket.
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


class Streams:
    """The pipes, or the terminal, between the shim and the container."""

    def __init__(self, spec: ContainerSpec) -> None:
        self._spec = spec
        self._stdin: tuple[int, int] | None = None
        self._pipes: dict[int, tuple[int, int]] = {}
        self._channel: tuple[socket.socket, socket.socket] | None = None
        if spec.terminal:
            self._channel = socket.socketpair()
            return
        self._pipes = {1: os.pipe(), 2: os.pipe()}
        if spec.stdin:
            self._stdin = os.pipe()

    def connect_container(self) -> None:
        """In the container: put the standard streams in place."""
        if self._channel:
            master, slave = os.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            socket.send_fds(self._channel[1], [b"t"], [master])
            os.close(master)
            os.login_tty(slave)
            return
        os.dup2(self._stdin[0] if self._stdin else os.open("/dev/null", os.O_RDONLY), 0)
        for stream, (_, writer) in self._pipes.items():
            os.dup2(writer, stream)

    def close_container_side(self) -> None:
        if self._channel:
            self._channel[1].close()
        if self._stdin:
            os.close(self._stdin[0])
        for _, writer in self._pipes.values():
            os.close(writer)

    def receive_terminal(self) -> int | None:
        if not self._channel:
            return None
        _, descriptors, _, _ = socket.recv_fds(self._channel[0], 1, 1)
        return descriptors[0] if descriptors else None

    def outputs(self, terminal: int | None) -> dict[int, int]:
        """Descriptors to read, with the channel each belongs to."""
        if terminal is not None:
            return {terminal: 1}
        return {reader: stream for stream, (reader, _) in self._pipes.items()}

    def input(self, terminal: int | None) -> int | None:
        if terminal is not None:
            return terminal
        return self._stdin[1] if self._stdin else None


def become_container(spec: ContainerSpec, streams: Streams, failure: int) -> NoReturn:
    """In the first process of the container: build the sandbox and turn into the program."""
    try:
        sandbox.build(spec)
        streams.connect_container()
        sandbox.become_user(spec.uid, spec.gid)
        sandbox.limit_privileges(spec)
        os.makedirs(spec.directory, exist_ok=True) if not os.path.isdir(spec.directory) else None
        os.chdir(spec.directory)
        program = sandbox.find_program(spec.argv[0], spec.environment)
        os.umask(0o022)
        os.setsid() if not spec.terminal else None
        for number in (signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.execve(program, list(spec.argv), spec.environment)
    except OSError as error:
        text = str(error) if error.errno is None else describe(error, spec)
        os.write(failure, text.encode())
    os._exit(128)


def describe(error: OSError, spec: ContainerSpec) -> str:
    if error.errno == errno.ENOEXEC:
        return f'exec: "{spec.argv[0]}": exec format error; is the image built for this machine?'
    if error.errno == errno.EACCES:
        return f'exec: "{spec.argv[0]}": permission denied'
    return error.strerror or str(error)


if __name__ == "__main__":
    main()
