"""Who may talk to the cluster double, and with what: its certificate, the tokens, the kubeconfigs."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local_platform.kept import write_private
from local_platform.services.part import Context

ENVIRONMENTS = ("development", "staging", "production")
# Name of the identity -> its groups; service accounts have the names that they would have on a real cluster.
IDENTITIES = {
    "admin": ("system:masters",),
    "system:serviceaccount:platform-ops:controller": ("system:serviceaccounts", "platform-ops:controller"),
    "system:serviceaccount:platform-ops:scan": ("system:serviceaccounts", "platform-ops:scan"),
    # The node process hosts the controllers, which write nearly everything.
    "system:node:local": ("system:nodes", "system:masters"),
    "system:serviceaccount:gateway-system:gateway": ("system:serviceaccounts",),
    "system:serviceaccount:monitoring:prometheus": ("system:serviceaccounts",),
    "oncall": ("platform:on-call",),
}
SHORT = {"node" if user == "system:node:local" else user.rpartition(":")[2]: user for user in IDENTITIES}
VALID = dt.timedelta(days=3650)


@dataclass(frozen=True)
class ClusterAccess:
    """Files below `kube/` of the state folder; written once, then kept."""

    platform: Context

    @property
    def folder(self) -> Path:
        return self.platform.layout.state / "kube"

    @property
    def url(self) -> str:
        return f"https://{self.platform.address('cluster')}"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.csv"

    def token(self, name: str) -> str:
        """Bearer token of an identity by the last word of its name."""
        return self.platform.secrets[f"cluster-token-{name}"]

    def token_file(self, name: str) -> Path:
        return self.folder / f"{name}.token"

    @property
    def node_token_file(self) -> Path:
        """What the API server shows to the node's agent, and Prometheus too."""
        return self.folder / "node-agent.token"

    def kubeconfig(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def write(self) -> None:
        """Put every file in place; an existing certificate is kept, for the copies of a kubeconfig."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if not self.certificate.exists():
            self._write_certificates()
        write_private(self.node_token_file, self.platform.secrets["node-agent"] + "\n")
        lines = []
        for name, user in SHORT.items():
            groups = ",".join(IDENTITIES[user])
            lines.append(f'{self.token(name)},{user},{user},"{groups}"')
            write_private(self.token_file(name), self.token(name) + "\n")
            write_private(self.kubeconfig(name), self._kubeconfig(name))
        write_private(self.tokens, "\n".join(lines) + "\n")

    def _kubeconfig(self, name: str) -> str:
        """Three contexts, one an environment; here all of them are the one cluster double."""
        context = {"cluster": "local", "user": name}
        cluster = {"server": self.url, "certificate-authority": str(self.ca)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": self.token(name)}}],
            "contexts": [{"name": environment, "context": context} for environment in ENVIRONMENTS],
            "current-context": ENVIRONMENTS[0],
        }
        return yaml.safe_dump(document, sort_keys=False)

    def _write_certificates(self) -> None:
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        authority = _name("local-platform CA")
        ca = (
            _builder(authority, authority, ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(ca_key, hashes.SHA256())
        )
        names = [x509.DNSName(name) for name in ("localhost", "kubernetes", "kubernetes.default.svc")]
        addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        server = (
            _builder(_name("local-platform API server"), authority, key.public_key())
            .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_private(self.ca, ca.public_bytes(pem).decode())
        write_private(self.key, private.decode())
        # Last: its presence says that the others are there.
        write_private(self.certificate, server.public_bytes(pem).decode())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
