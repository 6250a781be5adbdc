"""Prometheus (Debian's package, unpacked), and the list of pods that it scrapes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import yaml

from local_platform.cluster_access import ClusterAccess
from local_platform.errors import NotReadyError
from local_platform.kept import write_private
from local_platform.services.http import get
from local_platform.services.part import Command, Context, Part


def target_list(platform: Context) -> Path:
    return platform.layout.data("prometheus") / "pods.json"


class PodTargets(Part):
    """Writes the list of pods; it needs no port, its proof of work is the file."""

    name: ClassVar[str] = "pod-targets"
    needs: ClassVar[tuple[str, ...]] = ("objects",)

    def prepare(self) -> None:
        target_list(self.platform).unlink(missing_ok=True)

    def command(self) -> Command:
        access = ClusterAccess(self.platform)
        argv = [sys.executable, "-m", "local_platform.services.pod_targets"]
        options = [
            f"--api={access.url}",
            f"--ca={access.ca}",
            f"--token-file={access.token_file('prometheus')}",
        ]
        return Command([*argv, *options, f"--out={target_list(self.platform)}"])

    def probe(self) -> None:
        if not target_list(self.platform).exists():
            raise NotReadyError("it has not listed the pods yet")


class Prometheus(Part):
    name: ClassVar[str] = "prometheus"
    ports: ClassVar[tuple[str, ...]] = ("prometheus", "gateway-admin", "node")

    def _settings(self) -> str:
        settings = {
            "global": {"scrape_interval": "2s", "evaluation_interval": "5s", "scrape_timeout": "2s"},
            "scrape_configs": [self._gateway(), self._node(), self._pods()],
        }
        return yaml.safe_dump(settings, sort_keys=False)

    def prepare(self) -> None:
        write_private(self.platform.layout.data(self.name) / "prometheus.yml", self._settings())

    def _gateway(self) -> dict[str, Any]:
        return {
            "job_name": "gateway",
            # Rollouts are judged on these counters: a step of some seconds needs several samples.
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "metrics_path": "/stats/prometheus",
            "static_configs": [{"targets": [self.platform.address("gateway-admin")]}],
            "metric_relabel_configs": [
                {
                    "source_labels": ["__name__"],
                    "regex": "envoy_(cluster|http|server|listener)_.*",
                    "action": "keep",
                }
            ],
        }

    def _node(self) -> dict[str, Any]:
        return {
            "job_name": "node",
            "scheme": "http",
            "authorization": {"credentials": self.platform.secrets["node-agent"]},
            # Its series name namespace, pod and container themselves, as a kubelet's do.
            "honor_labels": True,
            "static_configs": [{"targets": [self.platform.address("node")]}],
        }

    def _pods(self) -> dict[str, Any]:
        return {"job_name": "pods", "file_sd_configs": [{"files": [str(target_list(self.platform))]}]}

    def command(self) -> Command:
        folder = self.platform.layout.data(self.name)
        argv = [
            self.platform.layout.program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=2d",
            f"--web.listen-address={self.platform.address('prometheus')}",
            "--log.level=warn",
        ]
        return Command(argv, {"GOMAXPROCS": "1"}, self._settings())

    def probe(self) -> None:
        get(self.platform.url("prometheus") + "/-/ready")
