"""Operations."""

from __future__ import annotations

import time
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from control_api.access import authorize_write
from control_api.commanding import AskedHere, Written, json_answer, perform
from control_api.core.operations import offset_of, operation_view
from control_api.core.snapshot import Snapshot
from control_api.errors import CONFLICT, INVALID, NOT_CAUGHT_UP, NOT_FOUND, ApiError
from control_api.reading import PartsHere, SnapshotNow, answer
from control_api.schemas.operations import Operation
from control_api.schemas.parameters import IfNoneMatch, ReasonParameter
from control_api.schemas.problem import WRITES, answers, written
from model_store.core.commands import AbortChange

router = APIRouter(prefix="/api/v1/operations", tags=["operations"])

OperationId = Annotated[
    str, Path(description="`op-` and the control-log offset of what was written.", examples=["op-42"])
]
_LONGEST_WAIT_SECONDS: Final = 60
_BEHIND_SECONDS: Final = 5.0
"""How long a wait is for an operation that the log does not have here yet: another replica may just have made it."""

_LOOK_SECONDS: Final = 0.5
"""How often a wait looks at who lives: no record says that a worker went."""


@router.get("/{id}", response_model=Operation, responses=answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP))
async def read_operation(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    id: OperationId,
    wait: Annotated[
        float,
        Query(ge=0, le=_LONGEST_WAIT_SECONDS, description="Seconds to wait for the end before answering."),
    ] = 0.0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """How far an operation has come, worker by worker."""
    wait = min(wait, parts.settings.waits.operation_seconds)
    deadline = time.monotonic() + wait
    offset = offset_of(id)
    if offset is not None and offset > snapshot.applied_offset:
        await parts.follower.wait_applied(offset, min(wait, _BEHIND_SECONDS))
        snapshot = await parts.snapshot()
    view = _view(snapshot, id)
    while view.state == "running" and not parts.streams.is_stopping:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        await parts.follower.wait_change(min(left, _LOOK_SECONDS))
        snapshot = await parts.snapshot()
        view = _view(snapshot, id)
    return answer(request, snapshot, view)


@router.delete(
    "/{id}",
    response_model=Operation,
    status_code=202,
    dependencies=[Depends(authorize_write)],
    responses={
        **written(200, Operation, "What it would be (`dry_run`)."),
        **written(202, Operation, "The change is given up."),
        **answers(*WRITES, NOT_FOUND),
    },
)
async def abort_operation(
    snapshot: SnapshotNow, asked: AskedHere, id: OperationId, reason: ReasonParameter = ""
) -> Response:
    """Give a change up that is under way: what serves goes on serving, everywhere.

    It may be too late: if the last partition has promised before, the change is made, and this is refused with 409.
    """
    view = _view(snapshot, id)
    if view.kind not in ("publish", "change"):
        detail = f"{id} is a {view.kind}: only a change of a route is aborted here"
        raise ApiError(CONFLICT, detail)
    change = view.control_offset

    def aborted(written: Written, after: Snapshot) -> Response:
        return json_answer(_view(after, id), 202, {"Location": f"/api/v1/operations/{view.id}"})

    command = asked.command(AbortChange(change), reason)
    return await perform(asked, snapshot, command, aborted)


def _view(snapshot: Snapshot, operation: str) -> Operation:
    offset = offset_of(operation)
    view = operation_view(snapshot, offset) if offset is not None else None
    if view is None:
        raise ApiError(NOT_FOUND, f"there is no operation {operation!r}")
    return view
