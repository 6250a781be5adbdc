"""API keys: made, rotated and revoked by an administrator. A key is shown once, when it is made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from analyzer.service.dependencies import Admin, RuntimeDep
from analyzer.service.problems import BODY, CONFLICT, GUARDED, MISSING, STORED
from analyzer.service.schemas import KeyList, KeyRecord, KeyRequest, NewKey, RotationRequest
from analyzer.storage.records import ApiKey

routes = APIRouter(prefix="/keys", tags=["keys"], responses=GUARDED | STORED)

KeyId = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]


@routes.get("")
async def keys(runtime: RuntimeDep, caller: Admin) -> KeyList:
    """The keys of the database with their last use; those of the settings are not listed."""
    return KeyList(
        keys=[KeyRecord.model_validate(key, from_attributes=True) for key in await runtime.keys.known()]
    )


@routes.post("", status_code=201, responses=BODY | CONFLICT)
async def create(body: KeyRequest, runtime: RuntimeDep, caller: Admin) -> NewKey:
    """A key for a client that has none."""
    record, key = await runtime.keys.create(body.client, body.scopes, body.days)
    return _new(record, key)


@routes.post("/{key_id}/rotate", status_code=201, responses=BODY | CONFLICT | MISSING)
async def rotate(key_id: KeyId, body: RotationRequest, runtime: RuntimeDep, caller: Admin) -> NewKey:
    """A successor; the old key is valid beside it for a while, so that clients can change over."""
    record, key = await runtime.keys.rotate(key_id, body.days)
    return _new(record, key)


@routes.delete("/{key_id}", status_code=204, responses=MISSING | BODY)
async def revoke(key_id: KeyId, runtime: RuntimeDep, caller: Admin) -> None:
    """The key opens nothing any more: here at once, in other processes within seconds."""
    await runtime.keys.revoke(key_id)


def _new(record: ApiKey, key: str) -> NewKey:
    shown = KeyRecord.model_validate(record, from_attributes=True)
    return NewKey(**shown.model_dump(), key=key)
