"""The git command, with none of a tree's own configuration in force."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from datetime import timedelta

from platform_ops.core.errors import Refused, Unavailable

_SAFE = (
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "protocol.ext.allow=never",
    "-c", "transfer.fsckObjects=true",
    "-c", "gc.auto=0",
)  # fmt: skip
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_NOT_OURS = re.compile(
    r"not found|does not exist|does not appear to be a git repository|denied|Authentication", re.I
)
_REJECTED = re.compile(r"\[(?:remote )?rejected\]|^remote: +\S")
_OVER_THE_NETWORK = ("fetch", "ls-remote", "push")
TIMEOUT = timedelta(minutes=2)


class Git:
    def __init__(self, timeout: timedelta = TIMEOUT) -> None:
        self._timeout = timeout

    async def __call__(
        self,
        *arguments: str,
        given: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
    ) -> bytes:
        """What it prints. `environment` stands instead of this process's. Refused with git's own words, or
        Unavailable when the other side does not answer."""
        limit = timeout or self._timeout
        process = await asyncio.create_subprocess_exec(
            "git", *_SAFE, *arguments,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **(os.environ if environment is None else environment),
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_NO_REPLACE_OBJECTS": "1",
                "LC_ALL": "C",
            },
        )  # fmt: skip
        try:
            async with asyncio.timeout(limit.total_seconds()):
                out, said = await process.communicate(given)
        except TimeoutError:
            raise Unavailable(f"git {_verb(arguments)} took longer than {limit}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            # merge-tree tells its conflicts on standard output.
            _raise(arguments, (said.strip() or out.strip()).decode(errors="replace"))
        return out


def checked(commit: str) -> str:
    """A full commit id, which no option of git can hide in."""
    if not _COMMIT.match(commit):
        raise Refused(f"{commit!r} is no full commit id of 40 hex digits")
    return commit


def _verb(arguments: tuple[str, ...]) -> str:
    """The subcommand: the first word that is no option and no option's value."""
    words = iter(arguments)
    for word in words:
        if word in ("-C", "-c"):
            next(words)
        elif not word.startswith("-"):
            return word
    return ""


def _raise(arguments: tuple[str, ...], said: str) -> None:
    verb = _verb(arguments)
    lines = said.splitlines() or ["failed without a word"]
    if verb == "push" and (rejected := [line.strip() for line in lines if _REJECTED.search(line)]):
        raise Refused(f"git push: {'; '.join(rejected)}")
    text = f"git {verb}: {next((line for line in lines if line.startswith('fatal:')), lines[-1])}"
    if verb in _OVER_THE_NETWORK and not _NOT_OURS.search(said):
        raise Unavailable(text)
    raise Refused(text)
