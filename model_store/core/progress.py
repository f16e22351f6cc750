"""Where each worker is with a version that a route was given at some record: the part of an operation that workers say.

An announcement or an immediate change concerns the workers that were there before it and either live or have said their final
word on it. A worker that joined later loads what is current anyway and cannot undo what was reached; it counts only where
nobody else does. So an operation that has succeeded or failed stays so when workers come and go.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from model_store.core.control_records import ModelState
from model_store.core.state import Catalogue
from model_store.core.versions import ModelVersion
from model_store.core.workers import Reported, Worker

_NEWER_LOOKED_AT: Final = 100
"""How many later entries of a route are looked at to see whether a worker went on to one of them."""


class Progress(Enum):
    """Where one worker is with one announcement or change."""

    PENDING = "pending"
    RETRYING = "retrying"
    LIVE = "live"
    ELSEWHERE = "elsewhere"
    RETIRED = "retired"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    """It never had to say a word: it went on to what the route was given next at once."""

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


def participants(
    catalogue: Catalogue,
    key: str,
    version: ModelVersion,
    asked_at: int,
    live_workers: Collection[str],
    applied: Collection[str] = (),
) -> tuple[WorkerProgress, ...]:
    """Where each worker is with a version as the primary of a route: one a live worker and one a worker that has reported, by id.

    Args:
        catalogue: The state.
        key: Of the route.
        version: Its primary.
        asked_at: Control offset of the record that asked for it; what was reported before it counts for nothing.
        live_workers: Ids of the workers that are members of their consumer group now.
        applied: Workers that have said so in another way: they are live with it.
    """
    live = set(live_workers)
    newer = _newer_primaries(catalogue, key, asked_at)
    seen: list[tuple[str, Worker | None, Progress, Reported | None]] = []
    for name in sorted(live.union(catalogue.workers)):
        worker = catalogue.workers.get(name)
        reported = worker.reports.get(version.control_offset) if worker is not None else None
        if reported is not None and reported.offset < asked_at:
            reported = None
        progress = Progress.PENDING if worker is None else _progress(worker, reported, newer)
        if not progress.is_final and name in applied:
            progress = Progress.LIVE
        if name in live or (reported is not None and progress.is_final):
            seen.append((name, worker, progress, reported))
    earlier = {name for name, worker, _, _ in seen if worker is not None and worker.first_offset < asked_at}
    return tuple(
        WorkerProgress(name, progress, name in live, name in earlier or not earlier, reported)
        for name, _, progress, reported in seen
    )


def _newer_primaries(catalogue: Catalogue, key: str, asked_at: int) -> list[tuple[int, ModelVersion]]:
    """What the route was given later: the record that asked for it, and the version."""
    route = catalogue.routes.get(key)
    found = []
    for entry in islice(route.newest_first() if route is not None else (), _NEWER_LOOKED_AT):
        if entry.offset <= asked_at:
            break
        version = catalogue.version(entry.plan.primary.target) if entry.plan is not None else None
        if version is not None and entry.change > asked_at:
            found.append((entry.change, version))
    return found


def _progress(worker: Worker, reported: Reported | None, newer: list[tuple[int, ModelVersion]]) -> Progress:
    if reported is not None and reported.report.state.is_final:
        return Progress(reported.report.state.value)
    for asked_at, version in newer:
        later = worker.reports.get(version.control_offset)
        if worker.started_offset > asked_at:
            return Progress.SUPERSEDED
        if later is not None and later.report.state in (ModelState.LIVE, ModelState.ELSEWHERE):
            return Progress.SUPERSEDED
    return Progress.PENDING if reported is None else Progress.RETRYING
