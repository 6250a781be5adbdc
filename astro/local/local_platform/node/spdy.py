"""The part of SPDY/3.1 that port-forwarding uses: streams, data, and their end.

Frames and the header dictionary are those of the SPDY draft 3.1, sections 2.2 and 2.6.10.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

DATA, SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 2, 3, 4, 6, 7
FIN = 1
VERSION = 3
DICTIONARY_CHECK = 0xE3C6A7C2

_WORDS = [
    *[
        "options",
        "head",
        "post",
        "put",
        "delete",
        "trace",
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "accept-ranges",
        "age",
    ],
    *[
        "allow",
        "authorization",
        "cache-control",
        "connection",
        "content-base",
        "content-encoding",
        "content-language",
    ],
    *[
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "date",
        "etag",
        "expect",
        "expires",
        "from",
    ],
    *[
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "last-modified",
        "location",
    ],
    *[
        "max-forwards",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "range",
        "referer",
        "retry-after",
        "server",
        "te",
        "trailer",
    ],
    *[
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "vary",
        "via",
        "warning",
        "www-authenticate",
        "method",
        "get",
        "status",
    ],
    "200 OK",
    *["version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"],
]
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS) + _TAIL.encode()


class SpdyError(Exception):
    """The peer sent bytes that are no SPDY/3.1."""


@dataclass(frozen=True)
class Frame:
    """One frame; `kind` 0 is data. Only SYN_STREAM carries headers here."""

    kind: int
    stream: int
    flags: int = 0
    payload: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def last(self) -> bool:
        return bool(self.flags & FIN)


class Connection:
    """Turns bytes into frames and back. Header compression has state: one object per connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`.

        Raises:
            SpdyError: another version, or headers that do not decompress.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            length = second & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                break
            body = self._buffer[8 : 8 + length]
            self._buffer = self._buffer[8 + length :]
            frames.append(self._frame(first, second >> 24, body))
        return frames

    def _frame(self, first: int, flags: int, body: bytes) -> Frame:
        if not first & 0x80000000:
            return Frame(DATA, first, flags, body)
        version, kind = (first >> 16) & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"SPDY version {version}, expected {VERSION}")
        if kind == SYN_STREAM:
            stream = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
            return Frame(kind, stream, flags, headers=self._headers(body[10:]))
        if kind in (SYN_REPLY, RST_STREAM):
            return Frame(kind, struct.unpack_from(">I", body)[0] & 0x7FFFFFFF, flags, body)
        return Frame(kind, 0, flags, body)

    def _headers(self, block: bytes) -> tuple[tuple[str, str], ...]:
        try:
            raw = self._inflate.decompress(block)
            (count,) = struct.unpack_from(">I", raw)
            position, parts = 4, []
            for _ in range(count * 2):
                (length,) = struct.unpack_from(">I", raw, position)
                parts.append(raw[position + 4 : position + 4 + length].decode())
                position += 4 + length
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"broken headers: {error}") from error
        return tuple(zip(parts[::2], parts[1::2], strict=True))

    def stream(self, stream: int, headers: dict[str, str], *, last: bool = False) -> bytes:
        body = struct.pack(">IIH", stream, 0, 0) + self._block(headers)
        return _control(SYN_STREAM, FIN if last else 0, body)

    def reply(self, stream: int) -> bytes:
        return _control(SYN_REPLY, 0, struct.pack(">I", stream) + self._block({}))

    def _block(self, headers: dict[str, str]) -> bytes:
        raw = struct.pack(">I", len(headers))
        for name, value in headers.items():
            raw += (
                struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
            )
        return self._deflate.compress(raw) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def data(stream: int, payload: bytes, *, last: bool = False) -> bytes:
    return struct.pack(">II", stream, (FIN if last else 0) << 24 | len(payload)) + payload


def pong(payload: bytes) -> bytes:
    return _control(PING, 0, payload)


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body
