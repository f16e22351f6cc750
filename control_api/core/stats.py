"""Statistics as response shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from control_api.core.outcomes import reports_on
from control_api.core.snapshot import Snapshot
from control_api.ports import WorkerStatistics
from control_api.schemas.shape import rfc3339
from control_api.schemas.stats import (
    AllWorkerStatistics,
    Numbers,
    SeriesStatistics,
    Statistics,
    WorkerStatisticsShape,
)
from model_store.core import stats
from model_store.core.control_records import ModelState
from model_store.core.histogram import Histogram
from model_store.core.stats import Series
from model_store.core.versions import ModelVersion

STALE_MS: Final = 45_000
"""A live worker that has written nothing for so long has a part missing from the answer; an idle one writes each 30 s."""

Wanted = Callable[[Series], bool]


def everything(series: Series) -> bool:
    """Leaves nothing out."""
    return True


def missing_workers(snapshot: Snapshot, totals: Sequence[WorkerStatistics], now_ms: int) -> list[str]:
    """Live workers whose statistics are older than `STALE_MS`, or are not there."""
    fresh = {part.worker for part in totals if now_ms - part.written_ms <= STALE_MS}
    return sorted(snapshot.membership.live - fresh)


def statistics(
    snapshot: Snapshot,
    parts: Sequence[WorkerStatistics],
    missing: list[str],
    now_ms: int,
    window: tuple[str, int] | None,
    wanted: Wanted = everything,
) -> Statistics:
    """The parts of all workers put together, for the series that are wanted."""
    merged = stats.merge_by_series(_wanted(part, wanted) for part in parts)
    return Statistics(
        window=window[0] if window is not None else None,
        as_of=rfc3339(now_ms),
        partial=bool(missing),
        missing_workers=missing,
        total=Numbers(**_numbers(stats.merge_all(merged.values()), window)),
        series=_rows(snapshot, merged, window),
        dead_letters=_letters(parts) if wanted is everything else None,
    )


def worker_statistics(
    snapshot: Snapshot,
    parts: Sequence[WorkerStatistics],
    missing: list[str],
    now_ms: int,
    window: tuple[str, int] | None,
) -> AllWorkerStatistics:
    """Each worker's own."""
    by_worker: dict[str, list[WorkerStatistics]] = {}
    for part in parts:
        by_worker.setdefault(part.worker, []).append(part)
    return AllWorkerStatistics(
        window=window[0] if window is not None else None,
        as_of=rfc3339(now_ms),
        partial=bool(missing),
        missing_workers=missing,
        workers=[one_worker(snapshot, by_worker[worker], window) for worker in sorted(by_worker)],
    )


def one_worker(
    snapshot: Snapshot, parts: Sequence[WorkerStatistics], window: tuple[str, int] | None
) -> WorkerStatisticsShape:
    """All starts of one worker put together; there is at least one."""
    merged = stats.merge_by_series(part.series for part in parts)
    return WorkerStatisticsShape(
        worker=parts[0].worker,
        is_live=parts[0].worker in snapshot.membership.live,
        written_at=rfc3339(max(part.written_ms for part in parts)),
        total=Numbers(**_numbers(stats.merge_all(merged.values()), window)),
        series=_rows(snapshot, merged, window),
        dead_letters=_letters(parts),
    )


def live_since_ms(snapshot: Snapshot, version: ModelVersion) -> int:
    """When a version first went live on any worker; when it was published, if it never did."""
    live = [
        reported.report.at_ms or reported.logged_at_ms
        for _, reported in reports_on(snapshot, version)
        if reported.report.state is ModelState.LIVE
    ]
    return max(0, min(live, default=version.published_at_ms))


def milliseconds(nanoseconds: int | None) -> float | None:
    """Nanoseconds as milliseconds."""
    return None if nanoseconds is None else round(nanoseconds / 1e6, 6)


def _wanted(part: WorkerStatistics, wanted: Wanted) -> Mapping[Series, stats.Statistics]:
    return {series: statistics for series, statistics in part.series.items() if wanted(series)}


def _rows(
    snapshot: Snapshot, merged: Mapping[Series, stats.Statistics], window: tuple[str, int] | None
) -> list[SeriesStatistics]:
    return [_row(snapshot, series, merged[series], window) for series in sorted(merged)]


def _row(
    snapshot: Snapshot, series: Series, observed: stats.Statistics, window: tuple[str, int] | None
) -> SeriesStatistics:
    model = snapshot.catalogue.models.get(series.model)
    version = model.versions.get(series.version) if model is not None else None
    return SeriesStatistics(
        name=series.model,
        version=str(series.version),
        data_type=series.data_type,
        description=version.descriptor.description if version is not None else "",
        type=version.descriptor.model_type if version is not None else "",
        since=rfc3339(live_since_ms(snapshot, version)) if version is not None else None,
        **_numbers(observed, window),
    )


def _numbers(observed: stats.Statistics, window: tuple[str, int] | None) -> dict[str, Any]:
    return {
        "usage": observed.count,
        "errors": observed.errors,
        "duration": milliseconds(observed.duration_ns),
        "min": milliseconds(observed.min_ns),
        "max": milliseconds(observed.max_ns),
        "p50_ms": percentile(observed.score, 0.50),
        "p95_ms": percentile(observed.score, 0.95),
        "p99_ms": percentile(observed.score, 0.99),
        "latency_p50_ms": percentile(observed.latency, 0.50),
        "latency_p95_ms": percentile(observed.latency, 0.95),
        "latency_p99_ms": percentile(observed.latency, 0.99),
        "rate": _rate(observed, window),
        "first_at": rfc3339(observed.first_ms) if observed.first_ms is not None else None,
        "last_at": rfc3339(observed.last_ms) if observed.last_ms is not None else None,
    }


def _rate(observed: stats.Statistics, window: tuple[str, int] | None) -> float | None:
    if window is not None:
        return round(observed.count / window[1], 3)
    if observed.first_ms is None or observed.last_ms is None or observed.last_ms <= observed.first_ms:
        return None
    return round(observed.count * 1000 / (observed.last_ms - observed.first_ms), 3)


def percentile(histogram: Histogram, fraction: float) -> float | None:
    """Milliseconds; `None` of an empty histogram."""
    seconds = histogram.quantile_seconds(fraction)
    return None if seconds is None else round(seconds * 1e3, 6)


def _letters(parts: Iterable[WorkerStatistics]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        for stage, count in part.dead_letters.items():
            found[stage] = found.get(stage, 0) + count
    return found
