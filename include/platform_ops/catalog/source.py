"""YAML with the line of every key and value, so that a problem can be shown where it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from platform_ops.core.errors import CatalogError

# libyaml's, where PyYAML was built with it: every parsing of a DAG file reads the catalog, and for hundreds
# of services the loader in Python takes seconds.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DEEPEST = 100
"""Levels. libyaml's composer ends the process where the one in Python would raise RecursionError."""

Key = str | int
KeyPath = tuple[Key, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it was written, and what to change."""

    line: int
    key: str
    text: str

    def at(self, file: str) -> str:
        return f"{file}:{self.line}: {self.key}: {self.text}"


@dataclass
class Source:
    """The parsed data of one file. Keys that stand twice are problems; the first one counts."""

    data: Any
    lines: dict[KeyPath, int]
    """Line of the key (for a list: of the item)."""
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Sequence[Key]) -> int:
        """The line of a path, or of the nearest parent that was written."""
        for end in range(len(path), 0, -1):
            if (found := self.lines.get(tuple(path[:end]))) is not None:
                return found
        return 1

    def existing(self, loc: Sequence[Key]) -> KeyPath:
        """A pydantic location without the tags of unions, which nobody wrote."""
        path: list[Key] = []
        node = self.data
        for index, key in enumerate(loc):
            if _holds(node, key):
                node = node[key]
            elif index < len(loc) - 1 and isinstance(node, Mapping | list):
                continue
            path.append(key)
        return tuple(path)


def _holds(node: Any, key: Key) -> bool:
    if isinstance(node, Mapping):
        return key in node
    return isinstance(node, list) and isinstance(key, int) and key < len(node)


def dotted(path: Sequence[Key]) -> str:
    """`services.web.checks[0].path`"""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text or "catalog"


def parse(text: str, file: str) -> Source:
    """The data of a YAML text. CatalogError when it is no YAML, with the line."""
    loader = _LOADER(text)
    try:
        _refuse_depth(text)
        root = loader.get_single_node()
        source = Source(data=None, lines={})
        source.data = _value(loader, root, (), source) if root is not None else {}
    except (yaml.YAMLError, RecursionError) as broken:
        raise CatalogError([_syntax_problem(broken, file)]) from broken
    finally:
        loader.dispose()
    return source


def _refuse_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise RecursionError(f"nested more than {_DEEPEST} levels deep")


def read(path: Path) -> Source:
    """The data of a YAML file. CatalogError when it cannot be read or is no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as broken:
        raise CatalogError([f"{path}:1: catalog: is not UTF-8 text ({broken.reason})"]) from broken
    except OSError as missing:
        problem = f"{path}:1: catalog: cannot be read ({missing.strerror}); set PLATFORM_OPS_CATALOG"
        raise CatalogError([problem]) from missing
    return parse(text, str(path))


def _value(loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath, source: Source) -> Any:
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        return {
            key: _value(loader, item, (*path, key), source)
            for key, item in _entries(loader, node, path, source)
        }
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            source.lines[(*path, index)] = item.start_mark.line + 1
        return [_value(loader, item, (*path, index), source) for index, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def _entries(
    loader: yaml.SafeLoader, node: yaml.MappingNode, path: KeyPath, source: Source
) -> Iterator[tuple[str, yaml.Node]]:
    for key_node, item in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        line = key_node.start_mark.line + 1
        first = source.lines.setdefault((*path, key), line)
        if first != line:
            text = f"stands here and in line {first}; keep one"
            source.problems.append(Problem(line, dotted((*path, key)), text))
        else:
            yield key, item


def _syntax_problem(broken: yaml.YAMLError | RecursionError, file: str) -> str:
    mark = getattr(broken, "problem_mark", None)
    line = mark.line + 1 if mark is not None else 1
    what = getattr(broken, "problem", None) or str(broken)
    return f"{file}:{line}: catalog: is no valid YAML: {what}"
