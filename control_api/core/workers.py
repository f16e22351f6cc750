"""Workers, from what they said on the control log and from their consumer groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple

from control_api.core.outcomes import outcome_of, workers_of
from control_api.core.snapshot import Snapshot
from control_api.ports import Position
from control_api.schemas.records import Stream
from control_api.schemas.shape import rfc3339
from control_api.schemas.workers import HeldPartition, Worker, WorkerModel, WorkerStream
from model_store.core import workers
from model_store.core.control_records import ModelState, StreamDeclared
from model_store.core.workers import Reported


def worker_ids(snapshot: Snapshot) -> list[str]:
    """Everyone who has said anything, or lives."""
    return sorted({worker.worker for worker in workers_of(snapshot)} | snapshot.membership.live)


def worker_view(snapshot: Snapshot, worker_id: str, lag: Mapping[Position, int]) -> Worker | None:
    """One worker, or `None` if nobody has heard of it."""
    known = snapshot.catalogue.workers.get(worker_id)
    member = snapshot.membership.members.get(worker_id)
    if known is None and member is None:
        return None
    started = known.started if known is not None else None
    return Worker(
        id=worker_id,
        is_live=member is not None,
        group=member.group if member is not None else (started.group if started is not None else ""),
        host=started.host if started is not None else "",
        address=member.address.removeprefix("/") if member is not None else "",
        pid=started.pid if started is not None else 0,
        placement=started.placement if started is not None else "",
        version=started.version if started is not None else "",
        started_at=rfc3339(max(0, started.started_at_ms)) if started is not None else None,
        metrics_url=started.metrics_url if started is not None else "",
        streams=[_stream(stream) for stream in (started.streams if started is not None else ())],
        partitions=[
            HeldPartition(topic=topic, partition=partition, lag=lag.get((topic, partition)))
            for topic, partition in (member.partitions if member is not None else ())
        ],
        models=_models(snapshot, known),
        errors=_errors(snapshot, known),
    )


def streams(snapshot: Snapshot) -> list[Stream]:
    """All streams that workers declare, by name; where declarations differ, one for each."""
    found: dict[StreamDeclared, list[str]] = {}
    for worker in workers_of(snapshot):
        for stream in worker.started.streams if worker.started is not None else ():
            live = found.setdefault(stream, [])
            if worker.worker in snapshot.membership.live:
                live.append(worker.worker)
    return [
        Stream(**_stream(stream).model_dump(), workers=live)
        for stream, live in sorted(found.items(), key=lambda item: astuple(item[0]))
    ]


def _stream(stream: StreamDeclared) -> WorkerStream:
    return WorkerStream(
        name=stream.name,
        data_topic=stream.data_topic,
        result_topic=stream.result_topic,
        result_format=stream.result_format,
        dead_letter_topic=stream.dead_letter_topic,
        dark_topic=stream.dark_topic,
        entity=stream.entity,
        route=stream.route,
    )


def _models(snapshot: Snapshot, worker: workers.Worker | None) -> list[WorkerModel]:
    if worker is None:
        return []
    return [_worker_model(snapshot, worker.loaded[data_type]) for data_type in sorted(worker.loaded)]


def _errors(snapshot: Snapshot, worker: workers.Worker | None) -> list[WorkerModel]:
    """Refusals and retries of what is the newest of its data type, or newer than what is loaded."""
    if worker is None:
        return []
    found = []
    for _, reported in worker.reports.newest_first():
        report = reported.report
        loaded = worker.loaded.get(report.data_type)
        is_trouble = report.state in (ModelState.REFUSED, ModelState.RETRYING)
        if is_trouble and (loaded is None or report.control_offset > loaded.report.control_offset):
            found.append(_worker_model(snapshot, reported))
    return found[:100]


def _worker_model(snapshot: Snapshot, reported: Reported) -> WorkerModel:
    report = reported.report
    return WorkerModel(
        data_type=report.data_type,
        model=report.model,
        version=str(report.model_version),
        control_offset=report.control_offset,
        outcome=outcome_of(snapshot, report.worker, reported),
    )
