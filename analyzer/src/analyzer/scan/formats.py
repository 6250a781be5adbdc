"""Formats whose content a scan of their bytes cannot see."""

from __future__ import annotations

_SIGNATURES = (
    (b"PK\x03\x04", "zip archive"),
    (b"PK\x05\x06", "zip archive"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-zip archive"),
    (b"Rar!\x1a\x07", "rar archive"),
    (b"%PDF-", "PDF"),
)


def compressed_format(start: bytes) -> str | None:
    """The format that a content begins like, or None for one whose bytes are its content."""
    return next((name for signature, name in _SIGNATURES if start.startswith(signature)), None)
