"""The workers' statistics in Redis, read on a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import anyio.to_thread

from control_api.errors import STATISTICS_DOWN, ApiError
from model_store.core.errors import StatisticsUnavailableError
from model_store.stats_store import RedisStatistics, WorkerStatistics

_RETRY_SECONDS = 2


class StatisticsReader:
    """See `Statistics`."""

    def __init__(self, store: RedisStatistics) -> None:
        self._store = store

    async def totals(self) -> Sequence[WorkerStatistics]:
        """See `Statistics.totals`."""
        return await _read(self._store.read_totals)

    async def window(self, seconds: int) -> Sequence[WorkerStatistics]:
        """See `Statistics.window`."""
        return await _read(lambda: self._store.read_window(seconds, int(time.time() * 1000)))


class NoStatistics:
    """Stands in where no Redis is set. See `Statistics`."""

    async def totals(self) -> Sequence[WorkerStatistics]:
        """See `Statistics.totals`."""
        raise ApiError(STATISTICS_DOWN, "no statistics store is set: `redis_url` is null", retry_after_seconds=60)

    async def window(self, seconds: int) -> Sequence[WorkerStatistics]:
        """See `Statistics.window`."""
        return await self.totals()


async def _read(read: Callable[[], list[WorkerStatistics]]) -> list[WorkerStatistics]:
    try:
        return await anyio.to_thread.run_sync(read)
    except StatisticsUnavailableError as error:
        detail = f"the statistics store does not answer: {error}"
        raise ApiError(STATISTICS_DOWN, detail, retry_after_seconds=_RETRY_SECONDS) from error
