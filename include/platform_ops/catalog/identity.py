"""Who platform-ops is in git."""

from __future__ import annotations

from pydantic import Field, field_validator

from .fields import Model, SigningKey


class ServiceIdentity(Model):
    """Who moves branches and tags versions: platform-ops itself. Its private key is a setting."""

    name: str = Field(default="platform-ops", min_length=1)
    """Name in git."""
    email: str = Field(default="platform-ops@example.com", pattern=r"^[^@\s]+@[^@\s]+$")
    """Address in git; it belongs to nobody of `people`."""
    signing_keys: tuple[SigningKey, ...] = ()
    """Public halves of the keys it signs with, the present one and those before it."""

    @field_validator("email")
    @classmethod
    def _small(cls, email: str) -> str:
        return email.lower()
