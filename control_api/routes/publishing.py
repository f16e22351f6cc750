"""Publishing a version: from an upload to a record on the control log and an operation to follow.

The order of steps is what makes a repeated request harmless. Everything that can be wrong with the request is found
before anything is written. Then the `Idempotency-Key`, if any, is claimed; the same key travels in the descriptor, so a
request that was written by a replica that died before it answered is recognised by the fold of every replica. Only then
the record is written, acknowledged by all replicas of the log, and read back to learn its version.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from control_api.access import authorize_write
from control_api.core.operations import operation_id
from control_api.core.outcomes import serving_version
from control_api.core.publication import ContradictionError, describe, request_id_of
from control_api.core.snapshot import Snapshot
from control_api.errors import (
    BAD_REQUEST,
    CONTRADICTION,
    IN_FLIGHT,
    INVALID,
    KAFKA_DOWN,
    KEY_REUSED,
    NOT_CAUGHT_UP,
    TOO_LARGE,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA,
    ApiError,
)
from control_api.parts import Parts
from control_api.ports import StoredAnswer
from control_api.reading import CONTROL_OFFSET, PartsHere, SnapshotNow
from control_api.schemas.parameters import ModelName
from control_api.schemas.problem import answers
from control_api.schemas.publication import PublicationFields, PublicationPlan, Published, Replaced
from control_api.schemas.shape import Shape
from control_api.uploads import Upload, read_upload
from model_store.core.descriptor import Descriptor
from model_store.core.errors import InvalidDescriptorError
from model_store.core.wire import encode_descriptor

router = APIRouter(prefix="/api/v1/registered-models", tags=["models"])

RETRY_AFTER_SECONDS = 1
REPLAYED = "Idempotency-Replayed"
_HEADERS = {
    "Location": {"description": "The operation.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before asking for it.", "schema": {"type": "integer"}},
    CONTROL_OFFSET: {"description": "For `min_control_offset` of later reads.", "schema": {"type": "integer"}},
    REPLAYED: {"description": "`true` if this answers a repeated request.", "schema": {"type": "string"}},
}


def _request_body() -> dict[str, Any]:
    fields = PublicationFields.model_json_schema()
    properties = {k: v for k, v in fields["properties"].items() if k != "source"}
    properties["feature_mapping"] = {
        "type": "string",
        "contentMediaType": "application/json",
        "description": "A JSON object as text: `{feature: field}`.",
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
        202: {"description": "Written to the control log.", "headers": _HEADERS},
        **answers(
            BAD_REQUEST, UNAUTHORIZED, IN_FLIGHT, TOO_LARGE, UNSUPPORTED_MEDIA, INVALID, CONTRADICTION, KEY_REUSED,
            KAFKA_DOWN, NOT_CAUGHT_UP,
        ),
    },
    openapi_extra={"requestBody": _request_body()},
)  # fmt: skip
async def publish_version(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    name: ModelName,
    dry_run: Annotated[bool, Query(description="Answer what would happen; write nothing.")] = False,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern="^[!-~]+$",
            description="Names this act of publishing: repeated with the same key and body within 24 hours, it answers "
            "the same and publishes once.",
        ),
    ] = None,
) -> Response:
    """Publish a model: from now on it is the model of its data type.

    Send the file as multipart, or where it is (`source`, `sha256`) as JSON. Answers 202 once the control log has it;
    the operation is done when each live worker has said what became of it.
    """
    upload = await read_upload(request, parts.settings.limits.inline_bytes)
    descriptor = _describe(name, upload, request_id_of(idempotency_key))
    if dry_run:
        return JSONResponse(_plan(snapshot, descriptor).model_dump(mode="json"))
    if idempotency_key is None:
        return await _publish(parts, descriptor, upload.data)
    fingerprint = hashlib.sha256(f"{request.method} {request.url.path} {upload.fingerprint}".encode()).hexdigest()
    stored = await parts.replays.begin(idempotency_key, fingerprint)
    if stored is not None:
        return Response(
            stored.body, stored.status, {**stored.headers, REPLAYED: "true"}, media_type=JSONResponse.media_type
        )
    try:
        response = _published_before(parts, snapshot, descriptor) or await _publish(parts, descriptor, upload.data)
    except BaseException:
        await parts.replays.abandon(idempotency_key)
        raise
    kept = {name: response.headers[name] for name in ("Location", "Retry-After", CONTROL_OFFSET)}
    answer = StoredAnswer(fingerprint, response.status_code, kept, bytes(response.body).decode())
    await parts.replays.finish(idempotency_key, answer)
    return response


def _describe(name: str, upload: Upload, request_id: str) -> Descriptor:
    try:
        return describe(name, upload.fields, upload.data, upload.filename, request_id)
    except ContradictionError as error:
        raise ApiError(CONTRADICTION, str(error)) from error
    except InvalidDescriptorError as error:
        raise ApiError(INVALID, str(error)) from error


async def _publish(parts: Parts, descriptor: Descriptor, data: bytes | None) -> Response:
    record = encode_descriptor(descriptor, data, parts.dialect)
    offset = await parts.publisher.publish(record.key, record.value, dict(record.headers))
    parts.metrics.published.inc()
    is_folded = await parts.follower.wait_applied(offset, parts.settings.waits.fold_seconds)
    catalogue = parts.follower.state
    version = catalogue.version_at(offset) if is_folded else None
    first = catalogue.announcement_of(offset)
    response = _answer(descriptor, first, str(version.version) if version is not None else None)
    if first != offset:
        response.headers[REPLAYED] = "true"
    return response


def _published_before(parts: Parts, snapshot: Snapshot, descriptor: Descriptor) -> Response | None:
    """The answer to a request that the control log has already; it matters where no Redis remembers it."""
    request = (descriptor.data_type, descriptor.name, descriptor.request_id)
    offset = snapshot.catalogue.requests.get(request)
    version = snapshot.catalogue.versions.get(offset) if offset is not None else None
    if version is None:
        return None
    if version.descriptor != descriptor:
        raise ApiError(KEY_REUSED, f"this Idempotency-Key published {version.model} version {version.version} already")
    response = _answer(descriptor, version.control_offset, str(version.version))
    response.headers[REPLAYED] = "true"
    return response


def _answer(descriptor: Descriptor, control_offset: int, version: str | None) -> Response:
    body = Published(
        operation=operation_id(control_offset),
        model=descriptor.name,
        version=version,
        data_type=descriptor.data_type,
        type=descriptor.model_type,
        control_offset=control_offset,
        sha256=(descriptor.sha256 or b"").hex(),
        artifact_bytes=descriptor.size_bytes,
    )
    headers = {
        "Location": f"/api/v1/operations/{operation_id(control_offset)}",
        "Retry-After": str(RETRY_AFTER_SECONDS),
        CONTROL_OFFSET: str(control_offset),
    }
    return _json(body, 202, headers)


def _json(body: Shape, status: int, headers: dict[str, str]) -> Response:
    return Response(body.model_dump_json(), status, headers, media_type=JSONResponse.media_type)


def _plan(snapshot: Snapshot, descriptor: Descriptor) -> PublicationPlan:
    model = snapshot.catalogue.models.get(descriptor.name)
    route = snapshot.catalogue.routes.get(descriptor.data_type)
    serving = serving_version(snapshot, route) if route is not None else None
    return PublicationPlan(
        dry_run=True,
        model=descriptor.name,
        version=str(model.latest + 1 if model is not None else 1),
        data_type=descriptor.data_type,
        type=descriptor.model_type,
        sha256=(descriptor.sha256 or b"").hex(),
        artifact_bytes=descriptor.size_bytes,
        source=descriptor.location,
        replaces=Replaced(model=serving.model, version=str(serving.version)) if serving is not None else None,
    )
