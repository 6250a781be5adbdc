"""Field types of the catalog: text that must mean something, checked where it is written."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
)

from platform_ops.core.signatures import key_of

_DURATION = re.compile(
    r"^P(?=\d|T\d)(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?$"
)
_QUANTITY = re.compile(r"^(?P<number>\d+(?:\.\d+)?)(?P<suffix>m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
_FACTORS: dict[str | None, Decimal] = {None: Decimal(1), "m": Decimal("0.001")}
_FACTORS |= {letter: Decimal(1000) ** power for power, letter in enumerate("kMGT", start=1)}
_FACTORS |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGT", start=1)}
_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


class Model(BaseModel):
    """Base of all catalog models: a key that nobody knows is an error, a loaded value never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def parse_duration(value: object) -> timedelta:
    """ISO 8601 duration of days and smaller units; years and months have no fixed length."""
    if isinstance(value, timedelta):
        return value
    found = _DURATION.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is no ISO 8601 duration; write the unit, such as PT30S, PT5M or P1D")
    return timedelta(**{unit: float(amount) for unit, amount in found.groupdict().items() if amount})


def format_duration(value: timedelta) -> str:
    """The ISO 8601 text of a duration that is not negative, such as `P1DT30S`."""
    minutes, seconds = divmod(Decimal(value // timedelta(microseconds=1)) / 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    time = "".join(
        f"{amount.normalize():f}{unit}"
        for amount, unit in ((hours, "H"), (minutes, "M"), (seconds, "S"))
        if amount
    )
    text = (f"{days:f}D" if days else "") + (f"T{time}" if time else "")
    return f"P{text or 'T0S'}"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "format": "duration", "examples": ["PT30S", "PT5M", "P1D"]}),
]


def quantity_value(text: str) -> Decimal:
    """Number behind a Kubernetes quantity: cores or bytes."""
    found = _QUANTITY.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no Kubernetes quantity; write it as 250m, 2, 512Mi or 4Gi")
    return Decimal(found["number"]) * _FACTORS[found["suffix"]]


def _quantity(value: object) -> str:
    text = str(value)
    if quantity_value(text) <= 0:
        raise ValueError(f"{text!r} must be more than nothing")
    return text


Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    WithJsonSchema({"type": ["string", "number"], "examples": ["250m", "2", "512Mi", "4Gi"]}),
]


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{value!r} is no URL; write it as https://host")
    if parts.path not in ("", "/") or parts.query or parts.username:
        raise ValueError(f"{value!r} must end after the host: a route owns the whole host")
    return value.rstrip("/")


def _dns_label(value: str) -> str:
    if not _DNS_LABEL.match(value):
        raise ValueError(f"{value!r} is no DNS label: small letters, digits and '-', at most 63 characters")
    return value


def _image_name(value: str) -> str:
    if "@" in value or ":" in value.rsplit("/", 1)[-1]:
        raise ValueError(f"{value!r} must have neither tag nor digest: a promotion names the digest")
    if "/" not in value or value != value.lower():
        raise ValueError(f"{value!r} must be written as registry/name in small letters")
    return value


def _signing_key(value: str) -> str:
    key_of((), value)
    return value


def _off(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


SignedCommits = Annotated[Literal["required", "off"], BeforeValidator(_off)]
SigningKey = Annotated[
    str,
    AfterValidator(_signing_key),
    WithJsonSchema({"type": "string", "examples": ["ssh-ed25519 AAAA… developer"]}),
]
BaseUrl = Annotated[str, AfterValidator(_base_url), WithJsonSchema({"type": "string", "format": "uri"})]
DnsLabel = Annotated[str, AfterValidator(_dns_label)]
ImageName = Annotated[str, AfterValidator(_image_name)]
