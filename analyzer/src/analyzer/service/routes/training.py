"""Training jobs."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from analyzer.calibration.rows import LabelledRow
from analyzer.service.dependencies import RuntimeDep, Trainer
from analyzer.service.problems import BODY, CONFLICT, GUARDED, MISSING, STORED
from analyzer.service.schemas import Job, TrainingRequest

routes = APIRouter(prefix="/train", tags=["training"], responses=GUARDED | STORED)


@routes.post("", status_code=202, responses=BODY | CONFLICT)
async def train(body: TrainingRequest, runtime: RuntimeDep, caller: Trainer, response: Response) -> Job:
    """Starts a job that fits a candidate version to labelled rows. The rows are not stored."""
    rows = [LabelledRow(row.secret_value, row.context, row.variable_name, row.is_secret) for row in body.rows]
    job = await runtime.training.submit(rows, body.name, caller.key_id)
    response.headers["Location"] = f"/train/{job.id}"
    return Job.model_validate(job, from_attributes=True)


@routes.get("/{job_id}", responses=MISSING | BODY)
async def job(job_id: UUID, runtime: RuntimeDep, caller: Trainer) -> Job:
    """How a job stands."""
    return Job.model_validate(await runtime.training.job(job_id), from_attributes=True)
