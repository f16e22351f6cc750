"""Operations as response shapes."""

from __future__ import annotations

from typing import Final

from control_api.core.outcomes import outcome_of
from control_api.core.snapshot import Snapshot
from control_api.schemas.operations import Cut, Operation, OperationKind
from control_api.schemas.shape import rfc3339
from model_store.core.operations import OperationState, OperationView, Progress
from model_store.core.operations import operation as operation_at

_PREFIX: Final = "op-"
_KINDS: Final[dict[str, OperationKind]] = {
    "publish": "publish", "change": "change", "rollout": "rollout", "backtest": "backtest", "correction": "correction",
    "command": "command",
}  # fmt: skip


def operation_id(control_offset: int) -> str:
    """The id of the operation that a record at this offset of the control log started."""
    return f"{_PREFIX}{control_offset}"


def offset_of(operation: str) -> int | None:
    """Inverse of `operation_id`; `None` if it is no operation's id."""
    digits = operation.removeprefix(_PREFIX)
    is_id = operation.startswith(_PREFIX) and digits.isascii() and digits.isdecimal() and len(digits) < 19
    return int(digits) if is_id else None


def operation_view(snapshot: Snapshot, control_offset: int) -> Operation | None:
    """The operation that the record at this offset began, or `None` if there is none."""
    view = operation_at(snapshot.catalogue, control_offset, snapshot.membership.live)
    if view is None:
        return None
    version, change, rejected = view.version, view.change, view.rejected
    key = change.key if change is not None else view.rollout.key if view.rollout is not None else None
    actor, reason, began_ms = _asked(view)
    model = version.model if version is not None else rejected.name if rejected is not None else ""
    data_type = key or (
        version.data_type if version is not None else rejected.data_type if rejected is not None else ""
    )
    return Operation(
        id=operation_id(view.control_offset),
        kind=_KINDS.get(view.kind, "command"),
        state=view.state.value,
        phase=change.state.value if change is not None else None,
        message=view.reason or _success(view),
        key=key,
        model=model,
        version=str(version.version) if version is not None else None,
        data_type=data_type,
        control_offset=view.control_offset,
        created_at=rfc3339(max(0, began_ms)),
        deadline=rfc3339(change.deadline_ms) if change is not None and change.is_exact else None,
        actor=actor,
        reason=reason,
        mode=None if change is None else "exact" if change.is_exact else "immediate",
        rollout=str(change.rollout) if change is not None and change.rollout is not None else None,
        done=view.done,
        total=view.total,
        ready=sorted(change.ready) if change is not None else [],
        cuts=_cuts(snapshot, view),
        workers=[outcome_of(snapshot, w.worker, w.reported, w.progress.value) for w in view.workers],
    )


def _asked(view: OperationView) -> tuple[str, str, int]:
    """Who asked, why, and when, milliseconds since 1970 UTC."""
    if view.change is not None:
        return view.change.actor, view.change.reason, view.change.requested_at_ms
    if view.job is not None:
        return view.job.actor, view.job.reason, view.job.requested_at_ms
    if view.rollout is not None:
        first = view.rollout.story[0]
        return first.actor, first.reason, first.at_ms
    if view.version is not None:
        return view.version.descriptor.publisher, "", view.version.published_at_ms
    return "", "", view.rejected.at_ms if view.rejected is not None else 0


def _cuts(snapshot: Snapshot, view: OperationView) -> list[Cut]:
    found = []
    for lane, cut in view.cuts.items():
        owner = snapshot.catalogue.lanes.get(lane)
        found.append(
            Cut(
                group=lane.group,
                topic=lane.topic,
                partition=lane.partition,
                owner=owner.worker if owner else "",
                cut=cut,
            )
        )
    return found


def _success(view: OperationView) -> str:
    if view.state is not OperationState.SUCCEEDED or not view.workers:
        return ""
    counted = [worker for worker in view.workers if worker.counts]
    live = sum(worker.progress is Progress.LIVE for worker in counted)
    return f"live on {live} of {len(counted)} workers"
