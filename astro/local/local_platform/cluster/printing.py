"""How `kubectl get` writes times, selectors, ports and container lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

JSON = dict[str, Any]

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"
_MOST_ENDPOINTS = 3


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def since(text: str | None, now: datetime) -> str:
    """The age of a timestamp, `<unknown>` without one."""
    return duration((now - parse_time(text)).total_seconds()) if text else UNKNOWN


def duration(seconds: float) -> str:
    """As k8s.io/apimachinery/pkg/util/duration: two units at most, fewer the longer it is."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(hours // 24, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{hours // 24}d"
    if hours < 24 * 365 * 8:
        return _two(hours // 24 // 365, "y", hours // 24 % 365, "d")
    return f"{hours // 24 // 365}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def labels(values: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted(values.items())) if values else NONE


def selector(value: JSON | None) -> str:
    """A label selector as one line; `<none>` when it selects everything or nothing."""
    if not value:
        return NONE
    parts = [f"{key}={text}" for key, text in sorted((value.get("matchLabels") or {}).items())]
    parts += [_requirement(one) for one in value.get("matchExpressions") or []]
    return ",".join(parts) or NONE


def _requirement(one: JSON) -> str:
    key, values = one["key"], ",".join(sorted(one.get("values") or []))
    match one["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "DoesNotExist":
            return f"!{key}"
    return str(key)


def containers(template: JSON) -> tuple[str, str]:
    """Names and images of a pod template's containers."""
    listed = (template.get("spec") or {}).get("containers") or []
    return ",".join(one["name"] for one in listed), ",".join(one.get("image", "") for one in listed)


def service_ports(ports: Sequence[JSON] | None) -> str:
    if not ports:
        return NONE
    shown = []
    for port in ports:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown)


def shortened(values: Iterable[str], empty: str, most: int = _MOST_ENDPOINTS) -> str:
    """The first few values and how many more there are."""
    listed = list(values)
    if not listed:
        return empty
    rest = len(listed) - most
    text = ",".join(listed[:most])
    return f"{text} + {rest} more..." if rest > 0 else text


def subset_endpoints(subsets: Sequence[JSON] | None) -> str:
    """Endpoints as `ip:port`."""
    if not subsets:
        return NONE
    found: list[str] = []
    for subset in subsets:
        addresses = [one["ip"] for one in subset.get("addresses") or []]
        ports = subset.get("ports") or []
        if not ports:
            found += addresses
        found += [f"{address}:{port['port']}" for port in ports for address in addresses]
    return shortened(found, NONE)


def event_source(event: JSON) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    instance = source.get("host") or event.get("reportingInstance") or ""
    return ", ".join(part for part in (component, instance) if part)
