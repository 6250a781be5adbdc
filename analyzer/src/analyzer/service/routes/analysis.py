"""Judging values and searching texts."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Response

from analyzer.service.dependencies import Analyst, RuntimeDep, take
from analyzer.service.judging import Question
from analyzer.service.problems import BODY, GUARDED
from analyzer.service.schemas import (
    Analysis,
    AnalysisRequest,
    BatchAnalysis,
    BatchRequest,
    Finding,
    TextAnalysis,
    TextRequest,
)

routes = APIRouter(tags=["analysis"], responses=GUARDED | BODY)

MOST_FINDINGS = 1000
VALUE_OF_TEXT = 4096
"""A text counts as a value for each so many characters."""


def _question(body: AnalysisRequest) -> Question:
    return Question(body.secret_value, body.context, body.variable_name)


@routes.post("/analyze")
async def analyze(body: AnalysisRequest, runtime: RuntimeDep, caller: Analyst) -> Analysis:
    """Judges one value."""
    [verdict] = await runtime.judging.judge([_question(body)])
    return Analysis.model_validate(verdict, from_attributes=True)


@routes.post("/analyze/batch")
async def analyze_batch(
    body: BatchRequest, runtime: RuntimeDep, caller: Analyst, response: Response
) -> BatchAnalysis:
    """Judges several values; each counts against the rate limit."""
    if len(body.items) > 1:
        await take(runtime, response, caller, len(body.items) - 1)
    verdicts = await runtime.judging.judge([_question(item) for item in body.items])
    return BatchAnalysis(results=[Analysis.model_validate(v, from_attributes=True) for v in verdicts])


@routes.post("/analyze/text")
async def analyze_text(
    body: TextRequest, runtime: RuntimeDep, caller: Analyst, response: Response
) -> TextAnalysis:
    """Finds secrets in a text and tells where they stand."""
    if len(body.text) > VALUE_OF_TEXT:
        await take(runtime, response, caller, len(body.text) // VALUE_OF_TEXT)
    found = await runtime.judging.locate(body.text)
    return TextAnalysis(
        findings=[Finding(**asdict(finding)) for finding in found.findings[:MOST_FINDINGS]],
        truncated=len(found.findings) > MOST_FINDINGS or not found.complete,
        model_version=runtime.detector.model_version,
    )
