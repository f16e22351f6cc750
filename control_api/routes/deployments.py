"""Routes: which version serves which data type."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from control_api.core.deployments import deployment
from control_api.core.outcomes import serving_version
from control_api.errors import INVALID, NOT_CAUGHT_UP, NOT_FOUND, PAGE_TOKEN, ApiError
from control_api.pages import page
from control_api.reading import SnapshotNow, answer
from control_api.schemas.deployments import Deployment, Deployments
from control_api.schemas.parameters import DataType, IfNoneMatch, MaxResults, PageToken
from control_api.schemas.problem import answers

router = APIRouter(prefix="/api/v1/deployments", tags=["deployments"])


@router.get("", response_model=Deployments, responses=answers(PAGE_TOKEN, INVALID, NOT_CAUGHT_UP))
async def list_deployments(
    request: Request,
    snapshot: SnapshotNow,
    model: Annotated[str | None, Query(description="Only data types that this model serves.")] = None,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All routes, by data type."""
    found = [
        route
        for _, route in sorted(snapshot.catalogue.routes.items())
        if model is None or ((v := serving_version(snapshot, route)) is not None and v.model == model)
    ]
    filters = {"path": request.url.path, "model": model}
    shown, token = page(found, lambda route: (route.key,), max_results, page_token, filters)
    body = Deployments(deployments=[deployment(snapshot, route) for route in shown], next_page_token=token)
    return answer(request, snapshot, body)


@router.get("/{key:path}", response_model=Deployment, responses=answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP))
async def read_deployment(
    request: Request, snapshot: SnapshotNow, key: DataType, if_none_match: IfNoneMatch = None
) -> Response:
    """What serves a data type, what did before, and what each worker scores it with since when."""
    route = snapshot.catalogue.routes.get(key)
    if route is None:
        raise ApiError(NOT_FOUND, f"no model was published for the data type {key!r}")
    return answer(request, snapshot, deployment(snapshot, route))
