"""Registered models and their versions."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from control_api.core.models import model_version, registered_model
from control_api.core.snapshot import Snapshot
from control_api.errors import INVALID, KAFKA_DOWN, NOT_CAUGHT_UP, NOT_FOUND, NOT_INLINE, PAGE_TOKEN, ApiError
from control_api.pages import page
from control_api.reading import PartsHere, SnapshotNow, answer
from control_api.schemas.models import ModelVersion, ModelVersions, RegisteredModel, RegisteredModels
from control_api.schemas.parameters import IfNoneMatch, MaxResults, ModelName, PageToken, VersionNumber
from control_api.schemas.problem import answers
from model_store.core import versions
from model_store.core.commands import Command
from model_store.core.control_records import Announced
from model_store.core.wire import decode_record

router = APIRouter(prefix="/api/v1/registered-models", tags=["models"])

_READ = answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP)
_LIST = answers(PAGE_TOKEN, INVALID, NOT_CAUGHT_UP)


@router.get("", response_model=RegisteredModels, responses=_LIST)
async def list_models(
    request: Request,
    snapshot: SnapshotNow,
    data_type: Annotated[str | None, Query(description="Only models published for this data type.")] = None,
    name_contains: Annotated[str | None, Query(description="Only names with this in them.")] = None,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All registered models, by name."""
    found = [
        model
        for name, model in sorted(snapshot.catalogue.models.items())
        if (name_contains is None or name_contains in name)
        and (data_type is None or any(v.data_type == data_type for v in model.versions.values()))
    ]
    filters = {"path": request.url.path, "data_type": data_type, "name_contains": name_contains}
    shown, token = page(found, lambda model: (model.name,), max_results, page_token, filters)
    models = [registered_model(snapshot, model) for model in shown]
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
    found = _version(snapshot, _model(snapshot, name), version)
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
    request: Request, snapshot: SnapshotNow, name: ModelName, version: VersionNumber, if_none_match: IfNoneMatch = None
) -> Response:
    """One version: where it came from, what it takes and gives, and what became of it on each worker."""
    return answer(request, snapshot, model_version(snapshot, _version(snapshot, _model(snapshot, name), version)))


@router.get(
    "/{name:path}/versions",
    response_model=ModelVersions,
    responses=answers(PAGE_TOKEN, NOT_FOUND, INVALID, NOT_CAUGHT_UP),
)
async def list_versions(
    request: Request,
    snapshot: SnapshotNow,
    name: ModelName,
    data_type: Annotated[str | None, Query(description="Only versions published for this data type.")] = None,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All versions of a model, newest first."""
    model = _model(snapshot, name)
    found = [
        version
        for _, version in sorted(model.versions.items(), reverse=True)
        if data_type is None or version.data_type == data_type
    ]
    filters = {"path": request.url.path, "data_type": data_type}
    shown, token = page(found, lambda version: (-version.version,), max_results, page_token, filters)
    body = ModelVersions(model_versions=[model_version(snapshot, v) for v in shown], next_page_token=token)
    return answer(request, snapshot, body)


@router.get("/{name:path}", response_model=RegisteredModel, responses=_READ)
async def read_model(
    request: Request, snapshot: SnapshotNow, name: ModelName, if_none_match: IfNoneMatch = None
) -> Response:
    """One registered model and its newest version."""
    return answer(request, snapshot, registered_model(snapshot, _model(snapshot, name)))


def _model(snapshot: Snapshot, name: str) -> versions.RegisteredModel:
    model = snapshot.catalogue.models.get(name)
    if model is None:
        raise ApiError(NOT_FOUND, f"there is no registered model {name!r}")
    return model


def _version(snapshot: Snapshot, model: versions.RegisteredModel, number: str) -> versions.ModelVersion:
    found = model.latest_version if number == "latest" else model.versions.get(int(number))
    if found is None:
        raise ApiError(NOT_FOUND, f"{model.name} has no version {number}; the newest is {model.latest}")
    return found
