"""What a cluster has before the first release: namespaces, rights, the Gateway, the services' secrets."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, ClassVar

import yaml

from local_platform.cluster_access import ENVIRONMENTS, ClusterAccess
from local_platform.errors import PlatformError
from local_platform.services.analyzer import migration_values, secret_values
from local_platform.services.part import Context, Part

SERVICES = ("llm-service", "fm-llm-solver")
SUFFIX = dict(zip(ENVIRONMENTS, ("dev", "staging", "prod"), strict=True))
NAMESPACES = ("platform-ops", "platform-ops-jobs")
# Who is bound to which ClusterRole for the whole cluster.
CLUSTER_WIDE = {
    "platform-ops-watch": "system:serviceaccount:platform-ops:controller",
    "platform-ops-gateway": "system:serviceaccount:gateway-system:gateway",
    "platform-ops-pod-metrics": "system:serviceaccount:monitoring:prometheus",
    "platform-ops-on-call": "oncall",
}
CONTROLLER = "system:serviceaccount:platform-ops:controller"
SCANS = "system:serviceaccount:platform-ops:scan"
RBAC = "rbac.authorization.k8s.io"

Manifest = dict[str, Any]


def check_keys(platform: Context) -> dict[str, str]:
    """The variables in which platform-ops finds the keys that its checks of `llm-service` send."""
    prefix = "PLATFORM_OPS_CHECK_KEY_LLM_SERVICE_"
    return {prefix + name.upper(): platform.secrets[f"api-key-{name}"] for name in ENVIRONMENTS}


class Objects(Part):
    """The step that applies them with kubectl; what is there already and unchanged stays as it is."""

    name: ClassVar[str] = "objects"
    needs: ClassVar[tuple[str, ...]] = ("cluster",)

    def complete(self) -> None:
        # Two steps: an object needs its namespace.
        self._apply([_namespace(name, {}) for name in NAMESPACES] + [*_service_namespaces()])
        stock = yaml.safe_load_all(Path(__file__).with_name("objects.yaml").read_text(encoding="utf-8"))
        self._apply([*stock, *_bindings(), *self._secrets()])

    def _secrets(self) -> list[Manifest]:
        return [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": f"llm-service-{SUFFIX[environment]}"},
                "stringData": values(self.platform, environment),
            }
            for environment in ENVIRONMENTS
            for name, values in (
                ("llm-service", secret_values),
                ("llm-service-migration", migration_values),
            )
        ]

    def _apply(self, manifests: list[Manifest]) -> None:
        """By standard input: the secrets are on no command line and in no file."""
        kubeconfig = ClusterAccess(self.platform).kubeconfig("admin")
        argv = [self.platform.layout.program("kubectl"), f"--kubeconfig={kubeconfig}", "apply"]
        argv += ["--server-side", "--force-conflicts", "--field-manager=local-platform", "--filename=-"]
        done = subprocess.run(
            argv,
            input=yaml.safe_dump_all(manifests),
            env=self.platform.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise PlatformError(f"kubectl apply failed:\n{done.stderr.strip()}")

    def where(self) -> str:
        return f"namespaces {', '.join(f'{service}-{{dev,staging,prod}}' for service in SERVICES)}"


def _service_namespaces() -> list[Manifest]:
    return [
        _namespace(f"{service}-{suffix}", {"app": service, "platform-ops.io/environment": environment})
        for service in SERVICES
        for environment, suffix in SUFFIX.items()
    ]


def _namespace(name: str, labels: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _bindings() -> list[Manifest]:
    cluster_wide = [
        _binding("ClusterRoleBinding", role, "ClusterRole", user) for role, user in CLUSTER_WIDE.items()
    ]
    releases = [
        _binding("RoleBinding", "platform-ops-release", "ClusterRole", CONTROLLER, f"{service}-{suffix}")
        for service in SERVICES
        for suffix in SUFFIX.values()
    ]
    jobs = _binding("RoleBinding", "platform-ops-jobs", "Role", SCANS, "platform-ops-jobs")
    return [*cluster_wide, *releases, jobs]


def _binding(kind: str, role: str, role_kind: str, user: str, namespace: str = "") -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": role, **({"namespace": namespace} if namespace else {})},
        "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }
