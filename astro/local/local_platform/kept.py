"""What is chosen once and then kept in the state folder: ports and secrets."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from local_platform.errors import PlatformError

# Below Linux's range for outgoing connections (32768-60999), so that no client socket sits on a kept port.
FIRST_PORT, LAST_PORT = 20000, 32000


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise PlatformError(f"cannot write {path}: {error.strerror}; free some space there") from error


def read_table(path: Path) -> dict[str, str]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise PlatformError(f"{path} is damaged ({error}); `make reset` starts afresh") from error
    return dict(table)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ports:
    """Loopback ports by name: free when chosen, and the same ever after."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports = {name: int(port) for name, port in read_table(path).items()}

    def __getitem__(self, name: str) -> int:
        return self._ports[name]

    def choose(self, names: list[str]) -> None:
        missing = [name for name in names if name not in self._ports]
        if not missing:
            return
        candidates = random.sample(range(FIRST_PORT, LAST_PORT), 500)
        free = (port for port in candidates if port not in self._ports.values() and is_free(port))
        for name in missing:
            port = next(free, None)
            if port is None:
                raise PlatformError(f"no free port between {FIRST_PORT} and {LAST_PORT}; stop some servers")
            self._ports[name] = port
        write_private(self._path, json.dumps(self._ports, indent=1, sort_keys=True) + "\n")


class Secrets:
    """Passwords and tokens by name, made when first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values = read_table(path)
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> str:
        return self.get(name, lambda: secrets.token_urlsafe(24))

    def get(self, name: str, make: Callable[[], str]) -> str:
        with self._lock:
            if name not in self._values:
                self._values = {**read_table(self._path), name: make()}
                write_private(self._path, json.dumps(self._values, indent=1, sort_keys=True) + "\n")
            return self._values[name]
