"""Publishing a version: from an upload to a command on the control log and an operation to follow.

Everything that can be wrong with the upload itself is found before anything is written. Then one command makes the version
and, unless it is only to be registered, turns its data type to it: exactly, by the cut-over protocol, or at once. Its id is
the `Idempotency-Key`, so a request that was written by a replica that died before it answered is recognised by the fold of
every replica. See `commanding` for the rest of its way.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from control_api.access import authorize_write
from control_api.commanding import REPLAYED, AskedHere, Written, command_id, json_answer, perform
from control_api.core.operations import operation_id
from control_api.core.outcomes import serving_version
from control_api.core.publication import ContradictionError, describe, registration
from control_api.core.snapshot import Snapshot
from control_api.errors import (
    BAD_REQUEST,
    CONFLICT,
    CONTRADICTION,
    IN_FLIGHT,
    INVALID,
    KAFKA_DOWN,
    KEY_REUSED,
    NOT_CAUGHT_UP,
    PLAN_INVALID,
    POLICY_NOT_MET,
    STALE,
    TOO_LARGE,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA,
    ApiError,
)
from control_api.reading import CONTROL_OFFSET, PartsHere, SnapshotNow
from control_api.schemas.parameters import ModelName
from control_api.schemas.problem import answers
from control_api.schemas.publication import Mode, PublicationFields, PublicationPlan, Published, Replaced
from control_api.uploads import Upload, read_upload
from model_store.core.commands import RegisterVersion
from model_store.core.descriptor import Descriptor
from model_store.core.errors import InvalidDescriptorError

router = APIRouter(prefix="/api/v1/registered-models", tags=["models"])

RETRY_AFTER_SECONDS = 1
_HEADERS = {
    "Location": {
        "description": "The operation; the version where it is only registered.",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds to wait before asking for it.", "schema": {"type": "integer"}},
    CONTROL_OFFSET: {"description": "For `min_control_offset` of later reads.", "schema": {"type": "integer"}},
    REPLAYED: {"description": "`true` if this answers a repeated request.", "schema": {"type": "string"}},
}


def _request_body() -> dict[str, Any]:
    fields = PublicationFields.model_json_schema()
    properties = {k: v for k, v in fields["properties"].items() if k != "source"}
    for name, members in (("feature_mapping", "feature: field"), ("references", "kind: where")):
        properties[name] = {
            "type": "string",
            "contentMediaType": "application/json",
            "description": f"A JSON object as text: `{{{members}}}`.",
        }
    form = {
        "type": "object",
        "required": ["file", "data_type"],
        "additionalProperties": False,
        "properties": {"file": {"type": "string", "format": "binary", "description": "The artifact."}, **properties},
    }
    by_location = {**fields, "required": ["data_type", "type", "source", "sha256"]}
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "application/json": {"schema": by_location}},
    }


@router.post(
    "/{name:path}/versions",
    status_code=202,
    response_model=Published,
    dependencies=[Depends(authorize_write)],
    responses={
        200: {"model": PublicationPlan, "description": "The plan of a dry run."},
        201: {"model": Published, "description": "Registered (`mode` `none`).", "headers": _HEADERS},
        202: {"description": "Written to the control log.", "headers": _HEADERS},
        **answers(
            BAD_REQUEST, UNAUTHORIZED, IN_FLIGHT, CONFLICT, POLICY_NOT_MET, STALE, TOO_LARGE, UNSUPPORTED_MEDIA, INVALID,
            CONTRADICTION, PLAN_INVALID, KEY_REUSED, KAFKA_DOWN, NOT_CAUGHT_UP,
        ),
    },
    openapi_extra={"requestBody": _request_body()},
)  # fmt: skip
async def publish_version(
    request: Request, parts: PartsHere, snapshot: SnapshotNow, asked: AskedHere, name: ModelName
) -> Response:
    """Publish a model: from now on it is the model of its data type, unless `mode` says that it is only registered.

    Send the file as multipart, or where it is (`source`, `sha256`) as JSON. Answers 202 once the control log has it; the
    operation is done when every partition has an offset from which on the new version scores it, or each live worker has
    said what became of it where the change is immediate.
    """
    upload = await read_upload(request, parts.settings.limits.inline_bytes)
    descriptor = _describe(name, upload, command_id(asked.idempotency_key))
    body = registration(descriptor, upload.fields, is_anyone_there=await parts.is_anyone_there(snapshot))
    mode = _mode(body)

    def published(written: Written, after: Snapshot) -> Response:
        if written.is_dry_run:
            return json_answer(_plan(snapshot, after, written, descriptor, mode))
        parts.metrics.published.inc()
        return _answer(written, after, descriptor, mode)

    command = asked.command(body, upload.fields.reason, asked.expected(snapshot, body), upload.data)
    return await perform(
        asked, snapshot, command, published, fingerprint=upload.fingerprint, may_be_unread=mode != "none"
    )


def _describe(name: str, upload: Upload, request_id: str) -> Descriptor:
    try:
        return describe(name, upload.fields, upload.data, upload.filename, request_id)
    except ContradictionError as error:
        raise ApiError(CONTRADICTION, str(error)) from error
    except InvalidDescriptorError as error:
        raise ApiError(INVALID, str(error)) from error


def _mode(body: RegisterVersion) -> Mode:
    match body.mode:
        case "exact":
            return "exact"
        case "immediate":
            return "immediate"
        case _:
            return "none"


def _answer(written: Written, snapshot: Snapshot, descriptor: Descriptor, mode: Mode) -> Response:
    version = snapshot.catalogue.versions.get(written.offset)
    operation = operation_id(written.offset) if mode != "none" else None
    body = Published(
        operation=operation,
        model=descriptor.name,
        version=str(version.version) if version is not None else None,
        data_type=descriptor.data_type,
        type=descriptor.model_type,
        control_offset=written.offset,
        sha256=(descriptor.sha256 or b"").hex(),
        artifact_bytes=descriptor.size_bytes,
        mode=mode,
    )
    if operation is None:
        number = version.version if version is not None else 0
        return json_answer(body, 201, {"Location": f"/api/v1/registered-models/{descriptor.name}/versions/{number}"})
    headers = {"Location": f"/api/v1/operations/{operation}", "Retry-After": str(RETRY_AFTER_SECONDS)}
    return json_answer(body, 202, headers)


def _plan(snapshot: Snapshot, after: Snapshot, written: Written, descriptor: Descriptor, mode: Mode) -> PublicationPlan:
    route = snapshot.catalogue.routes.get(descriptor.data_type)
    serving = serving_version(snapshot, route) if route is not None else None
    return PublicationPlan(
        dry_run=True,
        model=descriptor.name,
        version=str(after.catalogue.versions[written.offset].version),
        data_type=descriptor.data_type,
        type=descriptor.model_type,
        sha256=(descriptor.sha256 or b"").hex(),
        artifact_bytes=descriptor.size_bytes,
        source=descriptor.location,
        replaces=Replaced(model=serving.model, version=str(serving.version))
        if serving is not None and mode != "none"
        else None,
        mode=mode,
    )
