"""The image builder against a real registry, and its image run in namespaces as the node runs it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local_platform.images.__main__ import DEFAULT_CACHE, main
from local_platform.images.build import Builder
from local_platform.images.layer import Tree, cached
from local_platform.images.oci import MANIFEST, Image, image
from local_platform.images.recipe import Recipe
from local_platform.images.registry import Repository, push

pytestmark = pytest.mark.platform

CHECKOUT = Path(__file__).parents[2]
LABELS = {"org.opencontainers.image.revision": "0" * 40}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of Debian's docker-registry."""
    unpacked = CHECKOUT / ".platform/debian/usr/bin/docker-registry"
    program = str(unpacked) if unpacked.is_file() else shutil.which("docker-registry")
    assert program, "docker-registry is missing: run make up once, which unpacks it"
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        _await_registry(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _await_registry(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"http://{address}/v2/").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("docker-registry did not answer")


@pytest.fixture
def small(tmp_path: Path) -> Image:
    """An image of one small layer."""
    tree = Tree()
    tree.file("app/hello", os.urandom(70_000))
    layer = cached(tmp_path, "k", lambda: tree)
    return image(Recipe(packages=("none",)), [("one file", layer)], LABELS, 0)


def pulled(address: str, name: str, reference: str) -> dict[str, bytes]:
    """Every blob of an image by its digest, the manifest included."""
    base = f"http://{address}/v2/{name}/"
    answer = httpx.get(f"{base}manifests/{reference}", headers={"Accept": MANIFEST})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == MANIFEST
    manifest = answer.json()
    blobs = {answer.headers["docker-content-digest"]: answer.content}
    for part in (manifest["config"], *manifest["layers"]):
        blobs[part["digest"]] = httpx.get(f"{base}blobs/{part['digest']}").content
        assert len(blobs[part["digest"]]) == part["size"]
    return blobs


class TestPush:
    def test_what_is_pulled_has_the_hashes_that_were_pushed(self, registry: str, small: Image) -> None:
        push(small, Repository(registry, "team/small", plain_http=True), "v1")
        for reference in ("v1", small.digest):
            for digest, content in pulled(registry, "team/small", reference).items():
                assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"

    def test_a_second_push_uploads_nothing(self, registry: str, small: Image) -> None:
        repository = Repository(registry, "team/twice", plain_http=True)
        push(small, repository, "v1")
        for layer in small.layers:
            layer.path.unlink()
        push(small, repository, "v2")
        assert small.digest in pulled(registry, "team/twice", "v2")

    def test_a_registry_that_does_not_answer_is_one_sentence(
        self, small: Image, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        context = tmp_path / "context"
        context.mkdir()
        (context / "pyproject.toml").write_text('[tool.platform-image]\npackages = ["media-types"]\n')
        code = main(
            ["build", "--context", str(context), "--repository", f"{address}/x", "--tag", "a", "--plain-http"]
        )
        assert code == 1
        assert f"the registry {address} does not answer" in capsys.readouterr().err


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return _fresh_builder(tmp_path_factory.mktemp("one")).build(CHECKOUT / "analyzer", LABELS)


def _fresh_builder(cache: Path) -> Builder:
    """Layers are made anew; the downloads of packages and wheels are shared, as they are the inputs."""
    for name in ("debian", "uv"):
        (DEFAULT_CACHE / name).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(DEFAULT_CACHE / name)
    return Builder(cache)


class TestAnalyzerImage:
    def test_is_the_same_digest_when_every_layer_is_made_again(self, analyzer: Image, tmp_path: Path) -> None:
        again = _fresh_builder(tmp_path).build(CHECKOUT / "analyzer", LABELS)
        assert again.digest == analyzer.digest
        assert {layer.path for layer in again.layers}.isdisjoint(layer.path for layer in analyzer.layers)

    def test_is_another_digest_for_another_commit_with_the_same_lower_layers(
        self, analyzer: Image, tmp_path: Path
    ) -> None:
        other = {"org.opencontainers.image.revision": "1" * 40}
        again = _fresh_builder(tmp_path).build(CHECKOUT / "analyzer", other)
        assert again.digest != analyzer.digest
        assert [layer.digest for layer in again.layers][:2] == [layer.digest for layer in analyzer.layers][:2]

    def test_configuration_runs_as_nobody_in_particular_and_lists_its_layers(self, analyzer: Image) -> None:
        config = json.loads(analyzer.config)
        assert config["config"]["User"] == "10001:10001"
        assert config["config"]["Labels"] == LABELS
        assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in analyzer.layers]

    def test_runs_from_its_own_root_and_knows_its_commit(self, analyzer: Image, tmp_path: Path) -> None:
        root = tmp_path / "root"
        for layer in analyzer.layers:
            with tarfile.open(layer.path) as archive:
                archive.extractall(root, filter="tar")
        (root / "dev/null").touch()
        python = "import analyzer.settings as s; print(s.Settings.from_environment().revision)"
        assert _run(root, "/usr/bin/python3", "-c", python).strip() == "0" * 40
        libraries = (
            "import hyperscan, limits, redis, analyzer.service.app, psycopg as p; print(p.pq.__impl__)"
        )
        assert _run(root, "/usr/bin/python3", "-c", libraries).strip() == "binary"
        # The side-car of KubernetesPodOperator needs these four.
        for program in ("sh", "cat", "kill", "pgrep"):
            assert _run(root, "/bin/sh", "-c", f"command -v {program}").strip()
        repository = root / "tmp/repository"
        _commit_a_file(repository)
        report = _run(
            root, "/usr/bin/python3", "-m", "analyzer", "scan", "/tmp/repository", "--commit", "HEAD"
        )
        assert report.splitlines()[-1].startswith("clean: 0 findings; 1 files")


def _commit_a_file(repository: Path) -> None:
    repository.mkdir(parents=True)
    (repository / "a").write_text("nothing secret\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-q", "-m", "one"],
    ):
        subprocess.run(["git", "-C", str(repository), *command], check=True)


def _run(root: Path, *command: str) -> str:
    """What a command prints that runs in a root file system, as an ordinary user in there."""
    environment = {
        "PATH": "/usr/bin:/usr/sbin:/bin",
        "PYTHONPATH": "/app/src:/app/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    script = (
        f'mount --bind "{root}" "{root}" && mount --bind /dev/null "{root}/dev/null" && '
        f'exec unshare --root="{root}" --wd=/app --user --map-user=10001 --map-group=10001 "$@"'
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "run", *command],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_builds_pushes_and_writes_the_metadata_that_buildx_writes(
    registry: str, tmp_path: Path
) -> None:
    metadata = tmp_path / "metadata.json"
    command = [
        sys.executable, "-m", "local_platform.images", "build", "--context", "builtin:base", "--plain-http",
        "--repository", f"{registry}/base", "--tag", "latest", "--label", "a=b=c",
        "--metadata-file", str(metadata),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    digest = json.loads(metadata.read_text())["containerimage.digest"]
    blobs = pulled(registry, "base", digest)
    config = json.loads(blobs[json.loads(blobs[digest])["config"]["digest"]])
    assert config["config"]["Labels"] == {"a": "b=c"}
