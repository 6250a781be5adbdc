"""`python -m local_platform.images build`: builds an image and pushes it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from local_platform.images.build import Builder
from local_platform.images.errors import BuildError
from local_platform.images.oci import MANIFEST, Image, digest_of
from local_platform.images.registry import Repository, push

CONTEXTS = Path(__file__).with_name("contexts")
DEFAULT_CACHE = Path(__file__).resolve().parents[4] / ".platform" / "images"


def parser() -> argparse.ArgumentParser:
    """The options are those of `docker buildx build`, as far as a promotion uses them."""
    root = argparse.ArgumentParser(prog="python -m local_platform.images")
    commands = root.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build an image and push it")
    build.add_argument("--context", required=True, help="folder with a pyproject.toml, or builtin:base")
    build.add_argument("--repository", required=True, metavar="HOST[:PORT]/NAME")
    build.add_argument("--tag", required=True)
    build.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    build.add_argument("--metadata-file", type=Path, metavar="FILE", help="JSON as docker buildx writes it")
    build.add_argument("--plain-http", action="store_true", help="the registry speaks HTTP without TLS")
    build.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="default: $PLATFORM_IMAGES, or .platform/images of the checkout",
    )
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """0, or 1 with one sentence on standard error."""
    options = parser().parse_args(argv)
    begin = time.monotonic()
    try:
        labels = _labels(options.label)
        repository = Repository.parse(options.repository, plain_http=options.plain_http)
        cache = options.cache or Path(os.environ.get("PLATFORM_IMAGES") or DEFAULT_CACHE)
        built = Builder(cache.absolute(), lambda text: print(f"images: {text}", flush=True)).build(
            _context(options.context), labels, int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
        )
        push(built, repository, options.tag)
        if options.metadata_file:
            document = _metadata(built, f"{repository}:{options.tag}")
            options.metadata_file.write_text(json.dumps(document, indent=2))
    except BuildError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"images: {error.filename or 'the image'} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{repository}@{built.digest} (tag {options.tag}, {time.monotonic() - begin:.1f} s)")
    return 0


def _context(name: str) -> Path:
    if name.startswith("builtin:"):
        return CONTEXTS / name.removeprefix("builtin:")
    return Path(name)


def _labels(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise BuildError(f"--label {pair!r}: KEY=VALUE is needed")
    return dict(pair.split("=", 1) for pair in pairs)


def _metadata(built: Image, name: str) -> dict[str, object]:
    return {
        "containerimage.config.digest": digest_of(built.config),
        "containerimage.descriptor": {
            "mediaType": MANIFEST,
            "digest": built.digest,
            "size": len(built.manifest),
        },
        "containerimage.digest": built.digest,
        "image.name": name,
    }


if __name__ == "__main__":
    sys.exit(main())
