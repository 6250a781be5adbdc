"""Endpoints and EndpointSlices: which pods stand behind a Service, and whether they take traffic."""

from __future__ import annotations

from collections import defaultdict

from local_platform.cluster.controllers.controller import Context, Controller, Key
from local_platform.cluster.controllers.pods import is_deleting, is_ready, phase
from local_platform.cluster.controllers.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    PODS,
    SERVICES,
    Object,
    controller_of,
    key_of,
    matches_labels,
    name_of,
    namespace_of,
    owner_reference,
)
from local_platform.cluster.controllers.trigger_times import TriggerTimes, annotated

SERVICE_NAME = "kubernetes.io/service-name"
SLICE_MANAGER = "endpointslice.kubernetes.io/managed-by"
OUR_SLICES = "endpointslice-controller.k8s.io"
ENDPOINTS_MANAGER = "endpoints.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"


class EndpointController(Controller):
    """Both objects from one look, so that they never tell different stories."""

    component = "endpoint-slice-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._services = self.watch(SERVICES)
        self._pods = self.watch(PODS, self._services_of_pod)
        self._slices = self.watch(ENDPOINT_SLICES, self._service_of_slice)
        self._endpoints = self.watch(ENDPOINTS)
        self._selected: dict[Key, set[Key]] = defaultdict(set)
        self._trigger_times = TriggerTimes()

    def _services_of_pod(self, pod: Object) -> list[Key]:
        key = key_of(pod)
        now = {
            key_of(service)
            for service in self._services.all(namespace_of(pod))
            if (selector := service["spec"].get("selector"))
            and matches_labels(selector, pod["metadata"].get("labels"))
        }
        before = self._selected.pop(key, set())
        if now:
            self._selected[key] = now
        return sorted(now | before)

    @staticmethod
    def _service_of_slice(item: Object) -> list[Key]:
        name = (item["metadata"].get("labels") or {}).get(SERVICE_NAME)
        return [(namespace_of(item), name)] if name else []

    async def reconcile(self, namespace: str, name: str) -> None:
        service = self._services.get(namespace, name)
        if service is None:
            self._trigger_times.forget((namespace, name))
            await self._remove_endpoints(namespace, name)
            return
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("type") == "ExternalName" or is_deleting(service):
            return
        selected = [
            pod
            for pod in self._pods.all(namespace)
            if matches_labels(selector, pod["metadata"].get("labels"))
        ]
        trigger = self._trigger_times.of(service, selected)
        pods = [
            pod
            for pod in selected
            if (pod.get("status") or {}).get("podIP") and phase(pod) not in ("Succeeded", "Failed")
        ]
        pods.sort(key=name_of)
        await self._write_slices(service, pods, trigger)
        await self._write_endpoints(service, pods, trigger)

    async def _write_slices(self, service: Object, pods: list[Object], trigger: str) -> None:
        groups: dict[str, tuple[list[Object], list[Object]]] = {}
        for pod in pods:
            ports = slice_ports(service, pod)
            groups.setdefault(repr(ports), (ports, []))[1].append(endpoint(service, pod))
        wanted = list(groups.values()) or [([], [])]
        present = sorted(
            (
                one
                for one in self._slices.all(namespace_of(service))
                if (owner := controller_of(one)) and owner["uid"] == service["metadata"]["uid"]
            ),
            key=name_of,
        )
        for index, (ports, entries) in enumerate(wanted):
            current = present[index] if index < len(present) else None
            await self._write_slice(service, current, ports, entries, trigger)
        for surplus in present[len(wanted) :]:
            await self.client.delete(
                ENDPOINT_SLICES, namespace_of(surplus), name_of(surplus), uid=surplus["metadata"]["uid"]
            )

    async def _write_slice(
        self,
        service: Object,
        current: Object | None,
        ports: list[Object],
        entries: list[Object],
        trigger: str,
    ) -> None:
        namespace = namespace_of(service)
        labels = {
            **(service["metadata"].get("labels") or {}),
            SERVICE_NAME: name_of(service),
            SLICE_MANAGER: OUR_SLICES,
        }
        if service["spec"].get("clusterIP") == "None":
            labels[HEADLESS] = ""
        content: Object = {"addressType": "IPv4", "endpoints": entries or None, "ports": ports or None}
        if current is None:
            metadata: Object = {
                "generateName": name_of(service) + "-",
                "namespace": namespace,
                "labels": labels,
                "ownerReferences": [owner_reference(service, SERVICES)],
            }
            body = {"metadata": annotated(metadata, trigger), **content}
            created = await self.client.create(ENDPOINT_SLICES, namespace, body)
            self._slices.remember(created)
            return
        same = all((current.get(key) or None) == value for key, value in content.items())
        if same and current["metadata"].get("labels") == labels:
            return
        metadata = annotated({**current["metadata"], "labels": labels}, trigger)
        body = {**current, **content, "metadata": metadata}
        fresh = await self.client.replace(ENDPOINT_SLICES, namespace, name_of(current), body)
        self._slices.remember(fresh)

    async def _write_endpoints(self, service: Object, pods: list[Object], trigger: str) -> None:
        namespace, name = key_of(service)
        labels = {**(service["metadata"].get("labels") or {}), ENDPOINTS_MANAGER: "endpoint-controller"}
        if service["spec"].get("clusterIP") == "None":
            labels[HEADLESS] = ""
        subsets = endpoint_subsets(service, [pod for pod in pods if not is_deleting(pod)])
        current = self._endpoints.get(namespace, name)
        content: Object = {"subsets": subsets} if subsets else {}
        if current is None:
            metadata: Object = {"name": name, "namespace": namespace, "labels": labels}
            body = {"metadata": annotated(metadata, trigger), **content}
            self._endpoints.remember(await self.client.create(ENDPOINTS, namespace, body))
            return
        if (current.get("subsets") or []) == subsets and current["metadata"].get("labels") == labels:
            return
        metadata = annotated({**current["metadata"], "labels": labels}, trigger)
        rest = {key: value for key, value in current.items() if key != "subsets"}
        body = {**rest, **content, "metadata": metadata}
        self._endpoints.remember(await self.client.replace(ENDPOINTS, namespace, name, body))

    async def _remove_endpoints(self, namespace: str, name: str) -> None:
        current = self._endpoints.get(namespace, name)
        if current and ENDPOINTS_MANAGER in (current["metadata"].get("labels") or {}):
            await self.client.delete(ENDPOINTS, namespace, name, uid=current["metadata"]["uid"])


