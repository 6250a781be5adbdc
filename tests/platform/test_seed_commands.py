"""Every line of docs/reference/seed-commands.md, typed with the real kubectl against the cluster double."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from own_platform import OwnPlatform
from releasing import SERVICE, Place

from local_platform.layout import CHECKOUT
from platform_ops import wiring
from platform_ops.core.release import Colour
from platform_ops.settings import Settings

pytestmark = pytest.mark.platform

PAGE = CHECKOUT / "docs" / "reference" / "seed-commands.md"
SEEDS = Path(os.environ.get("SHARED", CHECKOUT.parent / "shared")) / "seeds"
NAMESPACES = {"llm-service": "llm-service-dev", "fm-llm-solver": "fm-llm-solver-prod"}
SECRETS = {
    f"{place}_{what}_URL": f"{what.lower()}://{place.lower()}.example.com/0"
    for place in ("DEV", "STAGING", "PROD")
    for what in ("DATABASE", "REDIS")
}
# The page's lines begin where nothing was released yet; tests before them may have released there.
RELEASED = "deployment,service,serviceaccount,poddisruptionbudget"
NOTHING_RELEASED = f"kubectl delete {RELEASED} -n llm-service-dev -l app=llm-service"
ROW = re.compile(
    r"^\| `(?P<theirs>kubectl .*?)` \| `(?P<ours>kubectl .*?)` \| (?P<exit>\S+) \| `(?P<prints>.*?)` \|"
)


@dataclass(frozen=True)
class Line:
    """One row of the page."""

    theirs: str
    ours: str
    exit: str
    prints: str


def _lines() -> list[Line]:
    rows = (ROW.match(row) for row in PAGE.read_text(encoding="utf-8").splitlines())
    return [Line(**row.groupdict()) for row in rows if row]


LINES = _lines()


@dataclass(frozen=True)
class Desktop:
    """Where the lines are typed: a folder with their files, an environment with their variables."""

    folder: Path
    environment: dict[str, str]

    def start(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._expanded(word) for word in shlex.split(line)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, line: str) -> tuple[int, str]:
        process = self.start(line)
        output, _ = process.communicate(timeout=90)
        return process.returncode, output

    def _expanded(self, word: str) -> str:
        return re.sub(r"\$([A-Z_]+)", lambda found: self.environment[found[1]], word)


@pytest.fixture(scope="module")
def desktop(platform: OwnPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    folder = tmp_path_factory.mktemp("desktop")
    settings = platform.settings
    environment = {
        **platform.supervisor.platform.environment(),
        **SECRETS,
        "KUBECONFIG": str(platform.kubeconfig()),
        "BASE_IMAGE": settings["PLATFORM_OPS_XCOM_IMAGE"],
    }
    desktop = Desktop(folder, environment)
    asyncio.run(_write_files(folder, Settings.of(settings)))
    _certificate(folder / "ssl")
    assert desktop.run(NOTHING_RELEASED)[0] == 0
    was_there, selected = _deployments(desktop), _selected(desktop)
    if "fm-llm-solver-blue" not in was_there:
        assert desktop.run("kubectl apply -n fm-llm-solver-prod -f solver/")[0] == 0
    yield desktop
    _take_away(desktop, was_there, selected)


def test_the_page_has_every_kubectl_line_of_both_documents() -> None:
    if not SEEDS.is_dir():
        assert "CI" not in os.environ, f"{SEEDS} is missing; name the folder by SHARED"
        pytest.skip(f"{SEEDS} is missing; name the folder by SHARED")
    written = [" ".join(shlex.split(line)) for line in _commands_of_the_documents()]
    ours = [" ".join(shlex.split(line.theirs)) for line in LINES]
    assert sorted(ours) == sorted(written)


@pytest.mark.parametrize(
    "line", LINES, ids=[f"{number}: {line.ours[:60]}" for number, line in enumerate(LINES, 1)]
)
def test_a_line_of_the_page_does_what_the_page_says(desktop: Desktop, line: Line) -> None:
    _settle(desktop, line.ours)
    if line.exit == "^C":
        assert line.prints in _until_interrupted(desktop, line)
        return
    code, output = desktop.run(line.ours)
    assert line.prints in output
    assert code == int(line.exit), output


def _until_interrupted(desktop: Desktop, line: Line) -> str:
    process = desktop.start(line.ours)
    assert process.stdout is not None
    seen = ""
    for printed in process.stdout:
        seen += printed
        if line.prints in seen:
            process.send_signal(signal.SIGINT)
    process.wait(20)
    return seen


def _settle(desktop: Desktop, line: str) -> None:
    """What a person would wait for before the line: ready pods, their figures, a revision to go back from."""
    namespace = next((name for name in NAMESPACES.values() if name in line), None)
    if namespace is None or line.split()[1] in ("apply", "create"):
        return
    if "--to-revision" not in line and line.startswith("kubectl rollout undo"):
        code, output = desktop.run(
            f"kubectl set env -n {namespace} deployment/llm-service-blue LOG_LEVEL=info"
        )
        assert code == 0, output
    code, output = desktop.run(
        f"kubectl wait -n {namespace} --for=condition=Available deployment --all --timeout=60s"
    )
    assert code == 0, output
    if line.startswith("kubectl top"):
        selector = f"app={namespace.rpartition('-')[0]}"
        _await_figures(desktop, f"kubectl top pods -n {namespace} -l {selector}")


def _await_figures(desktop: Desktop, line: str) -> None:
    for _ in range(30):
        if desktop.run(line)[0] == 0:
            return
        signal.sigtimedwait([], 0.5)
    raise AssertionError(f"no figures within 15 s: {desktop.run(line)[1]}")


# -------------------------------------------------------------------- the files that the lines name
async def _write_files(folder: Path, settings: Settings) -> None:
    async with wiring.connect(settings) as desk:
        for service, environment, parts in (
            ("llm-service", "development", {"k8s": Colour.BLUE, "k8s-green": Colour.GREEN}),
            ("fm-llm-solver", "production", {"solver": Colour.BLUE}),
        ):
            target = desk.catalog.target(service, environment)
            image = settings.scanner_image
            if service == SERVICE:
                release = await Place(desk, target, "", lambda *words: list(words), folder).built()
                image = desk.images.reference(service, release.digest)
            for name, colour in parts.items():
                objects = list(desk.manifests.colour(target, colour, image))
                if colour is Colour.BLUE:
                    objects.append(desk.manifests.service(target, colour))
                _write(folder / name / "objects.yaml", objects)
    for short in ("dev", "staging", "prod"):
        _write(folder / f"rbac-{short}.yaml", _rbac(f"fm-llm-solver-{short}"))


def _rbac(namespace: str) -> list[object]:
    api, about = "rbac.authorization.k8s.io", {"name": "deployer", "namespace": namespace}
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "patch"]}
    group = {"kind": "Group", "name": "deployers", "apiGroup": api}
    role = {"kind": "Role", "name": "deployer", "apiGroup": api}
    return [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": about, "rules": [rule]},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": about,
            "subjects": [group],
            "roleRef": role,
        },
    ]


def _write(path: Path, objects: list[object]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump_all(objects), encoding="utf-8")


def _certificate(folder: Path) -> None:
    folder.mkdir()
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=example.com",
            ),
            *("-keyout", str(folder / "private-key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )


def _deployments(desktop: Desktop) -> set[str]:
    code, output = desktop.run("kubectl get deployments -n fm-llm-solver-prod -o name")
    assert code == 0, output
    return {name.partition("/")[2] for name in output.split() if "/" in name}


def _selected(desktop: Desktop) -> str:
    """The colour that the Service selects; empty when there is none."""
    asked = "-o jsonpath={.spec.selector.version} --ignore-not-found"
    code, output = desktop.run(f"kubectl get service fm-llm-solver -n fm-llm-solver-prod {asked}")
    assert code == 0, output
    return output


def _take_away(desktop: Desktop, was_there: set[str], selected: str) -> None:
    lines = [NOTHING_RELEASED]
    for short in ("dev", "staging", "prod"):
        lines.append(f"kubectl delete -f rbac-{short}.yaml")
        lines.append(
            f"kubectl delete secret app-secrets ssl-cert --ignore-not-found -n fm-llm-solver-{short}"
        )
    if "fm-llm-solver-blue" not in was_there:
        lines.append("kubectl delete deployment fm-llm-solver-blue -n fm-llm-solver-prod")
    else:
        lines.append("kubectl scale deployment fm-llm-solver-blue -n fm-llm-solver-prod --replicas=2")
    if selected:
        patch = shlex.quote(json.dumps({"spec": {"selector": {"version": selected}}}))
        lines.append(f"kubectl patch service fm-llm-solver -n fm-llm-solver-prod -p {patch}")
    for line in lines:
        code, output = desktop.run(line)
        assert code == 0, output


def _commands_of_the_documents() -> Iterator[str]:
    """Lines that start with kubectl inside a code block, with their continuation lines."""
    for document in sorted(SEEDS.glob("*.md")):
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            if line.strip().startswith("kubectl "):
                yield line.strip()
