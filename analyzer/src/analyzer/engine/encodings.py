"""Which bytes a content stands for: UTF-16 hides every expression, so it is decoded."""

from __future__ import annotations

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def as_utf8(content: bytes) -> bytes:
    """UTF-16 hides every ASCII expression, so it is decoded, with its mark or without; the rest stays as it
    is."""
    if content[:2] in _MARKS:
        return content.decode("utf-16", errors="replace").encode()
    head = content[:512]
    if len(head) >= 16 and b"\0" in head:
        even, odd = head[::2].count(0), head[1::2].count(0)
        if odd > len(head) * 0.4 and even < len(head) * 0.05:
            return content.decode("utf-16-le", errors="replace").encode()
        if even > len(head) * 0.4 and odd < len(head) * 0.05:
            return content.decode("utf-16-be", errors="replace").encode()
    return content
