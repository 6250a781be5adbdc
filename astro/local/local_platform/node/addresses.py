"""Pod addresses: one per pod from 127.64.0.0/10, kept in a file so that a restarted node gives out none
twice.
"""

from __future__ import annotations

import ipaddress
import json
import zlib
from pathlib import Path

from local_platform.node.runtime.relay import write_atomically

NETWORK = ipaddress.ip_network("127.64.0.0/10")
SHARES = 63


def share_of(folder: Path) -> int:
    """The share of the network that belongs to a node's folder; two folders may have the same."""
    return zlib.crc32(str(folder.resolve()).encode()) % SHARES


class AddressesExhaustedError(Exception):
    """Every address of the node's share is in use."""


class Addresses:
    """Addresses by pod uid. `share` picks 65,000 of the four million, so that nodes of two checkouts do
    not collide.
    """

    def __init__(self, file: Path, share: int) -> None:
        self._file = file
        first = int(NETWORK.network_address) + (share % SHARES + 1) * 65536
        self._range = range(first + 1, first + 65535)
        self._given: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        self._next = max(self._given.values(), default=first)

    def give(self, uid: str) -> str:
        """The pod's address, the same at every call. Freed addresses come back last, as late as possible."""
        if uid not in self._given:
            used = set(self._given.values())
            for step in range(1, len(self._range) + 1):
                candidate = self._range[(self._next - self._range[0] + step) % len(self._range)]
                if candidate not in used:
                    break
            else:
                raise AddressesExhaustedError("no pod address is free; delete some pods")
            self._given[uid] = self._next = candidate
            self._write()
        return str(ipaddress.ip_address(self._given[uid]))

    def free(self, uid: str) -> None:
        if self._given.pop(uid, None) is not None:
            self._write()

    def _write(self) -> None:
        write_atomically(str(self._file), json.dumps(self._given))
