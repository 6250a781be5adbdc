"""The file of keys that may sign, beside those of the catalog."""

from __future__ import annotations

from pathlib import Path

from platform_ops.core.errors import PermanentError
from platform_ops.core.signatures import Signer, parse_signer


def listed_signers(path: str) -> tuple[Signer, ...]:
    """The file's lines; nothing without a path. PermanentError names a line that cannot be used: a key that
    was passed over would refuse somebody's commits without a reason."""
    if not path:
        return ()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as unreadable:
        raise PermanentError(
            f"PLATFORM_OPS_ALLOWED_SIGNERS names {path}, which cannot be read: {unreadable.strerror}"
        ) from unreadable
    signers = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                signers.append(parse_signer(line))
            except ValueError as wrong:
                raise PermanentError(f"{path}:{number}: {wrong}") from wrong
    return tuple(signers)
