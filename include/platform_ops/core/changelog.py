"""What goes live with a release: its commits since the one that serves, grouped, with their authors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .conventional import change_of
from .release import Release
from .source import Commit

GROUPS = {
    "breaking": "Breaking changes",
    "feat": "Features",
    "fix": "Fixes",
    "perf": "Performance",
    "revert": "Reverts",
}
OTHER = "Other changes"
KEPT = 500
"""Changes that a changelog lists; the rest is counted."""
SHOWN = 12
"""Changes that a vote shows."""
_LONGEST = 200


@dataclass(frozen=True)
class Line:
    """One change. Its words are a stranger's, the commit's: they are escaped where they are shown."""

    group: str
    text: str
    author: str
    commit: str

    def __str__(self) -> str:
        return f"{self.text} ({self.author}, {self.commit[:8]})"


@dataclass(frozen=True)
class Changelog:
    since: str | None
    """The commit that serves; None before the first release."""
    until: str
    lines: tuple[Line, ...]
    """In the order of the groups; within one, newest first."""
    more: int = 0
    """Changes that are not listed."""
    goes_back: int = 0
    """Commits that serve now and are not in this release: it is an older one, or of another branch."""

    @property
    def groups(self) -> Mapping[str, tuple[Line, ...]]:
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.group, []).append(line)
        return {group: tuple(lines) for group, lines in found.items()}


def changelog(commits: Iterable[Commit], since: str | None, until: str, goes_back: int = 0) -> Changelog:
    """Of the commits in `since..until`, newest first. Merges bring nothing of their own."""
    lines = [_line(commit) for commit in commits if len(commit.parents) < 2]
    order = [*GROUPS.values(), OTHER]
    lines.sort(key=lambda line: order.index(line.group))
    return Changelog(since, until, tuple(lines[:KEPT]), max(0, len(lines) - KEPT), goes_back)


def text_lines(log: Changelog) -> Iterator[str]:
    """The whole of it as plain text, without links."""
    if log.goes_back:
        yield _back(log)
    if not log.lines and not log.goes_back:
        yield "Nothing changes: the same commit serves."
    for group, lines in log.groups.items():
        yield f"{group}:"
        yield from (f"* {line}" for line in lines)
    if log.more:
        yield f"… and {log.more} more"


def short_markdown(log: Changelog) -> str:
    """What a voter reads. Each change stands in a code span: nothing in it becomes a link or a picture."""
    if not log.lines:
        return _back(log) if log.goes_back else "Nothing changes: the same commit serves."
    parts, left = [_back(log)] if log.goes_back else [], SHOWN
    for group, lines in log.groups.items():
        if left:
            parts.append("\n".join([f"**{group}**", "", *(f"* {_code(str(line))}" for line in lines[:left])]))
        left = max(0, left - len(lines))
    hidden = len(log.lines) + log.more - SHOWN
    if hidden > 0:
        parts.append(f"… and {hidden} more")
    return "\n\n".join(parts)


def tag_message(release: Release, title: str, log: Changelog) -> str:
    """The message of a version tag: its changelog, then what was built."""
    return "\n".join([title, "", *text_lines(log), "", *trailers(release)])


def merge_message(release: Release, environment: str) -> str:
    """The message of the merge that says what is live. Fixed words only: a commit cannot forge a trailer."""
    return "\n".join(
        [f"Release {release.name} of {release.service} to {environment}", "", *trailers(release)]
    )


def trailers(release: Release) -> list[str]:
    """In the form of `git interpret-trailers`."""
    return [f"Release: {release.name}", f"Digest: {release.digest}", f"Commit: {release.commit}"]


def _line(commit: Commit) -> Line:
    change = change_of(commit.message)
    group = GROUPS["breaking"] if change.breaking else GROUPS.get(change.kind, OTHER)
    scope = f"{change.scope}: " if change.scope else ""
    kind = f"{change.kind}: " if change.kind and change.kind not in GROUPS else ""
    text = _visible(f"{kind}{scope}{change.subject}") or "(no message)"
    return Line(group, text, _visible(commit.author_name) or "unknown", commit.id)


def _back(log: Changelog) -> str:
    since = f" after {log.since[:8]}" if log.since else ""
    return f"This takes {log.goes_back} commit(s) back out that serve now{since}."


def _code(text: str) -> str:
    """A span of code that ends where we end it, whatever the text holds."""
    return "`" + text.replace("`", "'") + "`"


def _visible(text: str) -> str:
    """One line of bounded length, in which no character moves the reader's cursor."""
    shown = "".join(c if c.isprintable() else " " for c in text).strip()
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
