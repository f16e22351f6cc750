"""Workers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from control_api.core.workers import worker_ids, worker_view
from control_api.errors import INVALID, NOT_CAUGHT_UP, NOT_FOUND, PAGE_TOKEN, ApiError
from control_api.pages import page
from control_api.reading import PartsHere, SnapshotNow, answer
from control_api.schemas.parameters import IfNoneMatch, MaxResults, PageToken, WorkerId
from control_api.schemas.problem import answers
from control_api.schemas.workers import Worker, Workers

router = APIRouter(prefix="/api/v1/workers", tags=["workers"])


@router.get("", response_model=Workers, responses=answers(PAGE_TOKEN, INVALID, NOT_CAUGHT_UP))
async def list_workers(
    request: Request,
    snapshot: SnapshotNow,
    live: Annotated[bool | None, Query(description="Only those that live, or only those that do not.")] = None,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All workers that have said that they started, or that are in a group, by id."""
    found = [w for w in worker_ids(snapshot) if live is None or (w in snapshot.membership.live) == live]
    filters = {"path": request.url.path, "live": live}
    shown, token = page(found, lambda worker: (worker,), max_results, page_token, filters)
    views = [view for worker in shown if (view := worker_view(snapshot, worker, {})) is not None]
    body = Workers(workers=views, next_page_token=token, is_current=snapshot.membership.is_current)
    return answer(request, snapshot, body)


@router.get("/{id:path}", response_model=Worker, responses=answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP))
async def read_worker(
    request: Request, parts: PartsHere, snapshot: SnapshotNow, id: WorkerId, if_none_match: IfNoneMatch = None
) -> Response:
    """One worker: what it holds, how far behind it is, what it has loaded and since when."""
    member = snapshot.membership.members.get(id)
    lag = await parts.groups.lag(member.group, member.partitions) if member is not None else {}
    view = worker_view(snapshot, id, lag)
    if view is None:
        raise ApiError(NOT_FOUND, f"nobody has heard of a worker {id!r}")
    return answer(request, snapshot, view)
