"""S3: `rclone serve s3` over a folder."""

from __future__ import annotations

from typing import ClassVar

from local_platform.services.http import get
from local_platform.services.part import Command, Part

BUCKET = "platform-ops"


class ObjectStore(Part):
    name: ClassVar[str] = "s3"
    ports: ClassVar[tuple[str, ...]] = ("s3",)

    def prepare(self) -> None:
        # A bucket is a folder.
        (self.platform.layout.data(self.name) / "buckets" / BUCKET).mkdir(parents=True, exist_ok=True)

    def command(self) -> Command:
        folder = self.platform.layout.data(self.name)
        argv = [
            self.platform.layout.program("rclone"),
            "serve",
            "s3",
            str(folder / "buckets"),
            f"--addr={self.platform.address('s3')}",
            f"--cache-dir={folder / 'cache'}",
            "--vfs-cache-mode=off",
        ]
        # Keys by environment: a command line can be read by every user of the machine.
        # rclone reads a list of pairs as CSV, hence the quotes.
        keys = f'"{self.access_key},{self.secret_key}"'
        return Command(argv, {"RCLONE_AUTH_KEY": keys, "RCLONE_CONFIG": ""})

    def probe(self) -> None:
        # 400 is its answer to a request without a signature.
        get(self.platform.url("s3") + "/", expect=(400, 403))

    @property
    def access_key(self) -> str:
        return self.platform.secrets["s3-access"].replace("-", "x").replace("_", "y")

    @property
    def secret_key(self) -> str:
        return self.platform.secrets["s3-secret"].replace("-", "x").replace("_", "y")
