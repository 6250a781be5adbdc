"""Migration Jobs against the cluster double's real API server; the test plays the Job's controller."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from colours import MANIFESTS, fresh_target, image

from platform_ops.adapters.kube_api import KubeApi, object_path
from platform_ops.adapters.migrations import KubernetesMigrations, tail_of
from platform_ops.core.errors import Refused
from platform_ops.core.migration import JobState, Migration, MigrationStatus
from platform_ops.core.release import Target


@pytest.fixture
async def target(admin: KubeApi) -> Target:
    return await fresh_target(admin)


@pytest.fixture
def migrations(kube: KubeApi) -> KubernetesMigrations:
    return KubernetesMigrations(kube)


@pytest.fixture
def migration(target: Target) -> Migration:
    made = MANIFESTS.migration(target, image())
    assert made is not None
    return made


async def ends(admin: KubeApi, target: Target, job: str, how: str, message: str = "") -> None:
    """The Job's controller writes its end, as Kubernetes requires it."""
    path = object_path("batch/v1", "Job", target.namespace, job)
    before = "SuccessCriteriaMet" if how == "Complete" else "FailureTarget"
    now = "2026-01-01T00:00:00Z"
    status: dict[str, Any] = {"startTime": now}
    if how == "Complete":
        status |= {"completionTime": now, "succeeded": 1}
    conditions = [
        {"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": message}
        for kind in (before, how)
    ]
    await admin.patch(target.context, f"{path}/status", {"status": {**status, "conditions": conditions}})


async def uid(admin: KubeApi, target: Target, job: str) -> str:
    found = await admin.get(target.context, object_path("batch/v1", "Job", target.namespace, job))
    return str(found["metadata"]["uid"])


async def test_a_job_is_started_once_and_says_for_whom(
    migrations: KubernetesMigrations, migration: Migration, target: Target, admin: KubeApi
) -> None:
    assert await migrations.status(target, migration.job) == MigrationStatus(JobState.ABSENT)
    await migrations.start(target, migration, "first")
    made = await uid(admin, target, migration.job)
    await migrations.start(target, migration, "second")
    assert await uid(admin, target, migration.job) == made
    assert await migrations.status(target, migration.job) == MigrationStatus(JobState.RUNNING, "first")


async def test_one_that_succeeded_is_never_run_again(
    migrations: KubernetesMigrations, migration: Migration, target: Target, admin: KubeApi
) -> None:
    await migrations.start(target, migration, "first")
    await ends(admin, target, migration.job, "Complete")
    await migrations.start(target, migration, "second")
    assert await migrations.status(target, migration.job) == MigrationStatus(JobState.SUCCEEDED, "first")


async def test_one_that_failed_is_run_again_for_another_rollout_only(
    migrations: KubernetesMigrations, migration: Migration, target: Target, admin: KubeApi
) -> None:
    await migrations.start(target, migration, "first")
    made = await uid(admin, target, migration.job)
    await ends(admin, target, migration.job, "Failed", "Job has reached the specified backoff limit")
    await migrations.start(target, migration, "first")
    assert await uid(admin, target, migration.job) == made
    status = await migrations.status(target, migration.job)
    assert (status.state, status.rollout_id) == (JobState.FAILED, "first")
    assert status.words == "BackoffLimitExceeded: Job has reached the specified backoff limit"
    await migrations.start(target, migration, "second")
    assert await uid(admin, target, migration.job) != made
    assert await migrations.status(target, migration.job) == MigrationStatus(JobState.RUNNING, "second")


async def test_a_pod_that_cannot_start_is_told_while_the_job_waits(
    migrations: KubernetesMigrations, migration: Migration, target: Target, admin: KubeApi
) -> None:
    await migrations.start(target, migration, "first")
    path = object_path("v1", "Pod", target.namespace)
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "labels": {"batch.kubernetes.io/job-name": migration.job}},
        "spec": {
            "serviceAccountName": "llm-service-migration",
            "containers": [{"name": "migration", "image": image()}],
        },
    }
    await admin.request(target.context, "POST", path, body=body)
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown"}}
    container = {
        "name": "migration", "image": image(), "imageID": "", "restartCount": 0, "ready": False,
        "state": waiting,
    }  # fmt: skip
    status = {"status": {"phase": "Pending", "containerStatuses": [container]}}
    await admin.patch(target.context, f"{path}/one/status", status)
    assert (await migrations.status(target, migration.job)).words == "ImagePullBackOff: manifest unknown"


async def test_an_image_without_digest_is_refused_before_anything_is_there(
    migrations: KubernetesMigrations, target: Target
) -> None:
    tagged = MANIFESTS.migration(target, "registry.example.com/llm-service:latest")
    assert tagged is not None
    with pytest.raises(Refused, match="without a digest"):
        await migrations.start(target, tagged, "first")
    assert (await migrations.status(target, tagged.job)).state is JobState.ABSENT


async def test_a_missing_namespace_says_what_to_create(
    migrations: KubernetesMigrations, target: Target, migration: Migration
) -> None:
    nowhere = replace(target, namespace="not-there")
    with pytest.raises(Refused):
        await migrations.start(nowhere, migration, "first")


def test_the_end_of_a_log_is_short_and_holds_no_password() -> None:
    lines = ["x" * 2000, "", "cannot connect to postgresql://owner:hunter2@db/analyzer"]
    words = tail_of(lines)
    assert words.endswith("postgresql://owner:…@db/analyzer")
    assert "hunter2" not in words
    assert len(words) <= 800


def test_the_deadline_of_the_catalog_is_the_jobs(migration: Migration) -> None:
    assert migration.deadline == timedelta(minutes=1)
    assert migration.manifests[1]["spec"]["activeDeadlineSeconds"] == 60
