"""The command line: `analyzer serve` and `analyzer scan`."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from analyzer import __version__


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    root = argparse.ArgumentParser(prog="analyzer", description="Finds secrets.")
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True)

    serve = commands.add_parser("serve", help="run the HTTP service", description="Run the HTTP service.")
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (default %(default)s)")
    serve.add_argument("--port", type=int, default=8000, help="port to bind (default %(default)s)")

    scan = commands.add_parser(
        "scan",
        help="scan a tree, a file, standard input, or what git holds",
        description="Scan a tree, a file, standard input, or what git holds. "
        "Exit code: 0 clean, 1 findings, 2 not all was scanned.",
    )
    _what(scan)
    _known(scan)
    _how(scan)
    return root


def _what(scan: argparse.ArgumentParser) -> None:
    group = scan.add_argument_group("what to scan")
    group.add_argument("path", nargs="?", help="a folder, a file, - for standard input, or a git repository")
    group.add_argument(
        "--bundle", metavar="URL_OR_FILE", help="a git bundle instead of a path; needs --commit"
    )
    group.add_argument("--commit", metavar="REF", help="the tree of this commit instead of files on disk")
    group.add_argument(
        "--since",
        metavar="REF",
        help="what commits brought that are reachable from --commit (or HEAD), not from REF",
    )
    group.add_argument(
        "--history", action="store_true", help="what all commits brought, from --commit or from every ref"
    )
    group.add_argument("--staged", action="store_true", help="what the next commit would bring")
    group.add_argument("--allow-shallow", action="store_true", help="scan the history of a shallow clone")
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out paths like this one (counted)",
    )
    group.add_argument(
        "--max-file-bytes",
        type=_positive,
        default=256 * 2**20,
        metavar="N",
        help="larger files are reported as not scanned (default %(default)s)",
    )


def _known(scan: argparse.ArgumentParser) -> None:
    group = scan.add_argument_group("what is known (nothing of the scanned tree counts unless told here)")
    group.add_argument("--baseline", type=Path, metavar="FILE", help="fingerprints that are no findings")
    group.add_argument("--write-baseline", type=Path, metavar="FILE", help="write the findings as a baseline")
    group.add_argument(
        "--suppressions", type=Path, metavar="FILE", help="YAML or JSON; each with a reason and an expiry"
    )
    group.add_argument(
        "--honour-inline", action="store_true", help="let `analyzer: allow REASON until=YYYY-MM-DD` count"
    )


def _how(scan: argparse.ArgumentParser) -> None:
    group = scan.add_argument_group("how")
    group.add_argument(
        "--format", choices=("table", "json", "sarif", "summary"), default="table", help="default %(default)s"
    )
    group.add_argument(
        "--output", type=Path, metavar="FILE", help="write JSON here too, or SARIF where FILE ends in .sarif"
    )
    group.add_argument(
        "--list",
        type=_count,
        default=100,
        metavar="N",
        help="entries that JSON lists (default %(default)s; 0: all)",
    )
    group.add_argument(
        "--jobs", type=_positive, metavar="N", help="processes (default: processors, at most 4)"
    )
    group.add_argument("--exit-zero", action="store_true", help="exit 0 whatever was found: the output tells")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a whole number is needed")
    return int(text)


def _positive(text: str) -> int:
    if not _count(text):
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    from analyzer.engine.classifier import BadModel

    options = parser().parse_args(argv)
    try:
        return _serve(options) if options.command == "serve" else _scan(options)
    except BadModel as error:
        print(
            f"analyzer: its own model cannot be used ({error}): install the analyzer again", file=sys.stderr
        )
    except Exception as error:
        # Its text may quote what was read, or an address with its password.
        print(f"analyzer: it failed with {type(error).__name__}\n{_places(error)}", file=sys.stderr)
    # Python's own exit code of an error is 1, which says "findings".
    return 2


def _serve(options: argparse.Namespace) -> int:
    # Imported here, so that a batch scan does not load a web framework.
    from analyzer.service.serve import serve
    from analyzer.settings import Settings, SettingsError

    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(f"analyzer: {error}", file=sys.stderr)
        return 2
    return serve(settings, options.host, options.port)


def _scan(options: argparse.Namespace) -> int:
    from analyzer.scan.command import Options, ScanRequest, UsageError, run

    # So that temporary clones are removed when a pod is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        request = ScanRequest(
            path=options.path,
            bundle=options.bundle,
            commit=options.commit,
            since=options.since,
            history=options.history,
            staged=options.staged,
            allow_shallow=options.allow_shallow,
            excluded=tuple(options.exclude),
            largest=options.max_file_bytes,
        )
        how = Options(
            form=options.format,
            output=options.output,
            baseline=options.baseline,
            write_baseline=options.write_baseline,
            suppressions=options.suppressions,
            honour_inline=options.honour_inline,
            jobs=options.jobs,
            listed=options.list,
        )
        code = run(request, how)
    except UsageError as error:
        print(f"analyzer scan: {error}", file=sys.stderr)
        return 2
    return 0 if options.exit_zero else code


def _places(error: Exception) -> str:
    """Where an error came from, the innermost place last; without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    return "\n".join(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
