"""Registered models and their versions."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from control_api.core.attributes import model_attributes, version_attributes
from control_api.core.models import kept_versions, model_version, registered_model
from control_api.core.serving import in_plans
from control_api.errors import INVALID, KAFKA_DOWN, NOT_CAUGHT_UP, NOT_FOUND, NOT_INLINE, PAGE_TOKEN, ApiError
from control_api.finding import find_model, find_version, searched
from control_api.reading import PartsHere, SnapshotNow, answer, snapshot_as_of
from control_api.schemas.models import ModelVersion, ModelVersions, RegisteredModel, RegisteredModels
from control_api.schemas.parameters import (
    AsOf,
    Filter,
    IfNoneMatch,
    MaxResults,
    ModelName,
    OrderBy,
    PageToken,
    VersionNumber,
)
from control_api.schemas.problem import answers
from model_store.core.commands import Command
from model_store.core.control_records import Announced
from model_store.core.wire import decode_record

router = APIRouter(prefix="/api/v1/registered-models", tags=["models"])

_READ = answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP)
_LIST = answers(PAGE_TOKEN, INVALID, NOT_CAUGHT_UP)


@router.get("", response_model=RegisteredModels, responses=_LIST)
async def list_models(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    filter: Filter = None,
    order_by: OrderBy = [],  # noqa: B006  # FastAPI copies it
    data_type: Annotated[str | None, Query(description="Only models published for this data type.")] = None,
    name_contains: Annotated[str | None, Query(description="Only names with this in them.")] = None,
    as_of: AsOf = None,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All registered models, by name unless another order is asked for."""
    snapshot = await snapshot_as_of(parts, snapshot, as_of)
    found = [
        model
        for name, model in snapshot.catalogue.models.items()
        if not model.is_deleted
        and (name_contains is None or name_contains in name)
        and (data_type is None or any(v.data_type == data_type for v in model.versions.values()))
    ]
    filters = {"path": request.url.path, "data_type": data_type, "name_contains": name_contains, "as_of": as_of}
    shown, token = searched(
        found,
        model_attributes(snapshot),
        filter,
        order_by,
        lambda model: (model.name,),
        max_results,
        page_token,
        filters,
    )
    plans = in_plans(snapshot)
    models = [registered_model(snapshot, model, plans) for model in shown]
    return answer(request, snapshot, RegisteredModels(registered_models=models, next_page_token=token))


@router.get(
    "/{name:path}/versions/{version}/artifact",
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            "description": "The artifact's bytes; `Repr-Digest` has their SHA-256.",
        },
        **answers(NOT_FOUND, NOT_INLINE, INVALID, NOT_CAUGHT_UP, KAFKA_DOWN),
    },
)
async def read_artifact(parts: PartsHere, snapshot: SnapshotNow, name: ModelName, version: VersionNumber) -> Response:
    """The bytes of a version that was published with a file, read again from the control log."""
    found = find_version(snapshot, name, version)
    if found.descriptor.location is not None:
        detail = f"{name} version {found.version} was published by location: {found.descriptor.location}"
        raise ApiError(NOT_INLINE, detail, extra={"source": found.descriptor.location})
    record = await parts.log_reader.read(found.control_offset)
    made_by = decode_record(record.headers, record.key, record.value, parts.dialect)
    if not isinstance(made_by, Announced | Command) or made_by.payload is None:
        raise ApiError(NOT_FOUND, f"the control log has no bytes for {name} version {found.version}")
    digest = found.descriptor.sha256 or b""
    headers = {
        "ETag": f'"{digest.hex()}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
        "Content-Disposition": f'attachment; filename="model-{found.version}"',
    }
    return Response(made_by.payload, headers=headers, media_type="application/octet-stream")


@router.get("/{name:path}/versions/{version}", response_model=ModelVersion, responses=_READ)
async def read_version(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    name: ModelName,
    version: VersionNumber,
    as_of: AsOf = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """One version: where it came from, what it takes and gives, and what became of it on each worker."""
    snapshot = await snapshot_as_of(parts, snapshot, as_of)
    found = find_version(snapshot, name, version)
    body = model_version(snapshot, found, in_plans(snapshot))
    return answer(request, snapshot, body, body.revision)


@router.get(
    "/{name:path}/versions",
    response_model=ModelVersions,
    responses=answers(PAGE_TOKEN, NOT_FOUND, INVALID, NOT_CAUGHT_UP),
)
async def list_versions(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    name: ModelName,
    filter: Filter = None,
    order_by: OrderBy = [],  # noqa: B006  # FastAPI copies it
    data_type: Annotated[str | None, Query(description="Only versions published for this data type.")] = None,
    as_of: AsOf = None,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All versions of a model, newest first unless another order is asked for."""
    snapshot = await snapshot_as_of(parts, snapshot, as_of)
    kept = kept_versions(snapshot.catalogue, find_model(snapshot, name))
    found = [version for version in kept if data_type is None or version.data_type == data_type]
    filters = {"path": request.url.path, "data_type": data_type, "as_of": as_of}
    shown, token = searched(
        found, version_attributes(snapshot), filter, order_by, lambda version: (-version.version,), max_results,
        page_token, filters,
    )  # fmt: skip
    plans = in_plans(snapshot)
    body = ModelVersions(model_versions=[model_version(snapshot, v, plans) for v in shown], next_page_token=token)
    return answer(request, snapshot, body)


@router.get("/{name:path}", response_model=RegisteredModel, responses=_READ)
async def read_model(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    name: ModelName,
    as_of: AsOf = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """One registered model and its newest version."""
    snapshot = await snapshot_as_of(parts, snapshot, as_of)
    body = registered_model(snapshot, find_model(snapshot, name), in_plans(snapshot))
    return answer(request, snapshot, body, body.revision)
