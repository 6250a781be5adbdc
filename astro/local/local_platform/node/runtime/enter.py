"""Runs one more program in a running container: `python -m local_platform.node.runtime.enter REQUEST`.

REQUEST is JSON: `shim` and `first` (pids), `argv`, `environment`, `directory`, and for a terminal `channel`,
the descriptor of a socket over which the terminal's other end is sent back. Exit code and signals are those
of the program; when it cannot be started, the reason stands on the descriptor `failure`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from local_platform.node.runtime import kernel, sandbox

NAMESPACES = (
    ("mnt", kernel.CLONE_NEWNS),
    ("ipc", kernel.CLONE_NEWIPC),
    ("uts", kernel.CLONE_NEWUTS),
    ("pid", kernel.CLONE_NEWPID),
)


def main() -> NoReturn:
    request = json.loads(sys.argv[1])
    failure: int = request["failure"]
    os.set_inheritable(failure, False)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        enter(request["shim"], request["first"])
    except OSError as error:
        os.write(failure, f"cannot enter the container: {error}".encode())
        os._exit(126)
    program = os.fork()
    if program == 0:
        start(request, failure)
    close_streams()
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(128 - code if code < 0 else code)


def enter(shim: int, first: int) -> None:
    """Join the outer user namespace, which owns the mounts, then the rest, then the user's own."""
    outer = os.open(f"/proc/{shim}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    inner = os.open(f"/proc/{first}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    others = [
        (os.open(f"/proc/{first}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind) for name, kind in NAMESPACES
    ]
    kernel.setns(outer, kernel.CLONE_NEWUSER)
    for descriptor, kind in others:
        kernel.setns(descriptor, kind)
    if os.fstat(inner).st_ino != os.fstat(outer).st_ino:
        kernel.setns(inner, kernel.CLONE_NEWUSER)


def start(request: dict[str, Any], failure: int) -> NoReturn:
    try:
        # The child of a process that joined a PID namespace has left its parent's; the kernel still tells it
        # of the death.
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if "channel" in request:
            connect_terminal(request["channel"])
        else:
            os.setsid()
        environment: dict[str, str] = request["environment"]
        os.chdir(request["directory"])
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        program = sandbox.find_program(request["argv"][0], environment)
        os.execve(program, request["argv"], environment)
    except OSError as error:
        os.write(failure, (error.strerror or str(error)).encode())
    os._exit(127)


def connect_terminal(channel: int) -> None:
    master, slave = os.openpty()
    with socket.socket(fileno=channel) as peer:
        socket.send_fds(peer, [b"t"], [master])
    os.close(master)
    os.login_tty(slave)


def close_streams() -> None:
    """The program alone holds the streams now, so that their ends are seen when it ends."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)


if __name__ == "__main__":
    main()
