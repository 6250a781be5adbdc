"""From a build context to an image: base layer, dependency layer, application layer."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local_platform.images.debian import Apt
from local_platform.images.errors import BuildError
from local_platform.images.layer import Layer, Tree, cached
from local_platform.images.oci import Image, image
from local_platform.images.python_files import IMAGE_PYTHON, PLATFORM, find_uv, installed, with_byte_code
from local_platform.images.recipe import Recipe
from local_platform.images.rootfs import root_filesystem

_FORMAT = 2
"""Part of every cache key: raised when a layer's contents change for the same inputs."""


@dataclass(frozen=True)
class Builder:
    """Builds images; layers are kept in `cache` by what went into them."""

    cache: Path
    progress: Callable[[str], None] = print

    def build(self, context: Path, labels: Mapping[str, str], epoch: int = 0) -> Image:
        """The image of a context. The same context, labels and package versions give the same digest."""
        recipe = Recipe.read(context)
        layers = [("Debian packages: " + " ".join(recipe.packages), self._base(recipe))]
        if recipe.requirements:
            dependencies = self._dependencies(context, recipe.requirements, recipe.whole_packages)
            layers.append(("requirements with hashes", dependencies))
        if recipe.application:
            layers.append(("application", self._application(context, recipe, labels)))
        return image(recipe, layers, labels, epoch)

    def _base(self, recipe: Recipe) -> Layer:
        apt = Apt(self.cache / "debian")
        files = apt.resolve(recipe.packages, recipe.leave_out)
        key = _key("base", *files, "drop", *recipe.drop, recipe.user, str(recipe.uid))

        def make() -> Tree:
            self.progress(f"base layer: {len(files)} Debian packages")
            packages = [apt.path(name) for name in files]
            tree = root_filesystem(packages, drop=recipe.drop, user=recipe.user, uid=recipe.uid)
            return with_byte_code(tree, f"usr/lib/python{'.'.join(map(str, IMAGE_PYTHON))}")

        return cached(self.cache, key, make)

    def _dependencies(self, context: Path, name: str, whole: bool) -> Layer:
        requirements = context / name
        if not requirements.is_file():
            raise BuildError(
                f"{requirements} is missing; it is what [tool.platform-image] requirements names"
            )

        def make() -> Tree:
            self.progress(f"dependency layer: {name}")
            tree = installed(requirements, find_uv(), self.cache, whole=whole)
            return with_byte_code(tree, "app/lib", keep_sources=whole)

        kind = "python, whole" if whole else "python"
        return cached(self.cache, _key(kind, PLATFORM, requirements.read_text()), make)

    def _application(self, context: Path, recipe: Recipe, labels: Mapping[str, str]) -> Layer:
        tree = Tree()
        for name in recipe.application:
            source = context / name
            if not source.exists() or not source.resolve().is_relative_to(context.resolve()):
                raise BuildError(f"{source}: there is no such file or folder in the build context")
            tree.add(source, f"app/{name}")
        if recipe.labels_file:
            tree.file(recipe.labels_file, json.dumps(dict(sorted(labels.items()))))
        return cached(self.cache, _key("app", *_listing(tree)), lambda: with_byte_code(tree, "app"))


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps([_FORMAT, *parts]).encode()).hexdigest()


def _listing(tree: Tree) -> list[str]:
    """What tells two trees apart, as text."""
    return [
        f"{path} {node.mode:o} {node.target if node.kind == tarfile.SYMTYPE else ''} "
        f"{hashlib.sha256(node.content).hexdigest()}"
        for path, node in sorted(tree.items())
    ]
