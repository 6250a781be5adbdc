"""`python -m local_platform`: the local platform as a command."""

from __future__ import annotations

import sys

from local_platform.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
