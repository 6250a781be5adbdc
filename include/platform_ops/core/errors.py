"""The error tree. The code that fails knows whether another attempt helps; callers need only that.

OpsError
├── PermanentError          no retry helps
│   ├── CatalogError        the catalog is wrong; every problem as `file:line: key: problem`
│   ├── NotFound            a named thing does not exist; the message lists what does
│   ├── GateClosed          a rule says no, with the reason
│   │   └── NotApproved     the ledger holds no valid approval for this digest here
│   ├── Held                a promotion is already running or on hold; the message names the holder
│   ├── StaleHolder         somebody with a newer fencing token acts for this rollout
│   └── Refused             the other side refused what we sent (a manifest, a message)
└── TemporaryError          trying again may help
    ├── Unavailable         a system did not answer, or answered 5xx
    └── Conflict            somebody changed the object meanwhile; read it again
"""

from __future__ import annotations

from collections.abc import Sequence


class OpsError(Exception):
    """Root of everything that platform-ops raises on purpose. The text tells a person what to do."""


class PermanentError(OpsError):
    """Trying again without a change does not help."""


class TemporaryError(OpsError):
    """Trying again may help."""


class CatalogError(PermanentError):
    """Every problem found in one catalog file, one `file:line: key: problem` per entry."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class NotFound(PermanentError):
    """A named service, environment, release or object does not exist."""


class GateClosed(PermanentError):
    """A rule refuses the release; the text names the rule and what would satisfy it."""


class NotApproved(GateClosed):
    """The ledger holds no valid approval of this digest in this environment."""


class Held(PermanentError):
    """A promotion of the service is already running, or a person holds it. The text names the holder."""


class StaleHolder(PermanentError):
    """The caller's fencing token is older than the one that acts now: stop at once, do nothing more."""


class Refused(PermanentError):
    """The other side understood the request and refused it."""


class Unavailable(TemporaryError):
    """No answer, a time-out, or a 5xx."""


class Conflict(TemporaryError):
    """The object changed since it was read."""
