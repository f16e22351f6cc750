"""What became of one announcement on all workers: the view behind `202 Accepted`.

An announcement concerns the workers that were there before it and either live or have said their final word on it. A
worker that joined later loads what is current anyway and cannot undo what was reached; it counts only where nobody else
does. So an operation that has succeeded or failed stays so when workers come and go.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from model_store.core.catalogue import Catalogue
from model_store.core.control_records import ModelState
from model_store.core.versions import ModelVersion
from model_store.core.workers import Reported, Worker


class OperationState(Enum):
    """Where an operation is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Progress(Enum):
    """Where one worker is with one announcement."""

    PENDING = "pending"
    RETRYING = "retrying"
    LIVE = "live"
    ELSEWHERE = "elsewhere"
    RETIRED = "retired"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    """It never had to say a word: it went on to a newer version of the data type at once."""

    @property
    def is_final(self) -> bool:
        """Nothing more is awaited of this worker."""
        return self not in (Progress.PENDING, Progress.RETRYING)


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """One worker's part in an operation.

    Attributes:
        worker: Its id.
        progress: Where it is.
        is_alive: It is a member of its consumer group.
        counts: The operation waits for it; not so for a worker that joined after the announcement.
        reported: Its latest word, if any.
    """

    worker: str
    progress: Progress
    is_alive: bool
    counts: bool
    reported: Reported | None = None


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation as it stands.

    Attributes:
        control_offset: Offset of the announcement; the operation's id is `op-<control offset>`.
        state: Where it is.
        reason: Why it failed, or what it waits for; empty when it succeeded.
        version: What was announced; `None` where the announcement was rejected on its face.
        workers: One a live worker, and one a worker that has reported on it, by id.
    """

    control_offset: int
    state: OperationState
    reason: str
    version: ModelVersion | None
    workers: tuple[WorkerProgress, ...]


def operation(catalogue: Catalogue, control_offset: int, live_workers: Collection[str]) -> OperationView | None:
    """How far an announcement has come.

    Args:
        catalogue: Folded up to `control_offset` at least.
        control_offset: Offset of the announcement, or of a retry of it.
        live_workers: Ids of the workers that are members of their consumer group now.

    Returns:
        `None` where no announcement is known at this offset.
    """
    offset = catalogue.announcement_of(control_offset)
    rejected = catalogue.rejected.get(offset)
    if rejected is not None:
        return OperationView(offset, OperationState.FAILED, rejected.reason, None, ())
    version = catalogue.versions.get(offset)
    if version is None:
        return None
    workers = _participants(catalogue, version, live_workers)
    state, reason = _outcome([worker for worker in workers if worker.counts])
    return OperationView(offset, state, reason, version, workers)


def _participants(
    catalogue: Catalogue, version: ModelVersion, live_workers: Collection[str]
) -> tuple[WorkerProgress, ...]:
    live = set(live_workers)
    seen: list[tuple[str, Worker | None, Progress]] = []
    for name in sorted(live.union(catalogue.workers)):
        worker = catalogue.workers.get(name)
        progress = Progress.PENDING if worker is None else _progress(catalogue, version, worker)
        has_reported = worker is not None and version.control_offset in worker.reports
        if name in live or (has_reported and progress.is_final):
            seen.append((name, worker, progress))
    earlier = {name for name, worker, _ in seen if worker is not None and worker.first_offset < version.control_offset}
    return tuple(
        WorkerProgress(
            worker=name,
            progress=progress,
            is_alive=name in live,
            counts=name in earlier or not earlier,
            reported=None if worker is None else worker.reports.get(version.control_offset),
        )
        for name, worker, progress in seen
    )


def _progress(catalogue: Catalogue, version: ModelVersion, worker: Worker) -> Progress:
    reported = worker.reports.get(version.control_offset)
    if reported is not None and reported.report.state.is_final:
        return Progress(reported.report.state.value)
    if _is_superseded(catalogue, version, worker):
        return Progress.SUPERSEDED
    return Progress.PENDING if reported is None else Progress.RETRYING


def _is_superseded(catalogue: Catalogue, version: ModelVersion, worker: Worker) -> bool:
    route = catalogue.routes.get(version.data_type)
    newer = [other for other in route.history if other.control_offset > version.control_offset] if route else []
    for other in newer:
        reported = worker.reports.get(other.control_offset)
        if worker.started_offset > other.control_offset:
            return True
        if reported is not None and reported.report.state in (ModelState.LIVE, ModelState.ELSEWHERE):
            return True
    return False


def _outcome(workers: list[WorkerProgress]) -> tuple[OperationState, str]:
    for worker in workers:
        if worker.progress is Progress.REFUSED and worker.reported is not None:
            return OperationState.FAILED, f"worker {worker.worker}: {worker.reported.report.reason}"
    pending = [worker for worker in workers if not worker.progress.is_final]
    if pending:
        return OperationState.RUNNING, "; ".join(_awaited(worker) for worker in pending)
    if not workers:
        return OperationState.RUNNING, "no worker lives; the announcement takes effect when one starts"
    return OperationState.SUCCEEDED, ""


def _awaited(worker: WorkerProgress) -> str:
    if worker.progress is Progress.RETRYING and worker.reported is not None:
        return f"worker {worker.worker} tries again: {worker.reported.report.reason}"
    return f"worker {worker.worker} has not answered yet"
