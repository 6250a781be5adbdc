"""What may be said about a secret: a preview that gives nothing away, and a keyed fingerprint."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fingerprinter:
    """Names a value so that two findings can be compared and the value cannot be guessed from the name."""

    key: bytes = field(repr=False)

    @classmethod
    def ephemeral(cls) -> Fingerprinter:
        """One whose fingerprints mean something within this process only."""
        return cls(secrets.token_bytes(32))

    @property
    def key_id(self) -> str:
        """Says which key made a fingerprint; fingerprints of different keys cannot be compared."""
        return hashlib.sha256(b"analyzer fingerprint key id" + self.key).hexdigest()[:8]

    def __call__(self, value: bytes) -> str:
        return f"{self.key_id}:{hmac.new(self.key, value, hashlib.sha256).hexdigest()[:32]}"


def redacted(value: bytes, public: tuple[bytes, ...] = ()) -> str:
    """The length of a value, after the prefix that its format makes public (one of `public`)."""
    prefix = next((p for p in public if value.startswith(p)), b"")
    return f"{prefix.decode()}…({len(value)} characters)"
