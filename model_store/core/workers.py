"""What the log says of one worker: which start of it is the latest, and what became of each model on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from immutables import Map

from model_store.core.bounded import BoundedMap
from model_store.core.control_records import ModelReport, ModelState, WorkerStarted
from model_store.core.replacing import replace

REPORTS_KEPT: Final = 10_000
"""How many descriptors a worker's reports are kept for, the newest."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A worker's latest word on one descriptor.

    Attributes:
        report: What it said.
        offset: Where the report is on the control log.
        logged_at_ms: Timestamp of that record, milliseconds since 1970 UTC.
    """

    report: ModelReport
    offset: int
    logged_at_ms: int


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker, over all its starts.

    Whether it lives is not on the log: a worker lives while it is a member of its consumer group.

    Attributes:
        worker: Its id.
        epoch: Its latest start.
        first_offset: Control-log offset of the first record from it, over all starts.
        started_offset: Control-log offset at which its latest start was seen.
        started: What it said at its latest start; `None` where only a report of it is known.
        loaded: Data type -> the report that made a version live, for all that its latest start has loaded now.
        reports: Control offset of a descriptor -> the worker's latest word on it, from any start.
    """

    worker: str
    epoch: str
    first_offset: int
    started_offset: int
    started: WorkerStarted | None = None
    loaded: Map[str, Reported] = field(default_factory=Map)
    reports: BoundedMap[int, Reported] = field(default_factory=lambda: BoundedMap(REPORTS_KEPT))

    def restarted(self, started: WorkerStarted, offset: int) -> Worker:
        """The same worker after a new start, which has loaded nothing yet; a repeated record of one start only informs."""
        if started.epoch == self.epoch and self.started_offset <= offset:
            return replace(self, started=started)
        return replace(self, epoch=started.epoch, started=started, started_offset=offset, loaded=Map())

    def reporting(self, reported: Reported) -> Worker:
        """The same worker after its latest start reported on a descriptor."""
        report = reported.report
        reports = self.reports.set(report.control_offset, reported)
        return replace(self, reports=reports, loaded=_loaded(self.loaded, reported))


def _loaded(loaded: Map[str, Reported], reported: Reported) -> Map[str, Reported]:
    report = reported.report
    before = loaded.get(report.data_type)
    if report.state is ModelState.LIVE:
        return loaded.set(report.data_type, reported)
    if before is None:
        return loaded
    is_gone = report.state is ModelState.RETIRED and report.control_offset == before.report.control_offset
    is_moved = report.state is ModelState.ELSEWHERE and report.control_offset >= before.report.control_offset
    return loaded.delete(report.data_type) if is_gone or is_moved else loaded
