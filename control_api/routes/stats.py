"""Statistics, and the two addresses of the Lightbend tutorial."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from control_api.core import tutorial
from control_api.core.decider_stats import decider_statistics
from control_api.core.snapshot import Snapshot
from control_api.core.stats import Wanted, everything, missing_workers, one_worker, statistics, worker_statistics
from control_api.errors import INVALID, NOT_CAUGHT_UP, NOT_FOUND, STATISTICS_DOWN, ApiError
from control_api.parts import Parts
from control_api.ports import WorkerStatistics
from control_api.reading import PartsHere, SnapshotNow
from control_api.schemas.parameters import DataType, ModelName, VersionNumber, WorkerId
from control_api.schemas.problem import answers
from control_api.schemas.stats import AllWorkerStatistics, DeciderStatistics, Statistics, WorkerStatisticsShape
from control_api.schemas.tutorial import Processors, TutorialState
from model_store.core.stats_windows import LONGEST_WINDOW_SECONDS

router = APIRouter(tags=["statistics"])

_ALL = answers(INVALID, NOT_CAUGHT_UP, STATISTICS_DOWN)
_ONE = answers(INVALID, NOT_FOUND, NOT_CAUGHT_UP, STATISTICS_DOWN)
_UNITS = {"s": 1, "m": 60, "h": 3600}

Window = tuple[str, int] | None


async def _window(
    window: Annotated[
        str | None,
        Query(
            pattern="^[1-9][0-9]{0,4}[smh]$",
            description="How far back, such as `5m`, `1h`, `24h` (at most); left out: since ever.",
            examples=["5m"],
        ),
    ] = None,
) -> Window:
    if window is None:
        return None
    match = re.fullmatch("([0-9]+)([smh])", window)
    seconds = int(match.group(1)) * _UNITS[match.group(2)] if match is not None else 0
    if not 1 <= seconds <= LONGEST_WINDOW_SECONDS:
        errors = ({"pointer": "/query/window", "detail": "expected at most 24h"},)
        raise ApiError(INVALID, f"window {window} is longer than the 24h that are kept", errors=errors)
    return window, seconds


WindowHere = Annotated[Window, Depends(_window)]


@router.get("/api/v1/stats", responses=_ALL)
async def read_statistics(parts: PartsHere, snapshot: SnapshotNow, window: WindowHere) -> Statistics:
    """All models, and all together."""
    return await _statistics(parts, snapshot, window, everything)


@router.get("/api/v1/stats/models/{name:path}/versions/{version}", responses=_ONE)
async def read_version_statistics(
    parts: PartsHere, snapshot: SnapshotNow, name: ModelName, version: VersionNumber, window: WindowHere
) -> Statistics:
    """One version."""
    model = snapshot.catalogue.models.get(name)
    number = model.latest if model is not None and version == "latest" else int(version) if version != "latest" else 0
    if model is None or number not in model.versions:
        raise ApiError(NOT_FOUND, f"there is no version {version} of a model {name!r}")
    return await _statistics(parts, snapshot, window, lambda s: s.model == name and s.version == number)


@router.get("/api/v1/stats/models/{name:path}", responses=_ONE)
async def read_model_statistics(
    parts: PartsHere, snapshot: SnapshotNow, name: ModelName, window: WindowHere
) -> Statistics:
    """All versions of a model."""
    if name not in snapshot.catalogue.models:
        raise ApiError(NOT_FOUND, f"there is no registered model {name!r}")
    return await _statistics(parts, snapshot, window, lambda series: series.model == name)


@router.get("/api/v1/stats/keys/{key:path}", responses=_ONE)
async def read_key_statistics(parts: PartsHere, snapshot: SnapshotNow, key: DataType, window: WindowHere) -> Statistics:
    """All that served a data type."""
    if not snapshot.catalogue.routes_for(key):
        raise ApiError(NOT_FOUND, f"no model was published for the data type {key!r}")
    return await _statistics(parts, snapshot, window, lambda series: series.data_type == key)


@router.get("/api/v1/stats/deciders", responses=_ALL)
async def read_deciders_statistics(parts: PartsHere, snapshot: SnapshotNow, window: WindowHere) -> DeciderStatistics:
    """What each decider did, on each route."""
    now_ms = _now_ms()
    found, missing = await _parts(parts, snapshot, window, now_ms)
    return decider_statistics(found, missing, now_ms, window)


@router.get("/api/v1/stats/deciders/{key:path}", responses=_ONE)
async def read_decider_statistics(
    parts: PartsHere, snapshot: SnapshotNow, key: DataType, window: WindowHere
) -> DeciderStatistics:
    """What the deciders of one route did."""
    if key not in snapshot.catalogue.routes:
        raise ApiError(NOT_FOUND, f"there is no route {key!r}")
    now_ms = _now_ms()
    found, missing = await _parts(parts, snapshot, window, now_ms)
    return decider_statistics(found, missing, now_ms, window, lambda decider: decider.route == key)


@router.get("/api/v1/stats/workers", responses=_ALL)
async def read_workers_statistics(parts: PartsHere, snapshot: SnapshotNow, window: WindowHere) -> AllWorkerStatistics:
    """Each worker."""
    now_ms = _now_ms()
    found, missing = await _parts(parts, snapshot, window, now_ms)
    return worker_statistics(snapshot, found, missing, now_ms, window)


@router.get("/api/v1/stats/workers/{id:path}", responses=_ONE)
async def read_worker_statistics(
    parts: PartsHere, snapshot: SnapshotNow, id: WorkerId, window: WindowHere
) -> WorkerStatisticsShape:
    """One worker."""
    found, _ = await _parts(parts, snapshot, window, _now_ms())
    own = [part for part in found if part.worker == id]
    if not own:
        raise ApiError(
            NOT_FOUND, f"there are no statistics of a worker {id!r}" + (f" in {window[0]}" if window else "")
        )
    return one_worker(snapshot, own, window)


@router.get("/processors", tags=["tutorial"], responses=answers(NOT_CAUGHT_UP, INVALID))
async def processors(snapshot: SnapshotNow) -> Processors:
    """The data types that have a model, in the shape of the Lightbend tutorial."""
    return Processors(models=sorted(key for key, route in snapshot.catalogue.routes.items() if route.plan is not None))


@router.get("/state/{data_type:path}", tags=["tutorial"], responses=_ALL)
async def state(parts: PartsHere, snapshot: SnapshotNow, data_type: DataType) -> TutorialState:
    """How the model of a data type does, in the shape of the Lightbend tutorial; empty if there is none."""
    return tutorial.state(snapshot, data_type, await parts.statistics.totals())


async def _statistics(parts: Parts, snapshot: Snapshot, window: Window, wanted: Wanted) -> Statistics:
    now_ms = _now_ms()
    found, missing = await _parts(parts, snapshot, window, now_ms)
    return statistics(snapshot, found, missing, now_ms, window, wanted)


async def _parts(
    parts: Parts, snapshot: Snapshot, window: Window, now_ms: int
) -> tuple[Sequence[WorkerStatistics], list[str]]:
    totals = await parts.statistics.totals()
    found = totals if window is None else await parts.statistics.window(window[1])
    return found, missing_workers(snapshot, totals, now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
