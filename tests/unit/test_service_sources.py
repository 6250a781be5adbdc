"""What the local platform pushes as a service's source must pass the gate that looks for secrets in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local_platform.layout import CHECKOUT, Layout
from local_platform.signing import Keys
from local_platform.sources import BRANCH, SOURCES, ServiceRepository


@pytest.mark.parametrize("service", SOURCES)
def test_the_source_is_clean_without_any_suppression(service: str, tmp_path: Path) -> None:
    bare, clone = tmp_path / "service.git", tmp_path / "clone"
    subprocess.run(["git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(bare)], check=True)
    keys = Keys(tmp_path / "keys", Layout.from_environment())
    keys.complete()
    ServiceRepository(str(bare), clone, CHECKOUT / SOURCES[service], keys.committer("developer")).commit()
    scan = [sys.executable, "-m", "analyzer", "scan", str(clone), "--commit", "HEAD", "--history"]
    done = subprocess.run([*scan, "--format", "json"], capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert result["findings"] == []
    assert (done.returncode, result["outcome"]) == (0, "clean")
