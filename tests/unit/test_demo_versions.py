"""The defects of the demonstration fit today's source, and only requests with a long context meet them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local_platform.demo.versions import LONG_CONTEXT, SOURCE, Fault, defect
from local_platform.errors import PlatformError
from local_platform.layout import CHECKOUT
from local_platform.sources import SOURCES

ANALYZER = CHECKOUT / SOURCES["llm-service"]
ASK = """
import asyncio, sys
import httpx
from analyzer.service.app import create_app
from analyzer.settings import DEVELOPMENT_KEY, Settings

async def ask():
    app = create_app(Settings.from_environment({}))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://service")
    async with app.router.lifespan_context(app), client:
        for length in map(int, sys.argv[1:]):
            body = {"secret_value": "not-a-secret", "context": "c" * length, "variable_name": "v"}
            answer = await client.post("/analyze", json=body, headers={"X-API-KEY": DEVELOPMENT_KEY})
            print(answer.status_code, flush=True)

asyncio.run(ask())
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The source of the analyzer, to be changed."""
    shutil.copytree(ANALYZER / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("fault", "answers", "code"),
    [
        pytest.param(Fault.ERRORS, ["200", "500"], 0, id="errors"),
        pytest.param(Fault.LATENCY, ["200", "200"], 0, id="latency"),
        pytest.param(Fault.CRASH, ["200"], 70, id="crash"),
    ],
)
def test_long_contexts_meet_the_defect_and_short_ones_do_not(
    tree: Path, fault: Fault, answers: list[str], code: int
) -> None:
    defect(fault)(tree)
    assert (tree / SOURCE).read_text() != (ANALYZER / SOURCE).read_text()
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(LONG_CONTEXT), str(LONG_CONTEXT + 1)],
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout.split(), done.returncode) == (answers, code), done.stderr


@pytest.mark.parametrize("fault", Fault)
def test_a_defect_is_one_that_no_formatter_or_linter_sees(tree: Path, fault: Fault) -> None:
    """Otherwise the gates stop it before users could meet it."""
    defect(fault)(tree)
    ours = ["--isolated", "--no-cache", "--line-length=110", str(tree / SOURCE)]
    for asked in (["format", "--check"], ["check", "--select=E,F,W,I", "--config=src=['src']"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *asked, *ours],
            cwd=tree,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_source_without_the_place_is_refused(tree: Path) -> None:
    (tree / SOURCE).write_text("routes = None\n")
    with pytest.raises(PlatformError, match=r"cannot edit analysis\.py: 0 places"):
        defect(Fault.ERRORS)(tree)
