"""From a container in a pod's spec to a started process: image, environment, user, mounts."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local_platform.cluster.controllers.resources import Object
from local_platform.node.backoff import Backoff
from local_platform.node.container import Container, StartError
from local_platform.node.environment import ConfigError, command_line, environment, expand
from local_platform.node.images import Image, ImagePullError
from local_platform.node.references import InvalidReferenceError
from local_platform.node.runtime.sandbox import DEFAULT_PATH, Bind, ContainerSpec
from local_platform.node.sources import PodSources
from local_platform.node.users import security_setting, user_of
from local_platform.node.volumes import binds

if TYPE_CHECKING:
    from local_platform.node.pod_containers import NodeServices

CONFIG_RETRY = 2.0
NEVER_RETRY = 10.0
SOON = 1.0


class LaunchError(Exception):
    """The container did not start: the waiting reason for its status, and when to try again (None: by
    restart rules).
    """

    def __init__(self, reason: str, message: str, retry_after: float | None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


@dataclass
class _PullFailure:
    backoff: Backoff
    at: float
    message: str


class Launcher:
    """Starts the containers of one pod."""

    def __init__(self, node: NodeServices, sources: PodSources, folder: Path) -> None:
        self._node = node
        self._sources = sources
        self._folder = folder
        self._failures: dict[str, _PullFailure] = {}
        self._refused: set[str] = set()

    async def launch(
        self,
        container: Container,
        spec: Object,
        pod: Object,
        pod_ip: str,
        publish: Callable[[], Awaitable[None]],
    ) -> None:
        """Pull if needed and start. `publish` is called before a pull, which may take long.

        Raises:
            LaunchError: with what the container's status has to say.
        """
        path = _field_path(pod, spec["name"])
        image = await self._image(spec, pod, path, publish)
        container.stop_signal = _signal_number(image.stop_signal)
        try:
            variables = await self._environment(spec, pod, image)
            uid, gid = user_of(spec, pod, image)
            variables.setdefault("HOME", _home(image, uid))
            argv = command_line(spec, image.entrypoint, image.command, variables)
            mounts = binds(spec, pod, self._folder / "volumes", lambda text: expand(text, variables))
        except ConfigError as error:
            self._event(pod, "Warning", "Failed", f"Error: {error}", path)
            raise LaunchError("CreateContainerConfigError", str(error), CONFIG_RETRY) from error
        mounts = self._network_files(pod, pod_ip, mounts)

        def make_spec(folder: Path) -> ContainerSpec:
            termination = folder / "termination-log"
            termination.touch()
            target = spec.get("terminationMessagePath") or "/dev/termination-log"
            capabilities = (security_setting("capabilities", spec, pod) or {}).get("drop") or []  # type: ignore[attr-defined]
            return ContainerSpec(
                folder=str(folder),
                lower=str(image.root),
                argv=tuple(argv),
                environment=variables,
                directory=spec.get("workingDir") or image.directory,
                uid=uid,
                gid=gid,
                hostname=pod["spec"].get("hostname") or pod["metadata"]["name"],
                binds=(*mounts, Bind(str(termination), target)),
                read_only_root=bool(security_setting("readOnlyRootFilesystem", spec, pod)),
                drop_capabilities="ALL" in capabilities,
                no_new_privileges=security_setting("allowPrivilegeEscalation", spec, pod) is False,
                terminal=bool(spec.get("tty")),
                stdin=bool(spec.get("stdin")),
                stdin_once=bool(spec.get("stdinOnce")),
            )

        try:
            self._event(pod, "Normal", "Created", "Container created", path)
            await container.start(
                image, make_spec, message_policy=spec.get("terminationMessagePolicy", "File")
            )
        except StartError as error:
            self._event(pod, "Warning", "Failed", f"Error: {error}", path)
            raise LaunchError("RunContainerError", str(error), None) from error
        self._event(pod, "Normal", "Started", "Container started", path)

    async def _image(
        self, spec: Object, pod: Object, path: str, publish: Callable[[], Awaitable[None]]
    ) -> Image:
        name = spec["image"]
        policy = spec.get("imagePullPolicy", "IfNotPresent")
        try:
            image = self._node.images.find(name)
        except InvalidReferenceError as error:
            message = f'Failed to apply default image tag "{name}": {error}'
            self._event(pod, "Warning", "InspectFailed", message, path)
            self._event(pod, "Warning", "Failed", "Error: InvalidImageName", path)
            raise LaunchError("InvalidImageName", message, NEVER_RETRY) from error
        if image is not None and policy != "Always":
            message = f'Container image "{name}" already present on machine and can be accessed by the pod'
            self._event(pod, "Normal", "Pulled", message, path)
            return image
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            self._event(pod, "Warning", "ErrImageNeverPull", message, path)
            self._event(pod, "Warning", "Failed", "Error: ErrImageNeverPull", path)
            # The kubelet looks again as soon as it sees the pod's sandbox run, then at its usual pace.
            retry = NEVER_RETRY if name in self._refused else SOON
            self._refused.add(name)
            raise LaunchError("ErrImageNeverPull", message, retry)
        self._refuse_while_backing_off(name, pod, path)
        return await self._pull(name, pod, path, publish)

    def _refuse_while_backing_off(self, name: str, pod: Object, path: str) -> None:
        failure = self._failures.get(name)
        if failure is None:
            return
        remaining = failure.backoff.remaining(failure.at, time.time())
        if remaining > 0:
            message = f'Back-off pulling image "{name}": ErrImagePull: {failure.message}'
            self._event(pod, "Normal", "BackOff", f'Back-off pulling image "{name}"', path)
            self._event(pod, "Warning", "Failed", "Error: ImagePullBackOff", path)
            raise LaunchError("ImagePullBackOff", message, remaining)

    async def _pull(self, name: str, pod: Object, path: str, publish: Callable[[], Awaitable[None]]) -> Image:
        self._event(pod, "Normal", "Pulling", f'Pulling image "{name}"', path)
        await publish()
        began = time.monotonic()
        try:
            image = await self._node.images.pull(name, await self._sources.registry_credentials())
        except ImagePullError as error:
            self._event(pod, "Warning", "Failed", f'Failed to pull image "{name}": {error}', path)
            self._event(pod, "Warning", "Failed", "Error: ErrImagePull", path)
            known = self._failures.get(name)
            backoff = known.backoff if known else Backoff()
            now = time.time()
            backoff.retry(now, now)
            self._failures[name] = _PullFailure(backoff, now, str(error))
            raise LaunchError("ErrImagePull", str(error), SOON) from error
        self._failures.pop(name, None)
        took = f"{time.monotonic() - began:.3f}s"
        message = (
            f'Successfully pulled image "{name}" in {took} ({took} including waiting). '
            f"Image size: {image.size} bytes."
        )
        self._event(pod, "Normal", "Pulled", message, path)
        return image

    async def _environment(self, spec: Object, pod: Object, image: Image) -> dict[str, str]:
        first = {"PATH": DEFAULT_PATH, **image.environment, "HOSTNAME": pod["metadata"]["name"]}
        first |= self._service_variables(pod)
        return await environment(spec, pod, self._sources.lookup, first, self._node.allocatable)

    def _service_variables(self, pod: Object) -> dict[str, str]:
        """The variables by which a pod finds the API server and the services of its namespace."""
        server = urlsplit(self._node.client.server)
        port = str(server.port or 443)
        variables = {
            "KUBERNETES_SERVICE_HOST": server.hostname or "",
            "KUBERNETES_SERVICE_PORT": port,
            "KUBERNETES_SERVICE_PORT_HTTPS": port,
        }
        if pod["spec"].get("enableServiceLinks") is False:
            return variables
        for service in self._node.services:
            address = service["spec"].get("clusterIP", "")
            if service["metadata"]["namespace"] != pod["metadata"]["namespace"] or address in ("", "None"):
                continue
            prefix = service["metadata"]["name"].upper().replace("-", "_")
            ports = service["spec"].get("ports") or []
            variables[f"{prefix}_SERVICE_HOST"] = address
            if ports:
                variables[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
            for entry in ports:
                if entry.get("name"):
                    label = entry["name"].upper().replace("-", "_")
                    variables[f"{prefix}_SERVICE_PORT_{label}"] = str(entry["port"])
        return variables

    def _network_files(self, pod: Object, pod_ip: str, mounts: list[Bind]) -> list[Bind]:
        """/etc/hosts, /etc/hostname and /etc/resolv.conf, unless the pod mounts its own."""
        folder = self._folder / "network"
        folder.mkdir(exist_ok=True)
        hostname = pod["spec"].get("hostname") or pod["metadata"]["name"]
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost",
            f"{pod_ip}\t{hostname}",
        ]
        lines += [
            f"{entry['ip']}\t{' '.join(entry['hostnames'])}" for entry in pod["spec"].get("hostAliases") or []
        ]
        (folder / "hosts").write_text("\n".join(lines) + "\n")
        (folder / "hostname").write_text(hostname + "\n")
        resolver = Path("/etc/resolv.conf")
        if resolver.exists():
            shutil.copyfile(resolver, folder / "resolv.conf")
        else:
            (folder / "resolv.conf").touch()
        own = {bind.target for bind in mounts}
        ours = [Bind(str(folder / name), f"/etc/{name}") for name in ("hosts", "hostname", "resolv.conf")]
        return [bind for bind in ours if bind.target not in own] + mounts

    def _event(self, pod: Object, kind: str, reason: str, message: str, path: str) -> None:
        self._node.recorder.record(pod, kind, reason, message, path)


def _field_path(pod: Object, name: str) -> str:
    inits = {one["name"] for one in pod["spec"].get("initContainers") or []}
    return f"spec.{'initContainers' if name in inits else 'containers'}{{{name}}}"


def _signal_number(name: str) -> int:
    if name.isdigit():
        return int(name)
    return getattr(signal, name if name.startswith("SIG") else f"SIG{name}", signal.SIGTERM)


def _home(image: Image, uid: int) -> str:
    passwd = image.root / "etc/passwd"
    for line in passwd.read_text().splitlines() if passwd.exists() else ():
        fields = line.split(":")
        if len(fields) > 5 and fields[2] == str(uid):
            return fields[5] or "/"
    return "/"
