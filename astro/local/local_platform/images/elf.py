"""Shared libraries without what only debuggers read: in some wheels that is several times their code."""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<16s H H I Q Q Q I H H H H H H")
_SEGMENT = struct.Struct("<I I Q Q Q Q Q Q")
_ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"


def segments_only(content: bytes) -> bytes:
    """A program or library cut after its last segment: the loader reads segments, never sections.

    What is no 64-bit ELF file, or keeps its segments at the end, comes back as it is.
    """
    if not content.startswith(_ELF64_LITTLE_ENDIAN) or len(content) < _HEADER.size:
        return content
    fields = list(_HEADER.unpack_from(content))
    table, size, count = fields[5], fields[9], fields[10]
    if size != _SEGMENT.size or table + size * count > len(content):
        return content
    end = table + size * count
    for number in range(count):
        _, _, offset, _, _, in_file, _, _ = _SEGMENT.unpack_from(content, table + number * size)
        end = max(end, offset + in_file)
    if end >= len(content):
        return content
    # No section table: its offset, number of entries and the index of their names are 0.
    fields[6] = fields[12] = fields[13] = 0
    return _HEADER.pack(*fields) + content[_HEADER.size : end]
