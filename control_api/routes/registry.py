"""Changing what is said of models and versions: registering, describing, retiring, deleting, approving."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from immutables import Map

from control_api.access import authorize_write
from control_api.commanding import Asked, AskedHere, Written, json_answer, perform
from control_api.core.models import approvals_of, model_version, registered_model
from control_api.core.serving import in_plans
from control_api.core.snapshot import Snapshot
from control_api.errors import CONFLICT, INVALID, NOT_CAUGHT_UP, NOT_FOUND, STALE, ApiError
from control_api.finding import find_model, find_version
from control_api.reading import SnapshotNow, answer, etag_of
from control_api.schemas.models import Approvals, ModelVersion, RegisteredModel
from control_api.schemas.parameters import IfNoneMatch, ModelName, ReasonParameter, VersionNumber
from control_api.schemas.problem import WRITES, answers, written
from control_api.schemas.registry import ApprovalGiven, ModelChanges, NewModel, PolicyGiven, VersionChanges
from model_store.core.commands import (
    ABSENT,
    Approve,
    CommandBody,
    RegisterModel,
    SetPolicy,
    SetStage,
    UpdateVersion,
)

router = APIRouter(prefix="/api/v1/registered-models", tags=["models"])

_MAY_WRITE = [Depends(authorize_write)]
_OF_MODEL = {**written(200, RegisteredModel, "The model, changed."), **answers(*WRITES, NOT_FOUND)}
_OF_VERSION = {**written(200, ModelVersion, "The version, changed."), **answers(*WRITES, NOT_FOUND)}


@router.post(
    "",
    status_code=201,
    response_model=RegisteredModel,
    dependencies=_MAY_WRITE,
    responses={
        **written(200, RegisteredModel, "What it would be (`dry_run`)."),
        **written(201, RegisteredModel, "Registered."),
        **answers(*WRITES),
    },
)
async def register_model(snapshot: SnapshotNow, asked: AskedHere, body: NewModel) -> Response:
    """Register a model before it has a version; publishing one registers it as well."""
    command = RegisterModel(body.name, body.description, body.owner, body.use_case, Map(body.tags))
    try:
        return await _model_changed(asked, snapshot, body.name, command, body.reason, ABSENT, 201)
    except ApiError as error:
        if error.problem is STALE and asked.if_none_match is None:
            raise ApiError(CONFLICT, f"there is a registered model {body.name!r} already", error.extra) from error
        raise


@router.put("/{name:path}/policy", response_model=RegisteredModel, dependencies=_MAY_WRITE, responses=_OF_MODEL)
async def set_policy(snapshot: SnapshotNow, asked: AskedHere, name: ModelName, body: PolicyGiven) -> Response:
    """Say what versions of a model need before they may serve. What serves already goes on."""
    command = SetPolicy(
        name, body.approvals, body.needs_backtest, body.retire_after_seconds, body.backtest_records,
        body.backtest_disagreement, body.backtest_errors,
    )  # fmt: skip
    return await _model_changed(asked, snapshot, name, command, body.reason, asked.expected(snapshot, command))


@router.get(
    "/{name:path}/versions/{version}/approvals",
    response_model=Approvals,
    responses=answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP),
)
async def read_approvals(
    request: Request, snapshot: SnapshotNow, name: ModelName, version: VersionNumber, if_none_match: IfNoneMatch = None
) -> Response:
    """Who approved or refused a version."""
    body = approvals_of(snapshot.catalogue, find_version(snapshot, name, version))
    return answer(request, snapshot, body, body.revision)


@router.post(
    "/{name:path}/versions/{version}/approvals",
    status_code=201,
    response_model=Approvals,
    dependencies=_MAY_WRITE,
    responses={
        **written(200, Approvals, "What they would be (`dry_run`)."),
        **written(201, Approvals, "Given."),
        **answers(*WRITES, NOT_FOUND),
    },
)
async def give_approval(
    snapshot: SnapshotNow, asked: AskedHere, name: ModelName, version: VersionNumber, body: ApprovalGiven
) -> Response:
    """Approve or refuse a version, in the name of `X-Sluice-Actor`."""
    found = find_version(snapshot, name, version)
    approve = Approve(name, found.version, body.approved, body.plan_digest)

    def given(written: Written, after: Snapshot) -> Response:
        shape = approvals_of(after.catalogue, find_version(after, name, str(found.version)))
        location = f"/api/v1/registered-models/{name}/versions/{found.version}/approvals"
        return json_answer(shape, 201, {"Location": location})

    command = asked.command(approve, body.reason, asked.expected(snapshot, approve))
    return await perform(asked, snapshot, command, given, lambda after: approvals_of(after.catalogue, found))


@router.patch(
    "/{name:path}/versions/{version}", response_model=ModelVersion, dependencies=_MAY_WRITE, responses=_OF_VERSION
)
async def change_version(
    snapshot: SnapshotNow, asked: AskedHere, name: ModelName, version: VersionNumber, body: VersionChanges
) -> Response:
    """Describe or tag a version, retire it, or bring it back."""
    number = find_version(snapshot, name, version).version
    if body.stage is None:
        update = UpdateVersion(name, number, body.description, Map(body.tags))
        return await _version_changed(asked, snapshot, update, name, number, body.reason)
    if body.description is not None or body.tags:
        raise ApiError(INVALID, "send `stage` alone: description and tags are a change of their own")
    return await _version_changed(asked, snapshot, SetStage(name, number, body.stage), name, number, body.reason)


@router.delete(
    "/{name:path}/versions/{version}", response_model=ModelVersion, dependencies=_MAY_WRITE, responses=_OF_VERSION
)
async def delete_version(
    snapshot: SnapshotNow, asked: AskedHere, name: ModelName, version: VersionNumber, reason: ReasonParameter = ""
) -> Response:
    """Delete a version that no route and no alias points to; its number is never given again."""
    number = find_version(snapshot, name, version).version
    return await _version_changed(asked, snapshot, SetStage(name, number, "deleted"), name, number, reason)


@router.patch("/{name:path}", response_model=RegisteredModel, dependencies=_MAY_WRITE, responses=_OF_MODEL)
async def change_model(snapshot: SnapshotNow, asked: AskedHere, name: ModelName, body: ModelChanges) -> Response:
    """Describe or tag a model, or name its owner."""
    find_model(snapshot, name)
    command = RegisterModel(name, body.description, body.owner, body.use_case, Map(body.tags))
    expected = asked.expected(snapshot, command)
    return await _model_changed(asked, snapshot, name, command, body.reason, expected)


@router.delete("/{name:path}", response_model=RegisteredModel, dependencies=_MAY_WRITE, responses=_OF_MODEL)
async def delete_model(
    snapshot: SnapshotNow, asked: AskedHere, name: ModelName, reason: ReasonParameter = ""
) -> Response:
    """Delete a model with all its versions, if no route has one of them in its plan."""
    find_model(snapshot, name)
    command = SetStage(name, 0, "deleted")
    return await _model_changed(asked, snapshot, name, command, reason, asked.expected(snapshot, command))


async def _model_changed(
    asked: Asked,
    snapshot: Snapshot,
    name: str,
    body: CommandBody,
    reason: str,
    expected: int | None,
    status: int = 200,
) -> Response:
    def shape(after: Snapshot) -> RegisteredModel | None:
        model = after.catalogue.models.get(name)
        return registered_model(after, model, in_plans(after)) if model is not None else None

    def changed(written: Written, after: Snapshot) -> Response:
        found = shape(after)
        assert found is not None
        headers = {"Location": f"/api/v1/registered-models/{name}"} if status == 201 else {}
        return json_answer(found, status, headers | _etag(found.model_dump_json(), found.revision))

    return await perform(asked, snapshot, asked.command(body, reason, expected), changed, shape)


async def _version_changed(
    asked: Asked, snapshot: Snapshot, body: UpdateVersion | SetStage, name: str, number: int, reason: str
) -> Response:
    def shape(after: Snapshot) -> ModelVersion:
        return model_version(after, after.catalogue.models[name].versions[number], in_plans(after))

    def changed(written: Written, after: Snapshot) -> Response:
        found = shape(after)
        return json_answer(found, 200, _etag(found.model_dump_json(), found.revision))

    command = asked.command(body, reason, asked.expected(snapshot, body))
    return await perform(asked, snapshot, command, changed, shape)


def _etag(content: str, revision: int) -> dict[str, str]:
    return {"ETag": etag_of(content.encode(), revision)}
