"""ssh keys of this platform's people and of its service identity, and the file that says whose they are."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_platform.errors import PlatformError
from local_platform.kept import write_private
from local_platform.layout import Layout

SERVICE = "platform-ops"
ADDRESSES: Mapping[str, str] = {name: f"{name}@example.com" for name in ("developer", "oncall", SERVICE)}
"""Who commits here, as astro/local/services.yaml lists them, and the service identity."""


@dataclass(frozen=True)
class Committer:
    """Whose name and signature a commit carries."""

    name: str
    address: str
    key: Path
    """Private key; its public half lies beside it as `.pub`."""
    ssh_keygen: str

    def options(self) -> tuple[str, ...]:
        """Options of git with which `commit`, `commit-tree`, `merge` and `tag` sign as this person."""
        settings = {
            "user.name": self.name,
            "user.email": self.address,
            "user.signingKey": str(self.key),
            "gpg.format": "ssh",
            "gpg.ssh.program": self.ssh_keygen,
            "commit.gpgSign": "true",
            "tag.gpgSign": "true",
        }
        return tuple(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))


@dataclass(frozen=True)
class Keys:
    """The keys below a folder that only its owner reads."""

    folder: Path
    layout: Layout

    @property
    def allowed_signers(self) -> Path:
        return self.folder / "allowed_signers"

    def complete(self) -> None:
        """Make the keys that are missing, and write down whose they are."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = []
        for name, address in ADDRESSES.items():
            if not self.key(name).with_suffix(".pub").exists():
                self._make(name, address)
            lines.append(f"{address} {self.key(name).with_suffix('.pub').read_text(encoding='utf-8')}")
        write_private(self.allowed_signers, "".join(lines))

    def committer(self, name: str) -> Committer:
        return Committer(name, ADDRESSES[name], self.key(name), self.layout.program("ssh-keygen"))

    def key(self, name: str) -> Path:
        return self.folder / name

    def _make(self, name: str, address: str) -> None:
        """Moved into place when complete: the public half comes last and says that both are there."""
        draft = self.folder / f".{name}.draft"
        public = self.folder / f".{name}.draft.pub"
        draft.unlink(missing_ok=True)
        program = self.layout.program("ssh-keygen")
        argv = [program, "-q", "-t", "ed25519", "-N", "", "-C", address, "-f", str(draft)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PlatformError(f"ssh-keygen made no key for {name}: {done.stderr.strip()}")
        draft.replace(self.key(name))
        public.replace(self.key(name).with_suffix(".pub"))
