"""The image registry: Debian's `docker-registry` (CNCF distribution), plain HTTP on loopback."""

from __future__ import annotations

from typing import ClassVar

import yaml

from local_platform.kept import write_private
from local_platform.services.http import get
from local_platform.services.part import Command, Part


class Registry(Part):
    name: ClassVar[str] = "registry"
    ports: ClassVar[tuple[str, ...]] = ("registry",)

    def _settings(self) -> str:
        folder = self.platform.layout.data(self.name)
        settings = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "storage")},
                "delete": {"enabled": True},
                "cache": {"blobdescriptor": "inmemory"},
            },
            "http": {
                "addr": self.platform.address("registry"),
                # Signs the state that a client carries through an upload in pieces.
                "secret": self.platform.secrets["registry-http"],
            },
        }
        return yaml.safe_dump(settings)

    def prepare(self) -> None:
        write_private(self.platform.layout.data(self.name) / "config.yml", self._settings())

    def command(self) -> Command:
        config = self.platform.layout.data(self.name) / "config.yml"
        return Command(
            [self.platform.layout.program("docker-registry"), "serve", str(config)],
            configuration=self._settings(),
        )

    def probe(self) -> None:
        get(self.platform.url("registry") + "/v2/")

    def where(self) -> str:
        return self.platform.address("registry")
