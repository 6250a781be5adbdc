"""Which pods Prometheus scrapes: Debian's build cannot ask a cluster itself, so this writes its file_sd list.

`python -m local_platform.services.pod_targets` watches the pods and replaces the file at each change. The
standard library is enough: it always runs, in some 20 MiB.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

Pods = dict[str, dict[str, Any]]
SCRAPE, PORT, PATH = (f"prometheus.io/{name}" for name in ("scrape", "port", "path"))
WATCH_SECONDS = 300
RETRY_SECONDS = 2.0


def targets(pods: Pods) -> list[dict[str, Any]]:
    """Running pods that ask for it by the usual annotations (`prometheus.io/scrape`, `/port`, `/path`)."""
    found = []
    for pod in pods.values():
        metadata, status = pod["metadata"], pod.get("status", {})
        annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
        if annotations.get(SCRAPE) != "true" or status.get("phase") != "Running" or not status.get("podIP"):
            continue
        names = {"namespace": metadata["namespace"], "pod": metadata["name"]}
        names |= {key: labels[key] for key in ("app", "version") if key in labels}
        names["__metrics_path__"] = annotations.get(PATH, "/metrics")
        found.append({"targets": [f"{status['podIP']}:{annotations.get(PORT, '80')}"], "labels": names})
    return sorted(found, key=lambda target: (target["labels"]["namespace"], target["labels"]["pod"]))


def apply_event(pods: Pods, event: dict[str, Any]) -> None:
    """Bring the table up to date with one watch event."""
    uid = event["object"]["metadata"].get("uid", "")
    if event["type"] == "DELETED":
        pods.pop(uid, None)
    elif event["type"] in ("ADDED", "MODIFIED"):
        pods[uid] = event["object"]


class Cluster:
    """The two calls that are needed of a Kubernetes API."""

    def __init__(self, api: str, ca: Path, token: str) -> None:
        self._api, self._headers = api, {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        context = ssl.create_default_context(cafile=str(ca))
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))

    def pods(self) -> tuple[Pods, str]:
        with self._opener.open(
            Request(f"{self._api}/api/v1/pods", headers=self._headers), timeout=10
        ) as answer:
            listed = json.load(answer)
        return {pod["metadata"]["uid"]: pod for pod in listed["items"]}, listed["metadata"]["resourceVersion"]

    def events(self, version: str) -> Iterator[dict[str, Any]]:
        query = f"watch=1&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        request = Request(f"{self._api}/api/v1/pods?{query}", headers=self._headers)
        with self._opener.open(request, timeout=WATCH_SECONDS + 30) as answer:
            for line in answer:
                yield json.loads(line)


def write(out: Path, pods: Pods) -> None:
    fresh = out.with_name(f".{out.name}")
    fresh.write_text(json.dumps(targets(pods), indent=1), encoding="utf-8")
    fresh.replace(out)


def follow(cluster: Cluster, out: Path) -> None:
    """List, then watch until the server ends it; an ERROR event (expired version) means: list again."""
    pods, version = cluster.pods()
    write(out, pods)
    for event in cluster.events(version):
        if event["type"] == "ERROR":
            return
        before = targets(pods)
        apply_event(pods, event)
        if targets(pods) != before:
            write(out, pods)


def main() -> None:
    parser = argparse.ArgumentParser(prog="pod_targets")
    for option in ("--ca", "--token-file", "--out"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--api", required=True)
    chosen = parser.parse_args()
    cluster = Cluster(chosen.api, chosen.ca, chosen.token_file.read_text(encoding="ascii").strip())
    while True:
        try:
            follow(cluster, chosen.out)
        except (URLError, OSError, ValueError) as error:
            # The last list stays; the cluster may be starting again.
            print(f"cannot watch pods: {error}", file=sys.stderr, flush=True)
            time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    main()
