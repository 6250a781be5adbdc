"""Resource quantities: their value, and the canonical text that the server stores.

Follows k8s.io/apimachinery `api/resource`: the suffix family is kept, the largest suffix without a fraction
is used, and nothing is finer than nano.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal

_PATTERN = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]+)?"
)
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_NANO = Decimal("1e-9")


class QuantityError(ValueError):
    """The text is no quantity; the message is the server's."""


def parse_quantity(text: str | int | float) -> Decimal:
    """The plain number, in the resource's own unit (cores, bytes, pieces)."""
    number, suffix = _split(text)
    value: Decimal
    if suffix in _BINARY[1:]:
        value = number * 1024 ** _BINARY.index(suffix)
    elif suffix in _DECIMAL:
        value = number.scaleb(_DECIMAL[suffix])
    else:
        value = number.scaleb(int(suffix[1:]))
    return value if value == value.quantize(_NANO) else value.quantize(_NANO, rounding=ROUND_UP)


def _split(text: str | int | float) -> tuple[Decimal, str]:
    match = _PATTERN.fullmatch(str(text))
    if match is None:
        raise QuantityError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    return Decimal(match[1]), match[2] or ""


def canonical(text: str | int | float) -> str:
    """`0.5` → `500m`, `1000m` → `1`, `1024Mi` → `1Gi`."""
    _, suffix = _split(text)
    value = parse_quantity(text)
    if value == 0:
        return "0"
    if suffix in _BINARY[1:] and abs(value) >= 1024 and value == value.to_integral_value():
        return _binary(int(value))
    if suffix[:1] in ("e", "E") and suffix != "E":
        return _exponent(value)
    return _decimal(value)


def _binary(value: int) -> str:
    step = 0
    while value % 1024 == 0 and step + 1 < len(_BINARY):
        value //= 1024
        step += 1
    return f"{value}{_BINARY[step]}"


def _decimal(value: Decimal) -> str:
    for suffix, power in sorted(_DECIMAL.items(), key=lambda one: -one[1]):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    raise AssertionError("a quantity is never finer than nano")


def _exponent(value: Decimal) -> str:
    for power in (18, 15, 12, 9, 6, 3, 0, -3, -6, -9):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}e{power}" if power else str(int(scaled))
    raise AssertionError("a quantity is never finer than nano")
