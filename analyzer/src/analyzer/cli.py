"""The command line: `analyzer serve` and `analyzer scan`."""

from __future__ import annotations

import argparse
import sys
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
        help="scan a tree, a file or a commit",
        description="Scan a tree, a file or a commit. Exit code: 0 clean, 1 findings, 2 not all was scanned.",
    )
    scan.add_argument(
        "path", nargs="?", type=Path, help="a folder, a file, or with --commit a git repository"
    )
    scan.add_argument(
        "--bundle", metavar="URL_OR_FILE", help="a git bundle instead of a path; needs --commit"
    )
    scan.add_argument("--commit", metavar="SHA", help="scan the tree of this commit instead of files on disk")
    scan.add_argument(
        "--since", metavar="REF", help="and every commit reachable from --commit but not from REF"
    )
    scan.add_argument("--history", action="store_true", help="and every commit reachable from --commit")
    scan.add_argument("--format", choices=("table", "json"), default="table", help="default %(default)s")
    scan.add_argument(
        "--output", type=Path, metavar="FILE", help="write JSON here too (an XCom result, a report)"
    )
    scan.add_argument("--exit-zero", action="store_true", help="exit 0 whatever was found: the output tells")
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = parser().parse_args(argv)
    if options.command == "serve":
        return _serve(options)
    return _scan(options)


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
    from analyzer.scan.command import ScanRequest, UsageError, run

    try:
        request = ScanRequest(
            path=options.path,
            bundle=options.bundle,
            commit=options.commit,
            since=options.since,
            history=options.history,
        )
        code = run(request, as_json=options.format == "json", output=options.output)
    except UsageError as error:
        print(f"analyzer scan: {error}", file=sys.stderr)
        return 2
    return 0 if options.exit_zero else code
