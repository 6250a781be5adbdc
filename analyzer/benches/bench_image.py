"""How large the service's image is, unpacked, layer by layer.

    python analyzer/benches/bench_image.py

The local builder makes the image (no registry is needed); what counts is the content of its files.
Exit code 1: more than the reach.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from local_platform.images.__main__ import DEFAULT_CACHE
from local_platform.images.build import Builder
from local_platform.images.layer import Layer
from local_platform.images.oci import Image

CONTEXT = Path(__file__).parents[1]
BASE_REACH, WHOLE_REACH = 80, 120
"""MB of the layer with the Debian packages, and of all layers."""


def unpacked(layer: Layer) -> float:
    """MB (10⁶ bytes) of the files in a layer; a hard link is no second file."""
    with tarfile.open(layer.path) as archive:
        return sum(member.size for member in archive if member.isreg()) / 1e6


def table(image: Image) -> tuple[str, bool]:
    """The figures as text, and whether both are within reach."""
    base, dependencies, application = (unpacked(layer) for layer in image.layers)
    whole = base + dependencies + application
    pulled = sum(layer.size for layer in image.layers) / 1e6
    lines = [
        f"{'image, unpacked':<28}{'MB':>8}{'reach':>8}",
        f"{'base: Debian packages':<28}{base:>8.1f}{BASE_REACH:>8}",
        f"{'dependencies':<28}{dependencies:>8.1f}",
        f"{'application':<28}{application:>8.1f}",
        f"{'whole':<28}{whole:>8.1f}{WHOLE_REACH:>8}",
        f"{'whole, as it is pulled':<28}{pulled:>8.1f}",
    ]
    return "\n".join(lines), base <= BASE_REACH and whole <= WHOLE_REACH


def main() -> int:
    """0, or 1 when an image is larger than its reach."""
    text, within = table(Builder(DEFAULT_CACHE).build(CONTEXT, {}))
    print(text)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
