"""Trees in git bundles, and the runner on them, as its pod starts it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[1] / "src"
GOOD = {
    "src/web/__init__.py": '"""Web."""\n',
    "src/web/sums.py": (
        '"""Sums."""\n\n\ndef double(number: int) -> int:\n    return 2 * number\n\n\n'
        "def half(number: int) -> float:\n    return number / 2\n"
    ),
    "tests/unit/test_sums.py": (
        "from web.sums import double\n\n\ndef test_double() -> None:\n    assert double(2) == 4\n"
    ),
}


def bundle(folder: Path, files: Mapping[str, str]) -> tuple[Path, str]:
    """A bundle of one commit with the files, and the commit's id."""
    tree = folder / "tree"
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def git(*words: str) -> str:
        author = ("-c", "user.name=dev", "-c", "user.email=dev@example.com")
        done = subprocess.run(["git", *author, *words], cwd=tree, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all", "--force")
    git("commit", "--quiet", "--message", "one")
    git("bundle", "create", "--quiet", str(folder / "source.bundle"), "main")
    return folder / "source.bundle", git("rev-parse", "HEAD")


def gate(folder: Path, files: Mapping[str, str], gate: str, tool: str, **order: Any) -> dict[str, Any]:
    """The result of a gate on a tree."""
    source, commit = bundle(folder, files)
    paths = order.pop("paths", [f"tests/{gate}"] if tool == "pytest" else ["."])
    asked = {"gate": gate, "tool": tool, "paths": paths, "import_paths": ["src"], "covered": ["src"], **order}
    result = folder / "result.json"
    done = run(folder, ["--bundle", str(source), "--commit", commit, "--order", json.dumps(asked),
                        "--output", str(result)])  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    assert (found["gate"], found["commit"]) == (gate, commit)
    return found | {"log": done.stdout}


def run(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(SOURCES), "TMPDIR": str(folder), "SECRET_OF_THE_PLATFORM": "hush"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "gate_runner", *arguments],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
