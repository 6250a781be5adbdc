"""Where things are: the checkout, its tools, and the state folder of one platform."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from local_platform.errors import PlatformError

CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Layout:
    """Paths of one platform.

    `state` is `PLATFORM_STATE`, or `.platform/state` of the checkout: everything that one platform writes.
    `tools` is shared by all platforms of a checkout and written by the set-up only.
    """

    root: Path
    state: Path

    @classmethod
    def from_environment(cls) -> Layout:
        state = os.environ.get("PLATFORM_STATE")
        return cls(CHECKOUT, Path(state).resolve() if state else CHECKOUT / ".platform" / "state")

    @property
    def dags(self) -> Path:
        """The DAGs that Airflow reads: the checkout's, or those of `PLATFORM_DAGS`."""
        given = os.environ.get("PLATFORM_DAGS")
        return Path(given).resolve() if given else self.root / "dags"

    @property
    def tools(self) -> Path:
        return self.root / ".platform"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def data(self, part: str) -> Path:
        """The data folder of a part, made when it is first asked for."""
        folder = self.state / "data" / part
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def create(self) -> None:
        """Make the state folder, readable by nobody else: it holds tokens, keys and passwords."""
        try:
            for folder in (self.state, self.logs, self.state / "run"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.state.chmod(0o700)
            (self.state / MARKER).touch()
        except OSError as error:
            raise PlatformError(
                f"cannot write the state folder {self.state}: {error.strerror}; free space or rights there,"
                " or name another folder in PLATFORM_STATE"
            ) from error

    def program(self, name: str) -> str:
        """Path of a program that the set-up put into the checkout."""
        places = (
            Path(sys.executable).parent / name,
            self.tools / "bin" / name,
            self.tools / "debian" / "usr" / "bin" / name,
        )
        for place in places:
            if os.access(place, os.X_OK):
                return str(place)
        raise PlatformError(f"the program {name} is missing; `make setup` downloads it again")


MARKER = ".local-platform"
