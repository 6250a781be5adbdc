"""Bodies of requests and answers. No answer has a field for a value."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from analyzer.storage.records import JobStatus, Scope

MOST_ITEMS = 100
"""Values of one batch."""
MOST_ROWS = 5000
"""Rows of one training."""

Name: TypeAlias = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$", description="Lower-case name of a model version.")
]
Line: TypeAlias = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Days: TypeAlias = Annotated[
    int | None, Field(ge=1, le=3650, description="How long the key is valid; without it until it is revoked.")
]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class AnalysisRequest(BaseModel, extra="forbid"):
    """One value and where it stands."""

    secret_value: str = Field(description="The value to judge. It is never stored, logged or returned.")
    context: str = Field("", description="The text around it, or what it is for.")
    variable_name: str = Field("", description="The name that it is assigned to.")


class Analysis(BaseModel):
    """The verdict on one value."""

    is_secret: bool
    probability: float = Field(ge=0, le=1)
    secret_type: str
    risk_level: str = Field(description="critical, high, medium or low")
    reasons: list[str]
    redacted: str = Field(description="The value's public prefix and its length.")
    fingerprint: str = Field(description="Key id and HMAC-SHA-256 of the value.")
    model_version: str


class BatchRequest(BaseModel, extra="forbid"):
    """Several values."""

    items: list[AnalysisRequest] = Field(min_length=1, max_length=MOST_ITEMS)


class BatchAnalysis(BaseModel):
    """One verdict a value, in their order."""

    results: list[Analysis]


class TextRequest(BaseModel, extra="forbid"):
    """A text to search."""

    text: str = Field(description="The text to search. It is never stored, logged or returned.")


class Finding(BaseModel):
    """A secret in the text. Lines and columns count characters from 1; the end is behind the last one."""

    rule: str
    secret_type: str
    risk_level: str
    redacted: str
    fingerprint: str
    line: int = Field(ge=1)
    column: int = Field(ge=1)
    end_line: int = Field(ge=1)
    end_column: int = Field(ge=1)


class TextAnalysis(BaseModel):
    """What was found in a text."""

    findings: list[Finding]
    truncated: bool = Field(description="Whether there may be more findings than are listed.")
    model_version: str


class TrainingRow(AnalysisRequest, extra="forbid"):
    """A value, where it stands, and what people say of it."""

    is_secret: bool


class TrainingRequest(BaseModel, extra="forbid"):
    """Rows to learn from, and the name of the version to be."""

    rows: list[TrainingRow] = Field(min_length=1, max_length=MOST_ROWS)
    name: Name | None = None


class Job(BaseModel):
    """A training job."""

    id: UUID
    status: JobStatus
    rows: Count
    created_at: datetime
    ended_at: datetime | None
    problem: str | None = Field(description="Why it has no result.")
    version: str | None = Field(description="The version that it made.")
    figures: dict[str, float] | None = Field(description="On rows set aside; log_loss_engine is without it.")


class VersionRequest(BaseModel, extra="forbid"):
    """A model document, as GET /versions/{name}/document shows it, to be registered under a name."""

    name: Name
    description: Line = ""
    model: dict[str, JsonValue]


class Version(BaseModel):
    """A model version."""

    name: str
    builtin: bool
    active: bool = Field(description="Whether it judges outside of experiments.")
    problem: str | None = Field(description="Why it cannot serve in this process.")
    source: str
    description: str
    sha256: str | None
    created_at: datetime | None
    created_by: str | None


class Versions(BaseModel):
    """All versions, the built-in one first."""

    active: str
    versions: list[Version]


class VersionDocument(Version):
    """A model version with its document."""

    model: dict[str, JsonValue] | None


class ArmRequest(BaseModel, extra="forbid"):
    """A version and its share."""

    version: Name
    weight: int = Field(ge=1, le=1_000_000)


class ExperimentRequest(BaseModel, extra="forbid"):
    """An A/B experiment between versions."""

    arms: list[ArmRequest] = Field(min_length=2, max_length=10)


class VersionChoice(BaseModel, extra="forbid"):
    """A version by its name."""

    version: Name


class ArmFigures(BaseModel):
    """An arm and what it judged."""

    version: str
    weight: int
    verdicts: Count
    secrets: Count
    mean_probability: float | None


class ExperimentFigures(BaseModel):
    """An experiment and its figures."""

    id: int
    started_at: datetime
    ended_at: datetime | None
    promoted: str | None
    arms: list[ArmFigures]


class VersionFigures(BaseModel):
    """What a version judged, in experiments and outside."""

    version: str
    verdicts: Count
    secrets: Count
    mean_probability: float | None


class CacheFigures(BaseModel):
    """This process's use of the cache."""

    hits: Count
    misses: Count


class Statistics(BaseModel):
    """Verdicts counted."""

    verdicts: Count
    secrets: Count
    by_secret_type: dict[str, int]
    by_risk_level: dict[str, int]
    versions: list[VersionFigures]
    active_version: str
    experiment: ExperimentFigures | None
    cache: CacheFigures
    scope: str = Field(description="`all processes` with a database, else `this process`.")
    degraded: bool = Field(description="Whether the database is away: counts of others may be missing.")
    pending: Count = Field(description="Verdicts that the database has not confirmed.")


class KeyRequest(BaseModel, extra="forbid"):
    """A client that needs a key."""

    client: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]
    scopes: list[Scope] = Field(min_length=1, max_length=3)
    days: Days = None


class RotationRequest(BaseModel, extra="forbid"):
    """How long the successor is valid."""

    days: Days = None


class KeyRecord(BaseModel):
    """What is known of a key."""

    id: str
    client: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKey(KeyRecord):
    """A key, shown this once."""

    key: str


class KeyList(BaseModel):
    """Keys without what opens anything."""

    keys: list[KeyRecord]


class Problem(BaseModel):
    """What is wrong with a request."""

    detail: str


class FieldProblem(BaseModel):
    """What is wrong with one field; never what it held."""

    type: str
    loc: list[str | int]
    msg: str


class InvalidBody(BaseModel):
    """What is wrong with a body: its fields, or a sentence about it as a whole."""

    detail: list[FieldProblem] | str
