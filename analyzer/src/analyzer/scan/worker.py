"""What a worker does with a chunk of items: read, find, and say what could not be seen."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from analyzer.scan.coverage import Coverage
from analyzer.scan.engine import Engine, Finding, Fingerprinter
from analyzer.scan.formats import compressed_format
from analyzer.scan.inline import Allowance, allowance_at
from analyzer.scan.names import without_secrets
from analyzer.scan.source import Block, Item, Reader, Skipped, Unreadable, blocks_of_lines


@dataclass(frozen=True)
class Hit:
    """A finding, and what a comment on its line says of it. It never holds the value."""

    finding: Finding
    item: Item
    allowance: Allowance | None = None


@dataclass
class Part:
    """What came of a chunk."""

    hits: list[Hit] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)


@dataclass(frozen=True)
class Worker:
    """The engine and how it is used; inherited by every worker process."""

    engine: Engine
    fingerprint: Fingerprinter
    honour_inline: bool = False

    def scan(self, items: Sequence[Item], reader: Reader, alive: Callable[[], None] = lambda: None) -> Part:
        """Scans a chunk; `alive` is called after each item. No item ends the scan of the others."""
        part = Part()
        reader.expect(items)
        for item in self._named(items, part):
            try:
                self._scan_one(item, reader, part)
            except Skipped as reason:
                part.coverage.skipped[str(reason)] += 1
            except Unreadable as reason:
                part.coverage.not_scanned.append(f"{item.path}: {reason}")
            except Exception as error:
                part.coverage.not_scanned.append(f"{item.path}: {_failure(error)}")
            alive()
        return part

    def _named(self, items: Sequence[Item], part: Part) -> Sequence[Item]:
        """The items under names that may be shown; what the names gave away is in `part`."""
        try:
            shown, found = without_secrets(items, self.engine, self.fingerprint)
        except Exception as error:
            part.coverage.not_scanned.append(f"the names of {len(items)} files: {_failure(error)}")
            return items
        part.hits += [Hit(finding, item) for finding, item in found]
        return shown

    def _scan_one(self, item: Item, reader: Reader, part: Part) -> None:
        known, complete = set[tuple[int, str, str]](), True
        with closing(_counted(reader.pieces(item), part.coverage)) as pieces:
            for block in blocks_of_lines(pieces):
                search = self.engine.search(block.content, item.path, self.fingerprint)
                complete = complete and search.complete
                for finding in search.findings:
                    placed = replace(finding, line=finding.line + block.first_line - 1)
                    key = (placed.line, placed.rule, placed.fingerprint)
                    if key not in known:
                        known.add(key)
                        part.hits.append(Hit(placed, item, self._allowance(block, finding.line)))
        part.coverage.files += 1
        if not complete:
            raise Unreadable("too many candidates, so it was searched in part only")

    def _allowance(self, block: Block, line: int) -> Allowance | None:
        if not self.honour_inline:
            return None
        found = allowance_at(block.content, line)
        if found and self.engine.search(found.reason.encode(), "reason", self.fingerprint).findings:
            return replace(found, reason="(not shown: it holds a secret itself)")
        return found


def _failure(error: Exception) -> str:
    """What may be said of it: its message may quote the content, which must not leave."""
    return f"the engine failed with {type(error).__name__}"


def _counted(pieces: Iterator[bytes], coverage: Coverage) -> Generator[bytes, None, None]:
    first = True
    for piece in pieces:
        if first and (name := compressed_format(piece)):
            coverage.unopened[name] += 1
        first = False
        coverage.bytes += len(piece)
        yield piece
