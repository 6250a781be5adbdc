"""The shim's attach socket: frames of one channel byte, four length bytes and the payload.

Channels are those of Kubernetes' remote command protocol: 0 stdin (empty: end of input), 1 stdout, 2 stderr,
4 terminal size as `{"Width": w, "Height": h}`.
"""

from __future__ import annotations

import struct

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_HEAD = struct.Struct(">BI")
LARGEST = 1 << 20


def encode(channel: int, payload: bytes) -> bytes:
    return _HEAD.pack(channel, len(payload)) + payload


class Decoder:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames completed by `data`.

        Raises:
            ValueError: a length over one MiB, which no peer of ours sends.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= _HEAD.size:
            channel, length = _HEAD.unpack_from(self._buffer)
            if length > LARGEST:
                raise ValueError(f"frame of {length} bytes on channel {channel}")
            end = _HEAD.size + length
            if len(self._buffer) < end:
                break
            frames.append((channel, self._buffer[_HEAD.size : end]))
            self._buffer = self._buffer[end:]
        return frames
