"""Rollouts: moving a route to a candidate step by step, and steering that."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Path, Request
from fastapi.responses import Response

from control_api.access import authorize_write
from control_api.commanding import AskedHere, Written, json_answer, perform
from control_api.core import rollouts as views
from control_api.core.operations import operation_id
from control_api.core.readiness import data_topics
from control_api.core.snapshot import Snapshot
from control_api.core.targets import UnknownTargetError, find_target
from control_api.errors import (
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
from control_api.reading import PartsHere, SnapshotNow, answer, etag_of
from control_api.schemas.parameters import DataType, IfNoneMatch, MaxResults, PageToken
from control_api.schemas.problem import WRITES, answers
from control_api.schemas.rollouts import Rollout, RolloutGiven, Rollouts, Steering
from model_store.core import rollouts
from model_store.core.commands import SteerRollout

router = APIRouter(prefix="/api/v1/deployments", tags=["rollouts"])

RolloutId = Annotated[str, Path(pattern=r"^[0-9]{1,18}$", description="Id of the rollout.", examples=["42"])]
Action = Literal["pause", "resume", "promote", "abort"]


@router.post(
    "/{key:path}/rollouts",
    status_code=202,
    response_model=Rollout,
    dependencies=[Depends(authorize_write)],
    responses=answers(*WRITES, NOT_FOUND, PLAN_INVALID, POLICY_NOT_MET),
)
async def start_rollout(
    asked: AskedHere, snapshot: SnapshotNow, key: DataType, given: Annotated[RolloutGiven, Body()]
) -> Response:
    """Move a route to a candidate: dark first if the first step has no weight, then by growing shares, watched by guards.

    Each step is an exact change of the route. A guard that fails takes the route back to where it began.
    """
    try:
        number = int(given.version) if given.version is not None else None
        candidate = find_target(snapshot.catalogue, given.model, number, given.alias)
        body = views.rollout_asked(key, candidate, given)
    except UnknownTargetError as error:
        raise ApiError(NOT_FOUND, str(error)) from error
    except ValueError as error:
        raise ApiError(INVALID, str(error)) from error
    command = asked.command(body, given.reason, asked.expected(snapshot, body))

    def respond(written: Written, after: Snapshot) -> Response:
        response = _respond(after, written.offset, 202)
        response.headers["Location"] = f"/api/v1/operations/{operation_id(written.offset)}"
        response.headers["Retry-After"] = "1"
        return response

    return await perform(asked, snapshot, command, respond)


@router.get("/{key:path}/rollouts", response_model=Rollouts, responses=answers(PAGE_TOKEN, INVALID, NOT_CAUGHT_UP))
async def list_rollouts(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    key: DataType,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The rollouts of a route, newest first."""
    found = (snapshot.catalogue.rollouts.get(number) for number in sorted(snapshot.catalogue.rollouts, reverse=True))
    of_route = [rollout for rollout in found if rollout is not None and rollout.key == key]
    filters = {"path": request.url.path}
    shown, token = page(of_route, lambda rollout: (-rollout.id,), max_results, page_token, filters)
    body = Rollouts(rollouts=[await _view(parts, snapshot, each) for each in shown], next_page_token=token)
    return answer(request, snapshot, body)


@router.get("/{key:path}/rollouts/{id}", response_model=Rollout, responses=answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP))
async def read_rollout(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    key: DataType,
    id: RolloutId,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Where a rollout is, what it waits for, what its guards say, and what was decided so far."""
    rollout = _find(snapshot, key, id)
    return answer(request, snapshot, await _view(parts, snapshot, rollout), views.revision(rollout))


@router.post(
    "/{key:path}/rollouts/{id}:{action}",
    response_model=Rollout,
    dependencies=[Depends(authorize_write)],
    responses=answers(*WRITES, NOT_FOUND, PRECONDITION_REQUIRED),
)
async def steer_rollout(
    asked: AskedHere,
    snapshot: SnapshotNow,
    key: DataType,
    id: RolloutId,
    action: Annotated[Action, Path(description="`promote`: to the last step now. `abort`: back to where it began.")],
    given: Annotated[Steering | None, Body()] = None,
) -> Response:
    """Say how a rollout goes on."""
    rollout = _find(snapshot, key, id)
    body = SteerRollout(rollout.id, action)
    command = asked.command(
        body, given.reason if given is not None else "", asked.expected(snapshot, body, is_required=True)
    )

    def current(after: Snapshot) -> Rollout | None:
        found = after.catalogue.rollouts.get(rollout.id)
        return views.rollout_view(after, found, None, _now_ms()) if found is not None else None

    return await perform(asked, snapshot, command, lambda _, after: _respond(after, rollout.id, 200), current)


def _find(snapshot: Snapshot, key: str, id: str) -> rollouts.Rollout:
    found = snapshot.catalogue.rollouts.get(int(id))
    if found is None or found.key != key:
        raise ApiError(NOT_FOUND, f"there is no rollout {id} of route {key!r}")
    return found


async def _view(parts: Parts, snapshot: Snapshot, rollout: rollouts.Rollout) -> Rollout:
    partitions = {}
    if rollout.state.is_open:
        partitions = dict(await parts.groups.partitions(data_topics(snapshot.catalogue, snapshot.membership)))
    return views.rollout_view(snapshot, rollout, parts.judged.get(rollout.id), _now_ms(), partitions)


def _respond(snapshot: Snapshot, id: int, status: int) -> Response:
    rollout = snapshot.catalogue.rollouts.get(id)
    assert rollout is not None
    body = views.rollout_view(snapshot, rollout, None, _now_ms())
    response = json_answer(body, status)
    response.headers["ETag"] = etag_of(bytes(response.body), body.revision)
    return response


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
