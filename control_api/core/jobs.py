"""Back-tests and corrections: from requests to jobs, and from the catalogue's jobs to response shapes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, cast

from control_api.core.operations import operation_id
from control_api.core.snapshot import Snapshot
from control_api.core.targets import find_target, version_of
from control_api.schemas import jobs as shapes
from control_api.schemas.shape import epoch_ms, rfc3339
from model_store.core.catalogue import Catalogue
from model_store.core.commands import RequestJob
from model_store.core.jobs import Backtest, Correction, OffsetRange, Ranges, TimeRange, VersionAt, VersionName
from model_store.core.jobs_state import Job, JobState
from model_store.core.jobs_verdict import PassIf, job_spec, read_job_spec
from model_store.core.plans import Target
from model_store.core.routes import Route, is_pattern
from model_store.core.timeline import affected

BACKTEST: Final = "backtest"
CORRECTION: Final = "correction"


class JobRefusedError(Exception):
    """The request cannot be made a job; the message says what to change."""


def backtest(catalogue: Catalogue, given: shapes.BacktestGiven, job_id: str) -> RequestJob:
    """The command of a request.

    Raises:
        JobRefusedError: A stream or a time makes no sense, or a version is to be judged by itself.
        UnknownTargetError: It names a version that is not there.
        InvalidJobError: Its ranges make no sense.
    """
    _check_stream(catalogue, given.stream)
    candidate = _version_at(catalogue, _target(catalogue, given.candidate))
    baseline: VersionAt | Literal["recorded"] = "recorded"
    if not isinstance(given.baseline, str):
        baseline = _version_at(catalogue, _target(catalogue, given.baseline))
    job = Backtest(
        id=job_id,
        stream=given.stream,
        ranges=_ranges(given),
        candidate=candidate,
        baseline=baseline,
        data_type=given.data_type,
        segment_by=given.segment_by,
        tolerance=given.tolerance,
        max_records=given.max_records,
        records_per_second=given.records_per_second,
    )
    pass_if = PassIf(**given.pass_if.model_dump()) if given.pass_if is not None else None
    if pass_if is not None and baseline == candidate:
        raise JobRefusedError(f"{candidate} compared with itself would pass whatever it is: name another baseline")
    return _request(BACKTEST, job, pass_if, candidate)


def correction(
    catalogue: Catalogue, given: shapes.CorrectionGiven, job_id: str, stream: str, ends: Mapping[int, int], now_ms: int
) -> RequestJob:
    """The command of a request: all records that the bad version may have scored.

    Args:
        stream: Name of one of `streams_of`.
        ends: Partition of its data topic -> offset after its last record.
        now_ms: Milliseconds since 1970 UTC.

    Raises:
        JobRefusedError: There is no such route, nothing to correct, or nothing to correct it by.
        UnknownTargetError: It names a version that is not there.
        InvalidJobError: The good version is the bad one.
    """
    route = catalogue.routes.get(given.key)
    if route is None:
        raise JobRefusedError(f"there is no route {given.key!r}")
    bad = _target(catalogue, given.bad)
    good = _target(catalogue, given.good) if given.good is not None else _serving(route)
    if (good.model, good.version) == (bad.model, bad.version):
        raise JobRefusedError(
            f"{bad} is what would replace it: route {route.key!r} serves it still, or it is named twice"
        )
    ranges = bad_ranges(catalogue, route, bad, streams_of(catalogue)[stream], ends)
    if not ranges:
        raise JobRefusedError(f"the log knows of no record of stream {stream} that {bad} scored by route {route.key!r}")
    at = _version_at(catalogue, good)
    job = Correction(
        id=job_id,
        stream=stream,
        ranges=ranges,
        bad=VersionName(bad.model, bad.version),
        good=at,
        data_type=None if is_pattern(route.key) else route.key,
        since_ms=now_ms,
        records_per_second=given.records_per_second,
    )
    return _request(CORRECTION, job, None, at)


def streams_of(catalogue: Catalogue) -> dict[str, frozenset[tuple[str, str]]]:
    """Streams that workers have declared: name -> (consumer group, data topic)."""
    found: dict[str, set[tuple[str, str]]] = {}
    for name in catalogue.workers:
        worker = catalogue.workers.get(name)
        started = worker.started if worker is not None else None
        for stream in started.streams if started is not None else ():
            found.setdefault(stream.name, set()).add((started.group if started is not None else "", stream.data_topic))
    return {name: frozenset(places) for name, places in found.items()}


def stream_named(catalogue: Catalogue, name: str | None) -> tuple[str, str]:
    """Name and data topic of a stream, of the only one there is if it has no name.

    Raises:
        JobRefusedError: It is not known, or it is not clear which one is meant.
    """
    streams = streams_of(catalogue)
    if name is None and len(streams) == 1:
        name = next(iter(streams))
    if name is None or name not in streams:
        known = f"workers have: {', '.join(sorted(streams))}" if streams else "no worker has said what it reads"
        raise JobRefusedError(f"there is no stream {name!r}; {known}" if name else f"name the stream; {known}")
    topics = sorted({topic for _, topic in streams[name]})
    if len(topics) > 1:
        raise JobRefusedError(f"workers disagree on the topic of stream {name!r}: {', '.join(topics)}")
    return name, topics[0]


def bad_ranges(
    catalogue: Catalogue, route: Route, bad: Target, places: Iterable[tuple[str, str]], ends: Mapping[int, int]
) -> tuple[OffsetRange, ...]:
    """Where a version may have scored: stretches of the partitions, apart from each other, in order."""
    wanted = set(places)
    found: dict[int, list[tuple[int, int]]] = {}
    for lane in catalogue.lanes:
        if (lane.group, lane.topic) in wanted and lane.partition in ends:
            stretches = affected(catalogue, route, lane, [bad], ends[lane.partition])
            found.setdefault(lane.partition, []).extend((start, end) for start, end, _ in stretches)
    return tuple(
        OffsetRange(partition, start, end) for partition in sorted(found) for start, end in _joined(found[partition])
    )


def job_view(snapshot: Snapshot, job: Job) -> shapes.Job:
    """One job."""
    document = _json(job.spec) or {}
    return shapes.Job(
        id=str(job.id),
        operation=operation_id(job.id),
        kind=cast(Literal["backtest", "correction"], job.kind),
        state=job.state.value,
        message=_message(snapshot, job),
        stream=str(document.get("stream", "")),
        about=shapes.JobVersion(model=job.model, version=str(job.version)) if job.version else None,
        job=document,
        worker=job.worker,
        verdict=cast(Literal["passed", "failed"], job.verdict) if job.verdict in ("passed", "failed") else None,
        report=_json(job.report),
        actor=job.actor,
        reason=job.reason,
        requested_at=rfc3339(max(0, job.requested_at_ms)),
        updated_at=rfc3339(max(0, job.updated_at_ms)),
        control_offset=job.id,
    )


def _message(snapshot: Snapshot, job: Job) -> str:
    report = _json(job.report) or {}
    match job.state:
        case JobState.QUEUED if snapshot.membership.is_current and not snapshot.membership.members:
            return "no worker lives; it is done when one comes"
        case JobState.QUEUED:
            return "waits for a worker that takes it"
        case JobState.RUNNING if "done" in report and "total" in report:
            return f"worker {job.worker} has done {report['done']} of {report['total']} offsets"
        case JobState.RUNNING:
            return f"worker {job.worker} has it"
        case JobState.FAILED:
            return str(report.get("error") or report.get("reason") or f"it failed on worker {job.worker}")
        case JobState.SUCCEEDED if job.verdict == "failed":
            why = report.get("verdict_why")
            return "; ".join(str(each) for each in why) if isinstance(why, list) else "it did not pass"
        case _:
            return ""


def _request(kind: str, job: Backtest | Correction, pass_if: PassIf | None, about: VersionAt) -> RequestJob:
    spec = job_spec(job, pass_if)
    read_job_spec(spec)  # raises what the worker would refuse
    return RequestJob(kind, spec, about.model, about.version)


def _check_stream(catalogue: Catalogue, name: str) -> None:
    """Pass a stream that may be there: before any worker has said what it reads, any may."""
    if streams_of(catalogue):
        stream_named(catalogue, name)


def _target(catalogue: Catalogue, given: shapes.JobVersionGiven) -> Target:
    return find_target(catalogue, given.model, int(given.version) if given.version is not None else None, given.alias)


def _serving(route: Route) -> Target:
    if route.plan is None:
        raise JobRefusedError(f"route {route.key!r} serves nothing now: name the good version")
    return route.plan.primary.target


def _version_at(catalogue: Catalogue, target: Target) -> VersionAt:
    return VersionAt(target.model, target.version, version_of(catalogue, target).control_offset)


def _ranges(given: shapes.BacktestGiven) -> Ranges:
    if given.ranges is not None:
        return tuple(OffsetRange(each.partition, each.first, each.end) for each in given.ranges)
    assert given.from_time is not None
    assert given.to_time is not None
    try:
        return TimeRange(epoch_ms(given.from_time), epoch_ms(given.to_time))
    except ValueError as error:
        raise JobRefusedError(f"from_time and to_time are RFC 3339, such as 2026-03-01T12:00:00Z: {error}") from error


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _json(text: str) -> dict[str, Any] | None:
    """A JSON object, or `None`: whoever else writes to the log may have stored anything."""
    try:
        found = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
