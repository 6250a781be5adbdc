"""A git bundle, from an address or a file, as a repository."""

from __future__ import annotations

import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from analyzer.scan.git import GitError, Repository, command, environment

MAX_BUNDLE = 2 * 1024**3


@contextmanager
def cloned_bundle(source: str) -> Iterator[Repository]:
    """A bare clone of a git bundle from an address or a file, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="analyzer-") as folder:
        bundle = Path(folder) / "source.bundle"
        if urlsplit(source).scheme in ("http", "https"):
            _download(source, bundle)
        elif Path(source).is_file():
            bundle = Path(source).absolute()
        else:
            raise GitError(f"there is no bundle {source!r}")
        target = Path(folder) / "clone.git"
        clone = command(
            "-c", "transfer.fsckObjects=true", "clone", "--mirror", "--quiet", str(bundle), str(target)
        )
        done = subprocess.run(clone, capture_output=True, env=environment(), check=False)
        if done.returncode:
            raise GitError(f"the bundle cannot be cloned: {done.stderr.decode(errors='replace').strip()}")
        yield Repository(target)


def _download(url: str, target: Path) -> None:
    """Fetches a bundle. A presigned address is a credential, so no message repeats its query."""
    shown = urlsplit(url)._replace(query="", netloc=urlsplit(url).hostname or "").geturl()
    try:
        with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as file:
            written = 0
            while block := response.read(1 << 20):
                written += len(block)
                if written > MAX_BUNDLE:
                    raise GitError(f"the bundle at {shown} is larger than {MAX_BUNDLE} bytes")
                file.write(block)
    except urllib.error.HTTPError as error:
        raise GitError(f"{shown} answered {error.code} {error.reason}") from None
    except (urllib.error.URLError, OSError) as error:
        raise GitError(f"{shown} cannot be read: {getattr(error, 'reason', error)}") from None
