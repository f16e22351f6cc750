"""What became of something that takes time, told by its control offset: the view behind `202 Accepted`.

An exact change is over where its last promise, or its abort, is on the log; that never changes again. An announcement or an
immediate change is over when each worker has said what became of it (`progress`). A rollout and a job say it themselves. A
command that the fold refused is an operation that failed, for those who did not read the refusal back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from model_store.core.catalogue import Catalogue
from model_store.core.changes import Change, ChangeState
from model_store.core.jobs_state import Job, JobState
from model_store.core.lanes import Lane
from model_store.core.progress import Progress, WorkerProgress, participants
from model_store.core.rollouts import Rollout, RolloutState
from model_store.core.versions import ModelVersion, Rejected

__all__ = ["OperationState", "OperationView", "Progress", "WorkerProgress", "operation"]

PUBLISH: Final = "publish"
CHANGE: Final = "change"
ROLLOUT: Final = "rollout"
COMMAND: Final = "command"

_NAMED: Final = 5
"""How many workers and lanes a sentence names before it only counts them."""


class OperationState(Enum):
    """Where an operation is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation as it stands.

    Attributes:
        control_offset: Offset of the record that began it; the operation's id is `op-<control offset>`.
        state: Where it is.
        reason: Why it failed, or what it waits for, or what was reached.
        version: What was announced or registered, or the primary of the plan; `None` where there is none.
        workers: One a live worker, and one a worker that has reported on it, by id.
        kind: `publish`, `change`, `rollout`, `backtest`, `correction`, or `command` for any other.
        done: How much of it is done, of `total`: workers, or lanes of a change that is proposed.
        total: See `done`.
        change: Of a route, if it is one.
        cuts: Lane -> first offset of the new plan; `None` while it is not promised.
        rollout: If it is one.
        job: If it is one.
        rejected: The announcement that was none, if it was.
    """

    control_offset: int
    state: OperationState
    reason: str
    version: ModelVersion | None
    workers: tuple[WorkerProgress, ...] = ()
    kind: str = PUBLISH
    done: int = 0
    total: int = 0
    change: Change | None = None
    cuts: dict[Lane, int | None] = field(default_factory=dict)
    rollout: Rollout | None = None
    job: Job | None = None
    rejected: Rejected | None = None


def operation(catalogue: Catalogue, control_offset: int, live_workers: Collection[str]) -> OperationView | None:
    """How far something has come.

    Args:
        catalogue: Folded up to `control_offset` at least.
        control_offset: Offset of the announcement or command, or of a retry of it.
        live_workers: Ids of the workers that are members of their consumer group now.

    Returns:
        `None` where nothing is known that began at this offset.
    """
    offset = catalogue.announcement_of(control_offset)
    rejected = catalogue.rejected.get(offset)
    if rejected is not None:
        return OperationView(offset, OperationState.FAILED, rejected.reason, None, rejected=rejected)
    rollout, job, change = catalogue.rollouts.get(offset), catalogue.jobs.get(offset), catalogue.changes.get(offset)
    version = catalogue.versions.get(offset)
    if rollout is not None:
        return _rollout(catalogue, rollout)
    if job is not None:
        return _job(catalogue, job)
    if change is not None and change.is_exact:
        return _exact(catalogue, change, version, live_workers)
    if change is not None:
        return _immediate(catalogue, change, version, live_workers)
    outcome = catalogue.outcomes.get(offset)
    if outcome is not None and not outcome.is_accepted:
        return OperationView(offset, OperationState.FAILED, outcome.reason, None, kind=COMMAND)
    if version is not None:
        return _version(catalogue, version, live_workers)
    if outcome is not None:
        return OperationView(offset, OperationState.SUCCEEDED, "", None, kind=COMMAND)
    return None


def _exact(
    catalogue: Catalogue, change: Change, made: ModelVersion | None, live_workers: Collection[str]
) -> OperationView:
    version = made or _primary(catalogue, change)
    is_over = change.state is ChangeState.COMMITTED
    workers = (
        participants(catalogue, change.key, version, change.id, live_workers, change.ready if is_over else ())
        if version is not None
        else ()
    )
    lanes = sorted(change.required.union(change.promises))
    cuts = {lane: promise.cut if (promise := change.promises.get(lane)) else None for lane in lanes}
    state, reason, done, total = _exact_state(catalogue, change, live_workers)
    kind = PUBLISH if made is not None else CHANGE
    return OperationView(change.id, state, reason, version, workers, kind, done, total, change, cuts)


def _exact_state(
    catalogue: Catalogue, change: Change, live_workers: Collection[str]
) -> tuple[OperationState, str, int, int]:
    match change.state:
        case ChangeState.COMMITTED:
            count = len(change.promises)
            said = f"exact at {count} partition{'' if count == 1 else 's'}"
            return OperationState.SUCCEEDED, said, count, count
        case ChangeState.ABORTED:
            return OperationState.FAILED, change.ended_why, 0, len(change.required)
        case ChangeState.PROPOSED:
            missing = sorted(change.missing)
            said = f"waits for promises of {_listed([_owned(catalogue, lane) for lane in missing])}"
            return OperationState.RUNNING, said, len(change.required) - len(missing), len(change.required)
        case _:
            awaited = [name for name in sorted(live_workers) if not _is_ready(catalogue, change, name)]
            done = len(set(live_workers)) - len(awaited)
            said = f"waits for {_listed(awaited)} to load" if awaited else "all workers are ready; waits to be proposed"
            return OperationState.RUNNING, said, done, len(set(live_workers))


def _is_ready(catalogue: Catalogue, change: Change, name: str) -> bool:
    worker = catalogue.workers.get(name)
    return worker is not None and change.ready.get(name) == worker.epoch


def _owned(catalogue: Catalogue, lane: Lane) -> str:
    owner = catalogue.lanes.get(lane)
    return f"{lane.topic}/{lane.partition}" + (f" ({owner.worker})" if owner is not None else "")


def _immediate(
    catalogue: Catalogue, change: Change, made: ModelVersion | None, live_workers: Collection[str]
) -> OperationView:
    kind, version = PUBLISH if made is not None else CHANGE, made or _primary(catalogue, change)
    route = catalogue.routes.get(change.key)
    found = route.entry_of(change.id) if route is not None else None
    cuts: dict[Lane, int | None] = dict(sorted(found[1].cuts.items())) if found is not None else {}
    if version is None:
        return OperationView(
            change.id, OperationState.SUCCEEDED, "the route serves nothing", None, (), kind, change=change, cuts=cuts
        )
    applied = {owner.worker for lane in cuts if (owner := catalogue.lanes.get(lane)) is not None}
    workers = participants(catalogue, change.key, version, change.id, live_workers, applied)
    state, reason, done, total = _outcome(workers)
    return OperationView(change.id, state, reason, version, workers, kind, done, total, change, cuts)


def _version(catalogue: Catalogue, version: ModelVersion, live_workers: Collection[str]) -> OperationView:
    """A version that was only registered, or whose change is so old that it was forgotten."""
    route = catalogue.routes.get(version.data_type)
    if route is None or route.entry_of(version.control_offset) is None:
        return OperationView(version.control_offset, OperationState.SUCCEEDED, "registered", version)
    workers = participants(catalogue, route.key, version, version.control_offset, live_workers)
    state, reason, done, total = _outcome(workers)
    return OperationView(version.control_offset, state, reason, version, workers, PUBLISH, done, total)


def _rollout(catalogue: Catalogue, rollout: Rollout) -> OperationView:
    state = OperationState.FAILED
    if rollout.state.is_open:
        state = OperationState.RUNNING
    elif rollout.state is RolloutState.SUCCEEDED:
        state = OperationState.SUCCEEDED
    where = f"step {rollout.step + 1} of {len(rollout.steps)}, {rollout.state.value.replace('_', ' ')}"
    reason = f"{where}: {rollout.reason}" if rollout.reason else where
    version = catalogue.version(rollout.candidate)
    return OperationView(
        rollout.id, state, reason, version, (), ROLLOUT, rollout.step + 1, len(rollout.steps), rollout=rollout
    )


def _job(catalogue: Catalogue, job: Job) -> OperationView:
    match job.state:
        case JobState.QUEUED:
            state, reason = OperationState.RUNNING, "waits for a worker to take it"
        case JobState.RUNNING:
            state, reason = OperationState.RUNNING, f"worker {job.worker} is at it"
        case JobState.SUCCEEDED:
            state, reason = OperationState.SUCCEEDED, f"verdict: {job.verdict}" if job.verdict else ""
        case _:
            state, reason = OperationState.FAILED, job.state.value
    model = catalogue.models.get(job.model)
    version = model.versions.get(job.version) if model is not None else None
    is_done = int(state is OperationState.SUCCEEDED)
    return OperationView(job.id, state, reason, version, (), job.kind, is_done, 1, job=job)


def _primary(catalogue: Catalogue, change: Change) -> ModelVersion | None:
    return catalogue.version(change.plan.primary.target) if change.plan is not None else None


def _outcome(everyone: tuple[WorkerProgress, ...]) -> tuple[OperationState, str, int, int]:
    workers = [worker for worker in everyone if worker.counts]
    pending = [worker for worker in workers if not worker.progress.is_final]
    done, total = len(workers) - len(pending), len(workers)
    for worker in workers:
        if worker.progress is Progress.REFUSED and worker.reported is not None:
            return OperationState.FAILED, f"worker {worker.worker}: {worker.reported.report.reason}", done, total
    if pending:
        return OperationState.RUNNING, "; ".join(_awaited(worker) for worker in pending), done, total
    if not workers:
        return OperationState.RUNNING, "no worker lives; it takes effect when one starts", done, total
    return OperationState.SUCCEEDED, "", done, total


def _awaited(worker: WorkerProgress) -> str:
    if worker.progress is Progress.RETRYING and worker.reported is not None:
        return f"worker {worker.worker} tries again: {worker.reported.report.reason}"
    return f"worker {worker.worker} has not answered yet"


def _listed(names: list[str]) -> str:
    """Names in a sentence, the rest counted."""
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
