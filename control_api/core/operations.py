"""Operations as response shapes."""

from __future__ import annotations

from control_api.core.outcomes import outcome_of
from control_api.core.snapshot import Snapshot
from control_api.schemas.operations import Operation
from control_api.schemas.shape import rfc3339
from model_store.core.operations import OperationState, OperationView, Progress
from model_store.core.operations import operation as operation_at

_PREFIX = "op-"


def operation_id(control_offset: int) -> str:
    """The id of the operation that a descriptor at this offset of the control log started."""
    return f"{_PREFIX}{control_offset}"


def offset_of(operation: str) -> int | None:
    """Inverse of `operation_id`; `None` if it is no operation's id."""
    digits = operation.removeprefix(_PREFIX)
    is_id = operation.startswith(_PREFIX) and digits.isascii() and digits.isdecimal() and len(digits) < 19
    return int(digits) if is_id else None


def operation_view(snapshot: Snapshot, control_offset: int) -> Operation | None:
    """The operation of the descriptor at this offset, or `None` if there is none."""
    view = operation_at(snapshot.catalogue, control_offset, snapshot.membership.live)
    if view is None:
        return None
    counted = [worker for worker in view.workers if worker.counts]
    done = sum(worker.progress.is_final for worker in counted)
    rejected = snapshot.catalogue.rejected.get(view.control_offset)
    version = view.version
    published_at_ms = version.published_at_ms if version is not None else rejected.at_ms if rejected is not None else 0
    return Operation(
        id=operation_id(view.control_offset),
        kind="publish",
        state=view.state.value,
        message=view.reason or _success(view),
        model=version.model if version is not None else rejected.name if rejected is not None else "",
        version=str(version.version) if version is not None else None,
        data_type=version.data_type if version is not None else rejected.data_type if rejected is not None else "",
        control_offset=view.control_offset,
        created_at=rfc3339(max(0, published_at_ms)),
        done=done,
        total=len(counted),
        workers=[outcome_of(snapshot, w.worker, w.reported, w.progress.value) for w in view.workers],
    )


def _success(view: OperationView) -> str:
    if view.state is not OperationState.SUCCEEDED:
        return ""
    counted = [worker for worker in view.workers if worker.counts]
    live = sum(worker.progress is Progress.LIVE for worker in counted)
    return f"live on {live} of {len(counted)} workers"
