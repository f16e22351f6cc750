"""Routes: which versions serve which data type, and changing that."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from control_api.access import authorize_write
from control_api.commanding import Asked, AskedHere, Written, json_answer, perform
from control_api.core.deployments import deployment
from control_api.core.operations import operation_id, operation_view
from control_api.core.outcomes import serving_version
from control_api.core.plans import moved_percent, plan_given, plan_shape
from control_api.core.rolling_back import plan_with, previous_plan
from control_api.core.rollouts import rollout_view
from control_api.core.snapshot import Snapshot
from control_api.core.targets import UnknownTargetError, find_target
from control_api.errors import (
    CONFLICT,
    INVALID,
    NOT_CAUGHT_UP,
    NOT_FOUND,
    PAGE_TOKEN,
    PLAN_INVALID,
    POLICY_NOT_MET,
    PRECONDITION_REQUIRED,
    ApiError,
)
from control_api.pages import page
from control_api.parts import Parts
from control_api.reading import PartsHere, SnapshotNow, answer, snapshot_as_of
from control_api.schemas.deployments import Deployment, Deployments
from control_api.schemas.operations import Operation
from control_api.schemas.parameters import AsOf, DataType, IfNoneMatch, MaxResults, PageToken, ReasonParameter
from control_api.schemas.plans import GivenPlan, GivenRollback, Mode, RoutePlan
from control_api.schemas.problem import WRITES, answers, written
from model_store.core.commands import DEFAULT_DEADLINE_MS, ChangeRoute
from model_store.core.errors import InvalidPlanError
from model_store.core.plans import Plan
from model_store.core.routes import Route

router = APIRouter(prefix="/api/v1/deployments", tags=["deployments"])

_RETRY_AFTER_SECONDS = 1
_ENTRIES = 20
_CHANGE = {
    **written(200, RoutePlan, "What it would come to (`dry_run`)."),
    **written(202, Operation, "The change has begun; the operation says how far it is."),
    **answers(*WRITES, NOT_FOUND, PLAN_INVALID, POLICY_NOT_MET, PRECONDITION_REQUIRED),
}
MaxEntries = Annotated[int, Query(ge=0, le=1000, description="Most entries of the timeline, newest first.")]


@router.get("", response_model=Deployments, responses=answers(PAGE_TOKEN, INVALID, NOT_CAUGHT_UP))
async def list_deployments(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    model: Annotated[str | None, Query(description="Only routes that this model serves.")] = None,
    as_of: AsOf = None,
    max_entries: MaxEntries = 1,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All routes that serve something, or are about to, by key."""
    snapshot = await snapshot_as_of(parts, snapshot, as_of)
    found = [
        route
        for _, route in sorted(snapshot.catalogue.routes.items())
        if (route.plan is not None or route.change is not None)
        and (model is None or ((v := serving_version(snapshot, route)) is not None and v.model == model))
    ]
    filters = {"path": request.url.path, "model": model, "as_of": as_of}
    shown, token = page(found, lambda route: (route.key,), max_results, page_token, filters)
    body = Deployments(
        deployments=[_shape(parts, snapshot, route, max_entries) for route in shown], next_page_token=token
    )
    return answer(request, snapshot, body)


@router.post(
    "/{key:path}:rollback",
    status_code=202,
    response_model=Operation,
    dependencies=[Depends(authorize_write)],
    responses=_CHANGE,
)
async def roll_back(
    snapshot: SnapshotNow, asked: AskedHere, key: DataType, given: GivenRollback | None = None
) -> Response:
    """Take a route back to what it served before: a cut-over like any other."""
    given = given or GivenRollback()
    route = _route(snapshot, key)
    try:
        if given.to == "previous":
            plan = previous_plan(snapshot.catalogue, route)
        else:
            target = find_target(snapshot.catalogue, given.to.model, int(given.to.version), None)
            plan = plan_with(snapshot.catalogue, route, target)
    except UnknownTargetError as error:
        raise ApiError(NOT_FOUND, str(error)) from error
    if plan is None:
        raise ApiError(CONFLICT, f"route {key!r} served nothing before this")
    body = await _change(asked.parts, snapshot, key, plan, given.mode, given.deadline_seconds)
    expected = asked.expected(snapshot, body)
    return await _changed(
        asked, snapshot, body, given.reason or "rolled back", route.revision if expected is None else expected
    )


