"""What is installed in an image, read from its layers: Python distributions and Debian packages."""

from __future__ import annotations

import asyncio
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from platform_ops.core.errors import Refused

from .registry import Registry

_TOLD = re.compile(
    r"(?:^|/)[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO)$"
    r"|^var/lib/dpkg/status(?:$|\.d/[^/]+(?<!\.md5sums)$)"
    r"|^usr/share/doc/[^/]+/copyright$"
    r"|^usr/lib/os-release$"
)
_LARGEST = 16 << 20
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_LICENCE = re.compile(r"^License:[ \t]*(\S.*?)[ \t]*$", re.M)


@dataclass(frozen=True, order=True)
class Installed:
    """One package of an image."""

    kind: str
    """`pypi` or `deb`."""
    name: str
    version: str
    licences: tuple[str, ...] = ()
    """As the package states them: SPDX expressions, or names."""
    architecture: str = ""
    distribution: str = ""
    """Of a Debian package: `debian-12`."""


async def installed(
    registry: Registry, name: str, manifests: Iterable[Mapping[str, list[Mapping[str, str]]]]
) -> tuple[Installed, ...]:
    """Of the image's manifests (one a platform), sorted. Refused for a layer that cannot be read."""
    found: set[Installed] = set()
    with tempfile.TemporaryDirectory(prefix="image-layers-") as folder:
        for manifest in manifests:
            files: dict[str, bytes] = {}
            for layer in manifest["layers"]:
                path = Path(folder, "layer")
                await registry.fetch(name, layer["digest"], path)
                await asyncio.to_thread(_apply, path, layer, files)
            found.update(packages(files))
    return tuple(sorted(found))


def packages(files: Mapping[str, bytes]) -> Iterator[Installed]:
    """The packages that the files of a root file system tell of."""
    distribution = _distribution(files.get("usr/lib/os-release", b""))
    for path, content in files.items():
        if path.startswith("var/lib/dpkg/"):
            for paragraph in re.split(r"\n\s*\n", content.decode(errors="replace")):
                yield from _debian(paragraph, files, distribution)
        elif path.endswith(("METADATA", "PKG-INFO")):
            yield from _python(content.decode(errors="replace"))


def _apply(path: Path, layer: Mapping[str, str], files: dict[str, bytes]) -> None:
    """Put a layer on top of the files that were found so far."""
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = member.name.removeprefix("./").lstrip("/")
                folder, _, last = name.rpartition("/")
                if last == _OPAQUE:
                    _forget(files, folder)
                elif last.startswith(_WHITEOUT):
                    _forget(files, f"{folder}/{last.removeprefix(_WHITEOUT)}".lstrip("/"))
                elif member.isfile() and _TOLD.search(name) and member.size <= _LARGEST:
                    content = archive.extractfile(member)
                    assert content is not None
                    files[name] = content.read()
    except tarfile.TarError as unread:
        raise Refused(
            f"the layer {layer['digest']} ({layer.get('mediaType', 'of no type')}) cannot be read: {unread}; "
            "build the image with gzip layers"
        ) from unread


def _forget(files: dict[str, bytes], path: str) -> None:
    for name in [name for name in files if name == path or name.startswith(f"{path}/")]:
        del files[name]


def _python(text: str) -> Iterator[Installed]:
    fields = HeaderParser().parsestr(text)
    if fields["Name"] and fields["Version"]:
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
        yield Installed("pypi", name, fields["Version"], _python_licences(fields))


def _python_licences(fields: Message) -> tuple[str, ...]:
    stated = fields["License-Expression"] or fields["License"] or ""
    if stated and "\n" not in stated and len(stated) <= 100:
        return (stated.strip(),)
    classifiers = (one.split(" :: ") for one in fields.get_all("Classifier") or ())
    return tuple(sorted(words[-1] for words in classifiers if words[0] == "License" and len(words) > 1))


def _debian(paragraph: str, files: Mapping[str, bytes], distribution: str) -> Iterator[Installed]:
    fields = HeaderParser().parsestr(paragraph.strip("\n"))
    name, version = fields["Package"], fields["Version"]
    state = fields["Status"] or "installed"
    if name and version and state.split()[-1] == "installed":
        copyright_file = files.get(f"usr/share/doc/{name}/copyright", b"").decode(errors="replace")
        licences = _debian_licences(copyright_file)
        yield Installed("deb", name, version, licences, fields["Architecture"] or "", distribution)


def _debian_licences(copyright_file: str) -> tuple[str, ...]:
    """Of the machine-readable format (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/)."""
    if not copyright_file.startswith("Format:"):
        return ()
    return tuple(sorted(set(_LICENCE.findall(copyright_file))))


def _distribution(os_release: bytes) -> str:
    lines = (line.split("=", 1) for line in os_release.decode(errors="replace").splitlines() if "=" in line)
    fields = {key: value.strip('"') for key, value in lines}
    return f"{fields.get('ID', 'debian')}-{fields['VERSION_ID']}" if "VERSION_ID" in fields else ""
