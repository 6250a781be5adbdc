"""Jobs: pods until enough of them have succeeded or too many have failed."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from local_platform.cluster.controllers.api import ApiError
from local_platform.cluster.controllers.controller import Context, Controller, owner_keys
from local_platform.cluster.controllers.job_status import (
    add_condition,
    failure_of,
    finished_condition,
    has_condition,
    set_suspended,
    success_of,
)
from local_platform.cluster.controllers.pods import (
    is_active,
    is_deleting,
    is_ready,
    parse_time,
    phase,
    pod_from_template,
)
from local_platform.cluster.controllers.recorder import now_text
from local_platform.cluster.controllers.resources import (
    JOBS,
    PODS,
    Object,
    controller_of,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
)

TRACKING = "batch.kubernetes.io/job-tracking"
FIRST_DELAY = 10.0
LONGEST_DELAY = 600.0


class JobController(Controller):
    component = "job-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._jobs = self.watch(JOBS)
        self._pods = self.watch(PODS, owner_keys("Job"))

    async def reconcile(self, namespace: str, name: str) -> None:
        job = self._jobs.get(namespace, name)
        pods = self._owned(namespace, job)
        if job is None or is_deleting(job):
            await self._release(pods)
            return
        if finished_condition(job.get("status") or {}):
            await self._release(pods)
            await self._expire(job)
            return
        await self._advance(job, pods)

    def _owned(self, namespace: str, job: Object | None) -> list[Object]:
        uid = job["metadata"]["uid"] if job else None
        return [
            pod
            for pod in self._pods.all(namespace)
            if (owner := controller_of(pod))
            and owner["kind"] == "Job"
            and (owner["uid"] == uid if uid else self._jobs.get(namespace, owner["name"]) is None)
        ]

    async def _advance(self, job: Object, pods: list[Object]) -> None:
        """One step: count what has ended, decide, start or end pods, and write the status before and
        after.
        """
        now = now_text()
        status: Object = dict(job.get("status") or {})
        spec = job["spec"]
        suspended = bool(spec.get("suspend"))
        started = "startTime" in status
        if not suspended and not started:
            status["startTime"] = now
        status = set_suspended(status, suspended, now)
        uncounted = self._uncounted(status, pods)
        succeeded = status.get("succeeded", 0) + len(uncounted["succeeded"])
        failed = status.get("failed", 0) + len(uncounted["failed"])
        verdict = failure_of(spec, status, failed) or success_of(spec, succeeded, pods)
        active = [pod for pod in pods if is_active(pod)]
        if verdict:
            status = add_condition(status, *verdict, now)
            await self._end(job, active)
            active = []
        elif suspended:
            await self._end(job, active)
            active = []
        else:
            active = await self._start_missing(job, active, pods, succeeded, failed)
        status = self._count(status, active, pods, uncounted)
        job = await self._write(job, status)
        if any(uncounted.values()):
            job = await self._settle(job, pods, uncounted)
        if verdict:
            await self._finish(job, verdict)

    @staticmethod
    def _uncounted(status: Object, pods: list[Object]) -> dict[str, list[str]]:
        """Pods that ended and are not in the counts yet: those that still carry the finalizer."""
        result: dict[str, list[str]] = {"succeeded": [], "failed": []}
        for pod in sorted(pods, key=name_of):
            if TRACKING not in (pod["metadata"].get("finalizers") or []):
                continue
            ended = {"Succeeded": "succeeded", "Failed": "failed"}.get(phase(pod))
            if ended is None and is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0:
                ended = "failed"
            if ended:
                result[ended].append(pod["metadata"]["uid"])
        return result

    @staticmethod
    def _count(
        status: Object, active: list[Object], pods: list[Object], uncounted: dict[str, list[str]]
    ) -> Object:
        terminating = [pod for pod in pods if is_deleting(pod) and phase(pod) not in ("Succeeded", "Failed")]
        result = {
            key: value for key, value in status.items() if key not in ("active", "ready", "terminating")
        }
        if active:
            result["active"] = len(active)
        result["terminating"] = len(terminating)
        result["uncountedTerminatedPods"] = {key: value for key, value in uncounted.items() if value}
        result["ready"] = sum(is_ready(pod) for pod in active)
        return result

    async def _start_missing(
        self, job: Object, active: list[Object], pods: list[Object], succeeded: int, failed: int
    ) -> list[Object]:
        spec = job["spec"]
        parallelism = spec.get("parallelism", 1)
        completions = spec.get("completions")
        if completions is None:
            wanted = len(active) if succeeded else parallelism
        else:
            wanted = min(parallelism, completions - succeeded)
        surplus = len(active) - wanted
        if surplus > 0:
            leaving = sorted(active, key=lambda pod: pod["metadata"]["creationTimestamp"])[-surplus:]
            await self._end(job, leaving)
            return [pod for pod in active if pod not in leaving]
        delay = self._delay(pods, failed)
        if surplus < 0 and delay > 0:
            self.queue.add_after(key_of(job), delay)
            return active
        for _ in range(-surplus):
            active = [*active, await self._create_pod(job)]
        return active

    def _delay(self, pods: list[Object], failed: int) -> float:
        """Seconds until the next pod may start: 10 s after the first failure, doubling up to 10 min."""
        ends = [_ended_at(pod) for pod in pods if phase(pod) == "Failed"]
        if not failed or not ends:
            return 0.0
        return float(max(ends) + min(FIRST_DELAY * 2 ** (failed - 1), LONGEST_DELAY) - time.time())

    async def _create_pod(self, job: Object) -> Object:
        body = pod_from_template(job["spec"]["template"], job, owner_reference(job, JOBS))
        metadata = body["metadata"]
        metadata["labels"] = {**(metadata.get("labels") or {}), **job_labels(job)}
        metadata["finalizers"] = [*(metadata.get("finalizers") or []), TRACKING]
        pod = await self.client.create(PODS, namespace_of(job), body)
        self._pods.remember(pod)
        self.recorder.record(job, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return pod

    async def _end(self, job: Object, active: list[Object]) -> None:
        for pod in active:
            await self.client.delete(PODS, namespace_of(pod), name_of(pod), uid=pod["metadata"]["uid"])
            self.recorder.record(job, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    async def _settle(self, job: Object, pods: list[Object], uncounted: dict[str, list[str]]) -> Object:
        """Let the counted pods go and move them into the counts; a pod is never counted twice nor
        forgotten.
        """
        ended = {uid for uids in uncounted.values() for uid in uids}
        await self._release([pod for pod in pods if pod["metadata"]["uid"] in ended])
        status = dict(job["status"])
        status["uncountedTerminatedPods"] = {}
        for key, uids in uncounted.items():
            if uids:
                status[key] = status.get(key, 0) + len(uids)
        return await self._write(job, status)

    async def _release(self, pods: list[Object]) -> None:
        for pod in pods:
            finalizers = pod["metadata"].get("finalizers") or []
            if TRACKING not in finalizers:
                continue
            kept = [one for one in finalizers if one != TRACKING] or None
            patch = {"metadata": {"uid": pod["metadata"]["uid"], "finalizers": kept}}
            try:
                self._pods.remember(await self.client.patch(PODS, namespace_of(pod), name_of(pod), patch))
            except ApiError as error:
                if not error.not_found:
                    raise

    async def _finish(self, job: Object, verdict: tuple[str, str, str]) -> None:
        """Complete or Failed follows when no pod is left running or ending."""
        if job["status"].get("terminating") or job["status"].get("active"):
            return
        target, reason, message = verdict
        kind = "Complete" if target == "SuccessCriteriaMet" else "Failed"
        if has_condition(job["status"], kind):
            return
        now = now_text()
        status = add_condition(dict(job["status"]), kind, reason, message, now)
        if kind == "Complete":
            status["completionTime"] = now
            self.recorder.record(job, "Normal", "Completed", "Job completed")
        else:
            self.recorder.record(job, "Warning", reason, message)
        await self._write(job, status)

    async def _write(self, job: Object, status: Object) -> Object:
        if status == (job.get("status") or {}):
            return job
        fresh = await self.client.replace(
            JOBS, namespace_of(job), name_of(job), {**job, "status": status}, "status"
        )
        self._jobs.remember(fresh)
        return fresh

    async def _expire(self, job: Object) -> None:
        """Delete a finished job when its ttlSecondsAfterFinished is over."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        condition = finished_condition(job["status"])
        if seconds is None or condition is None:
            return
        left = parse_time(condition["lastTransitionTime"]) + seconds - time.time()
        if left > 0:
            self.queue.add_after(key_of(job), left)
            return
        await self.client.delete(
            JOBS, namespace_of(job), name_of(job), uid=job["metadata"]["uid"], propagation="Foreground"
        )


def job_labels(job: Object) -> dict[str, str]:
    uid, name = job["metadata"]["uid"], name_of(job)
    return {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }


def _ended_at(pod: Object) -> float:
    ends = [
        parse_time(state["terminated"]["finishedAt"])
        for one in (pod.get("status") or {}).get("containerStatuses") or []
        if "terminated" in (state := one.get("state") or {}) and state["terminated"].get("finishedAt")
    ]
    return max(ends, default=datetime.now(UTC).timestamp())
