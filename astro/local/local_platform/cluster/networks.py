"""Addresses and node ports of Services."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from .store import Store
from .validation import Cause

JSON = dict[str, Any]

SERVICE_RANGE = ipaddress.ip_network("10.96.0.0/16")
NODE_PORTS = range(30000, 32768)


class ServiceAddresses:
    """Gives Services their cluster IP and node ports; what is in use is read from the stored Services."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._used: set[str] | None = None

    def forget(self) -> None:
        self._used = None

    def assign(self, document: JSON, old: JSON | None) -> None:
        spec = document.setdefault("spec", {})
        before = (old or {}).get("spec") or {}
        kind = spec.get("type") or "ClusterIP"
        if kind == "ExternalName":
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(name, None)
            return
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
            spec.setdefault("clusterIPs", before.get("clusterIPs", [before["clusterIP"]]))
        if not spec.get("clusterIP"):
            spec["clusterIP"] = self._free_address()
        if old is not None and spec["clusterIP"] == before.get("clusterIP"):
            spec.setdefault("clusterIPs", before.get("clusterIPs", [spec["clusterIP"]]))
        else:
            spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", before.get("ipFamilies") or ["IPv4"])
        spec.setdefault("ipFamilyPolicy", before.get("ipFamilyPolicy") or "SingleStack")
        if kind in ("NodePort", "LoadBalancer"):
            self._node_ports(spec, before)
        else:
            for port in spec.get("ports") or []:
                port.pop("nodePort", None)

    def refusals(self, document: JSON, old: JSON | None) -> list[Cause]:
        spec = document.get("spec") or {}
        address = spec.get("clusterIP")
        if not address or address == "None":
            return []
        before = ((old or {}).get("spec") or {}).get("clusterIP")
        if address == before:
            return []
        if before and before != "None":
            return []  # that it may not change is said by the validation of updates
        shown = f'["{address}"]'
        try:
            inside = ipaddress.ip_address(address) in SERVICE_RANGE
        except ValueError:
            return []
        if not inside:
            why = f"failed to allocate IP {address}: the provided network does not match the current range"
            return [Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "spec.clusterIPs")]
        if address in self._in_use() and not self._is_own(document, address):
            why = f"failed to allocate IP {address}: provided IP is already allocated"
            return [Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "spec.clusterIPs")]
        return []

    def _is_own(self, document: JSON, address: str) -> bool:
        metadata = document["metadata"]
        own = self._store.get("services", metadata.get("namespace", ""), metadata["name"])
        return own is not None and own.document["spec"].get("clusterIP") == address

    def _in_use(self) -> set[str]:
        if self._used is None:
            services = self._store.bucket("services").objects.values()
            self._used = {one.document["spec"].get("clusterIP", "") for one in services}
        return self._used

    def _free_address(self) -> str:
        used = self._in_use()
        while True:
            # the first 256 addresses are kept for those who ask for a fixed one, as the real allocator does
            address = str(SERVICE_RANGE[random.randrange(257, SERVICE_RANGE.num_addresses - 1)])
            if address not in used:
                return address

    def _node_ports(self, spec: JSON, before: JSON) -> None:
        earlier = {port.get("name", ""): port.get("nodePort") for port in before.get("ports") or []}
        used = {
            port.get("nodePort")
            for one in self._store.bucket("services").objects.values()
            for port in one.document["spec"].get("ports") or []
        }
        for port in spec.get("ports") or []:
            if port.get("nodePort"):
                continue
            known = earlier.get(port.get("name", ""))
            port["nodePort"] = known or random.choice([one for one in NODE_PORTS if one not in used])
            used.add(port["nodePort"])
