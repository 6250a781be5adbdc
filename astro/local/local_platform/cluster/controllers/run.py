"""All controllers over one client and one set of informers."""

from __future__ import annotations

import asyncio

from local_platform.cluster.controllers.api import ApiClient
from local_platform.cluster.controllers.controller import Context, Controller
from local_platform.cluster.controllers.deployment import DeploymentController
from local_platform.cluster.controllers.endpoints import EndpointController
from local_platform.cluster.controllers.garbage import GarbageCollector
from local_platform.cluster.controllers.job import JobController
from local_platform.cluster.controllers.namespaces import NamespaceController
from local_platform.cluster.controllers.replicaset import ReplicaSetController
from local_platform.cluster.controllers.scheduler import Scheduler

KINDS: tuple[type[Controller], ...] = (
    Scheduler,
    DeploymentController,
    ReplicaSetController,
    JobController,
    EndpointController,
    NamespaceController,
    GarbageCollector,
)


async def run_controllers(client: ApiClient) -> None:
    """Run until cancelled. They keep nothing that is not in the API: another process goes on where this
    one stops.
    """
    context = Context(client.named("kube-controller-manager"))
    controllers = [kind(context) for kind in KINDS]
    async with asyncio.TaskGroup() as group:
        for informer in context.informers:
            group.create_task(informer.run())
        for controller in controllers:
            group.create_task(controller.run())