def endpoint(service: Object, pod: Object) -> Object:
    """One pod as an endpoint: a pod that ends still serves, but takes no new traffic."""
    serving, terminating = is_ready(pod), is_deleting(pod)
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    result: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": published or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": target_reference(pod),
        "nodeName": pod["spec"].get("nodeName"),
    }
    hostname = pod["spec"].get("hostname")
    if hostname and pod["spec"].get("subdomain") == name_of(service):
        result["hostname"] = hostname
    return result


def target_reference(pod: Object) -> Object:
    return {
        "kind": "Pod",
        "namespace": namespace_of(pod),
        "name": name_of(pod),
        "uid": pod["metadata"]["uid"],
    }


def target_port(port: Object, pod: Object) -> int | None:
    """The number behind a Service's targetPort, which may be the name of a container's port."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    for container in pod["spec"]["containers"]:
        for entry in container.get("ports") or []:
            if entry.get("name") == target and entry.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(entry["containerPort"])
    return None


def slice_ports(service: Object, pod: Object) -> list[Object]:
    result = []
    for port in service["spec"].get("ports") or []:
        number = target_port(port, pod)
        if number is None:
            continue
        entry: Object = {
            "name": port.get("name", ""),
            "protocol": port.get("protocol", "TCP"),
            "port": number,
        }
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        result.append(entry)
    return result


def endpoint_subsets(service: Object, pods: list[Object]) -> list[Object]:
    """The older Endpoints object's form: pods grouped by their ports, ready ones and others."""
    groups: dict[str, Object] = {}
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in pods:
        ports = []
        for entry in slice_ports(service, pod):
            name = {"name": entry["name"]} if entry["name"] else {}
            ports.append({**name, "port": entry["port"], "protocol": entry["protocol"]})
        group = groups.setdefault(repr(ports), {"ports": ports, "addresses": [], "notReadyAddresses": []})
        address = {
            "ip": pod["status"]["podIP"],
            "nodeName": pod["spec"].get("nodeName"),
            "targetRef": target_reference(pod),
        }
        group["addresses" if published or is_ready(pod) else "notReadyAddresses"].append(address)
    order = ("addresses", "notReadyAddresses", "ports")
    return [{key: group[key] for key in order if group[key]} for group in groups.values()]
