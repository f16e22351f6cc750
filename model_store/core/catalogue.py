"""The state of the whole system as a fold over the control log.

Theory of operation. Every worker and every replica of the control API reads the same log from its start and folds it
with `fold`, a pure function; so all of them hold equal catalogues at equal offsets, without a leader or a lock. The
offset of the last folded record is the catalogue's revision. A record at or below it was folded before and changes
nothing, so a reader may be given records twice.

Version numbers are given here, not by publishers: 1 + the highest number the log has for the model name. An invalid
announcement takes none. An announcement whose request id was seen before from the same model and data type is a retry
of that request: it takes none either and answers to the same operation.

Memory grows with the accepted versions, which are the point, and with nothing else: requests, rejections, workers and
the reports of each are bounded, and what was used longest ago is dropped, at the same record for every reader. A retry
is recognised among the `REQUESTS_KEPT` newest requests. All mappings are persistent, so a fold step costs O(log n) and
an old catalogue stays valid: readers on other threads need no lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from immutables import Map

from model_store.core.bounded import BoundedMap
from model_store.core.control_records import (
    Announced,
    ControlRecord,
    Invalid,
    ModelReport,
    Unknown,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.versions import ModelVersion, RegisteredModel, Rejected, Route
from model_store.core.workers import Reported, Worker

REQUESTS_KEPT: Final = 10_000
REJECTED_KEPT: Final = 1_000
WORKERS_KEPT: Final = 1_000
UNKNOWN_TYPES_KEPT: Final = 100

Request = tuple[str, str, str]
"""Data type, model name, request id."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One record of the control log, read.

    Attributes:
        offset: Its offset; larger than that of every entry before it, with gaps allowed.
        timestamp_ms: Its Kafka timestamp, milliseconds since 1970 UTC.
        record: What it says.
    """

    offset: int
    timestamp_ms: int
    record: ControlRecord


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the log says up to and including `offset`. Start from `EMPTY`.

    Attributes:
        offset: Offset of the last record folded, the revision; -1 before the first.
        models: Name -> model.
        routes: Data type -> route.
        versions: Control offset -> the version that was announced there.
        workers: Worker id -> worker.
        rejected: Control offset -> why the announcement there was none.
        requests: Request -> control offset of the announcement that it made.
        retries: Control offset of a repeated announcement -> that of the first one.
        unknown: Record type -> how many records of it were passed over.
        stale_reports: How many reports came from a start of a worker that was not its latest.
    """

    offset: int = -1
    models: Map[str, RegisteredModel] = field(default_factory=Map)
    routes: Map[str, Route] = field(default_factory=Map)
    versions: Map[int, ModelVersion] = field(default_factory=Map)
    workers: BoundedMap[str, Worker] = field(default_factory=lambda: BoundedMap(WORKERS_KEPT))
    rejected: BoundedMap[int, Rejected] = field(default_factory=lambda: BoundedMap(REJECTED_KEPT))
    requests: BoundedMap[Request, int] = field(default_factory=lambda: BoundedMap(REQUESTS_KEPT))
    retries: BoundedMap[int, int] = field(default_factory=lambda: BoundedMap(REQUESTS_KEPT))
    unknown: BoundedMap[str, int] = field(default_factory=lambda: BoundedMap(UNKNOWN_TYPES_KEPT))
    stale_reports: int = 0

    def candidates(self, data_type: str) -> tuple[ModelVersion, ...]:
        """What may serve a data type, the newest first: a worker takes the first one that it can load."""
        route = self.routes.get(data_type)
        return () if route is None else route.history

    def version_at(self, control_offset: int) -> ModelVersion | None:
        """The version whose announcement, or a retry of it, is at this offset of the log."""
        return self.versions.get(self.announcement_of(control_offset))

    def announcement_of(self, control_offset: int) -> int:
        """The offset itself, or that of the first announcement where a retry is at this offset."""
        first = self.retries.get(control_offset)
        return control_offset if first is None else first


EMPTY: Final = Catalogue()


def fold(catalogue: Catalogue, entry: LogEntry) -> Catalogue:
    """The catalogue after one more record of the log. Pure; O(log n); never raises on any record."""
    if entry.offset <= catalogue.offset:
        return catalogue
    record = entry.record
    match record:
        case Announced(descriptor):
            return _announce(catalogue, entry, descriptor)
        case Invalid():
            return _reject(catalogue, entry, record)
        case WorkerStarted():
            return _start(catalogue, entry, record)
        case ModelReport():
            return _report(catalogue, entry, record)
        case Unknown(record_type):
            count = (catalogue.unknown.get(record_type) or 0) + 1
            return replace(catalogue, offset=entry.offset, unknown=catalogue.unknown.set(record_type, count))
        case _:
            assert_never(record)


def fold_all(catalogue: Catalogue, entries: Iterable[LogEntry]) -> Catalogue:
    """The catalogue after several more records, in the order of the log."""
    for entry in entries:
        catalogue = fold(catalogue, entry)
    return catalogue


def _announce(catalogue: Catalogue, entry: LogEntry, descriptor: Descriptor) -> Catalogue:
    requests = catalogue.requests
    if descriptor.request_id:
        request = (descriptor.data_type, descriptor.name, descriptor.request_id)
        first = requests.get(request)
        if first is not None:
            return replace(catalogue, offset=entry.offset, retries=catalogue.retries.set(entry.offset, first))
        requests = requests.set(request, entry.offset)
    model = catalogue.models.get(descriptor.name) or RegisteredModel(descriptor.name, entry.timestamp_ms)
    version = ModelVersion(model.latest + 1, entry.offset, entry.timestamp_ms, descriptor)
    route = catalogue.routes.get(descriptor.data_type)
    turned = Route(descriptor.data_type, (version,)) if route is None else route.turned_to(version)
    return replace(
        catalogue,
        offset=entry.offset,
        requests=requests,
        models=catalogue.models.set(model.name, model.adding(version)),
        routes=catalogue.routes.set(turned.data_type, turned),
        versions=catalogue.versions.set(entry.offset, version),
    )


def _reject(catalogue: Catalogue, entry: LogEntry, invalid: Invalid) -> Catalogue:
    rejected = Rejected(
        entry.offset, entry.timestamp_ms, invalid.reason, invalid.name, invalid.data_type, invalid.request_id
    )
    return replace(catalogue, offset=entry.offset, rejected=catalogue.rejected.set(entry.offset, rejected))


def _start(catalogue: Catalogue, entry: LogEntry, started: WorkerStarted) -> Catalogue:
    worker = catalogue.workers.get(started.worker)
    if worker is None:
        worker = Worker(started.worker, started.epoch, entry.offset, entry.offset, started)
    else:
        worker = worker.restarted(started, entry.offset)
    return replace(catalogue, offset=entry.offset, workers=catalogue.workers.set(worker.worker, worker))


def _report(catalogue: Catalogue, entry: LogEntry, report: ModelReport) -> Catalogue:
    worker = catalogue.workers.get(report.worker)
    if worker is None:
        worker = Worker(report.worker, report.epoch, entry.offset, entry.offset)
    if report.epoch != worker.epoch:
        return replace(catalogue, offset=entry.offset, stale_reports=catalogue.stale_reports + 1)
    worker = worker.reporting(Reported(report, entry.offset, entry.timestamp_ms))
    return replace(catalogue, offset=entry.offset, workers=catalogue.workers.set(worker.worker, worker))
