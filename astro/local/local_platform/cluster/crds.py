"""CustomResourceDefinitions that the double installs at its first start."""

from __future__ import annotations

from typing import Any

GATEWAY_API_CRDS: tuple[dict[str, Any], ...] = ()
