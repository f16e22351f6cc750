"""Operations."""

from __future__ import annotations

import time
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from control_api.core.operations import offset_of, operation_view
from control_api.core.snapshot import Snapshot
from control_api.errors import INVALID, NOT_CAUGHT_UP, NOT_FOUND, ApiError
from control_api.reading import PartsHere, SnapshotNow, answer
from control_api.schemas.operations import Operation
from control_api.schemas.parameters import IfNoneMatch
from control_api.schemas.problem import answers

router = APIRouter(prefix="/api/v1/operations", tags=["operations"])

_LONGEST_WAIT_SECONDS: Final = 60
_LOOK_SECONDS: Final = 0.5
"""How often a wait looks at who lives: no record says that a worker went."""


@router.get("/{id}", response_model=Operation, responses=answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP))
async def read_operation(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    id: Annotated[str, Path(description="`op-` and the control-log offset of what was written.", examples=["op-42"])],
    wait: Annotated[
        float,
        Query(ge=0, le=_LONGEST_WAIT_SECONDS, description="Seconds to wait for the end before answering."),
    ] = 0.0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """How far an operation has come, worker by worker."""
    deadline = time.monotonic() + min(wait, parts.settings.waits.operation_seconds)
    view = _view(snapshot, id)
    while view.state == "running" and not parts.streams.is_stopping:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        await parts.follower.wait_change(min(left, _LOOK_SECONDS))
        snapshot = await parts.snapshot()
        view = _view(snapshot, id)
    return answer(request, snapshot, view)


def _view(snapshot: Snapshot, operation: str) -> Operation:
    offset = offset_of(operation)
    view = operation_view(snapshot, offset) if offset is not None else None
    if view is None:
        raise ApiError(NOT_FOUND, f"there is no operation {operation!r}")
    return view