@router.get("/{key:path}", response_model=Deployment, responses=answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP))
async def read_deployment(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    key: DataType,
    as_of: AsOf = None,
    max_entries: MaxEntries = _ENTRIES,
    entries_before: Annotated[
        int | None, Query(ge=0, description="Only entries that took force before this control offset.")
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """What serves a data type, what did before, and what each worker scores it with since when."""
    snapshot = await snapshot_as_of(parts, snapshot, as_of)
    route = _route(snapshot, key)
    return answer(request, snapshot, _shape(parts, snapshot, route, max_entries, entries_before), route.revision)


@router.put(
    "/{key:path}",
    status_code=202,
    response_model=Operation,
    dependencies=[Depends(authorize_write)],
    responses=_CHANGE,
)
async def change_deployment(snapshot: SnapshotNow, asked: AskedHere, key: DataType, given: GivenPlan) -> Response:
    """Give a route another plan. `If-None-Match: *`: only if there is no such route yet."""
    try:
        plan = plan_given(snapshot.catalogue, given)
    except InvalidPlanError as error:
        raise ApiError(PLAN_INVALID, str(error)) from error
    except UnknownTargetError as error:
        raise ApiError(NOT_FOUND, str(error)) from error
    body = await _change(asked.parts, snapshot, key, plan, given.mode, given.deadline_seconds)
    return await _changed(asked, snapshot, body, given.reason, asked.expected(snapshot, body, is_required=True))


@router.delete(
    "/{key:path}",
    status_code=202,
    response_model=Operation,
    dependencies=[Depends(authorize_write)],
    responses=_CHANGE,
)
async def delete_deployment(
    snapshot: SnapshotNow,
    asked: AskedHere,
    key: DataType,
    mode: Annotated[Mode, Query(description="As for a change.")] = "exact",
    reason: ReasonParameter = "",
) -> Response:
    """Take a route away: from its cuts on, records of the data type are for the next route that matches it, or for none."""
    body = await _change(asked.parts, snapshot, key, None, mode, None)
    return await _changed(asked, snapshot, body, reason, asked.expected(snapshot, body, is_required=True))


def _route(snapshot: Snapshot, key: str) -> Route:
    route = snapshot.catalogue.routes.get(key)
    if route is None:
        raise ApiError(NOT_FOUND, f"there is no route {key!r}: no model was published for this data type")
    return route


def _shape(
    parts: Parts, snapshot: Snapshot, route: Route, max_entries: int, entries_before: int | None = None
) -> Deployment:
    rollout = snapshot.catalogue.open_rollout(route)
    now_ms = time.time_ns() // 1_000_000
    shape = rollout_view(snapshot, rollout, parts.judged.get(rollout.id), now_ms) if rollout is not None else None
    return deployment(snapshot, route, shape, max_entries, entries_before)


async def _change(
    parts: Parts, snapshot: Snapshot, key: str, plan: Plan | None, mode: Mode, deadline_seconds: float | None
) -> ChangeRoute:
    """The command. Where no worker lives that could promise an offset, what is to be exact is immediate."""
    if not await parts.is_anyone_there(snapshot):
        mode = "immediate"
    deadline_ms = DEFAULT_DEADLINE_MS if deadline_seconds is None else round(deadline_seconds * 1000)
    return ChangeRoute(key, plan, mode, deadline_ms)


async def _changed(asked: Asked, snapshot: Snapshot, body: ChangeRoute, reason: str, expected: int | None) -> Response:
    route = snapshot.catalogue.routes.get(body.key)

    def current(after: Snapshot) -> Deployment | None:
        found = after.catalogue.routes.get(body.key)
        return _shape(asked.parts, after, found, _ENTRIES) if found is not None else None

    def begun(written: Written, after: Snapshot) -> Response:
        if written.is_dry_run:
            return json_answer(_dry(route, after, written, body))
        view = operation_view(after, written.offset)
        assert view is not None
        headers = {
            "Location": f"/api/v1/operations/{operation_id(written.offset)}",
            "Retry-After": str(_RETRY_AFTER_SECONDS),
        }
        return json_answer(view, 202, headers)

    return await perform(asked, snapshot, asked.command(body, reason, expected), begun, current)


def _dry(route: Route | None, after: Snapshot, written: Written, body: ChangeRoute) -> RoutePlan:
    change = after.catalogue.changes.get(written.offset)
    plan = change.plan if change is not None else None
    before = route.plan if route is not None else None
    return RoutePlan(
        dry_run=True,
        key=body.key,
        mode="exact" if body.mode == "exact" else "immediate",
        revision=route.revision if route is not None else -1,
        before=plan_shape(before) if before is not None else None,
        plan=plan_shape(plan) if plan is not None else None,
        moved=moved_percent(before, plan),
    )
