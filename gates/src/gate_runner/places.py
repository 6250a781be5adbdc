"""The interpreter and the environment that tools get: none of ours but what they need."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

PYTHON: Sequence[str] = (sys.executable, "-P", "-m")
"""-P: the folder where a tool starts is none to import from."""
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE")


def environment() -> dict[str, str]:
    """Without what the platform told us: a tested tree may read its environment."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed, "HOME": os.environ.get("TMPDIR", "/tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
