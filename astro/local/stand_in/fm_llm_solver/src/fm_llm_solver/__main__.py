"""`python -m fm_llm_solver serve`."""

from __future__ import annotations

import argparse
import sys

from fm_llm_solver.app import serve


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="fm_llm_solver", description="A stand-in for FM-LLM-Solver.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("serve", help="run the web application")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    return serve(options.host, options.port)


if __name__ == "__main__":
    sys.exit(main())
