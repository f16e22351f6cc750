"""Loading versions: which are here, which are on their way, which cannot be had now, which never.

Loads run in threads, at most `LOADS_AT_ONCE` together and one a version; the others wait for their turn, however long, and
only from then on is their time limited. A version that is refused stays refused for this process; one that could not be
had is tried again, after a pause that doubles. Belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from model_store.core.versions import ModelVersion
from serving.core.errors import ModelLimitError
from serving.live import LiveModel, LiveModels
from serving.loader import Loaded, Loader, problem_of
from serving.scorers.base import Watched

log = structlog.get_logger(__name__)

LOADS_AT_ONCE = 2
_MOST_THREADS = 50
"""A load that takes too long keeps its thread until it ends; others must not have to wait for that."""

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a version is not loaded here.

    Attributes:
        problem: The word for it, as in `ModelReport`.
        reason: A sentence that the publisher can act on.
    """

    problem: str
    reason: str


@dataclass(slots=True)
class _Deferred:
    """A version that could not be had: when to try again, how long to wait after that, and why."""

    until: float
    pause: float
    refusal: Refusal


@dataclass(slots=True)
class Loads:
    """See the module.

    Attributes:
        live: Where loaded models go.
        loader: Loads in this object's threads.
        load_seconds: Longest load; one that takes longer is refused and its scorer closed when it comes.
        on_end: Called after each load, however it ended, with the version.
        on_scorer_change: Called on the loop when a loaded scorer may have begun to run elsewhere.
        refused: Control offset of a version -> why it will never be loaded here.
        loaded: Control offset of a version -> what its load told, for reports.
        changes: Counts when what is hopeless may have become another, so that others know when to look again.
    """

    live: LiveModels
    loader: Loader
    load_seconds: float
    on_end: Callable[[ModelVersion], None]
    on_scorer_change: Callable[[], None] = lambda: None
    refused: dict[int, Refusal] = field(default_factory=dict)
    loaded: dict[int, Loaded] = field(default_factory=dict)
    changes: int = 0
    _deferred: dict[int, _Deferred] = field(default_factory=dict)
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_MOST_THREADS, "load"))
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOADS_AT_ONCE))

    def has(self, version_offset: int) -> bool:
        """It is loaded."""
        return version_offset in self.live.by_version

    def is_hopeless(self, version_offset: int) -> bool:
        """It is refused, or cannot be had for the moment."""
        return version_offset in self.refused or self.is_deferred(version_offset)

    def is_deferred(self, version_offset: int) -> bool:
        """It could not be had; another try comes later."""
        return version_offset in self._deferred and version_offset not in self._tasks

    def trouble(self, version_offset: int) -> Refusal | None:
        """Why it is not here, if that is known."""
        deferred = self._deferred.get(version_offset)
        return self.refused.get(version_offset) or (deferred.refusal if deferred is not None else None)

    def start(self, version: ModelVersion) -> None:
        """Load a version, unless it is here, on its way, refused, or not to be tried again yet."""
        offset = version.control_offset
        if self.has(offset) or offset in self._tasks or offset in self.refused:
            return
        deferred = self._deferred.get(offset)
        if deferred is not None and deferred.until > time.monotonic():
            return
        task = asyncio.create_task(self._load(version), name=f"load {version.model} v{version.version}")
        self._tasks[offset] = task

    def under_way(self, offsets: set[int]) -> list[asyncio.Task[None]]:
        """The loads of some versions that have not ended."""
        return [task for offset, task in self._tasks.items() if offset in offsets]

    def drop(self, version_offset: int) -> LiveModel | None:
        """Close a version that is no longer needed, after its last batch."""
        self.loaded.pop(version_offset, None)
        return self.live.remove(version_offset)

    def next_try(self) -> float | None:
        """Seconds until a version should be tried again."""
        times = [deferred.until for offset, deferred in self._deferred.items() if offset not in self._tasks]
        return max(0.0, min(times) - time.monotonic()) + 0.001 if times else None

    async def stop(self) -> None:
        """End loads and close what is loaded. Only after the last batch was handed back."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for offset in list(self.live.by_version):
            self.live.remove(offset)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _load(self, version: ModelVersion) -> None:
        offset = version.control_offset
        was_hopeful = offset not in self._deferred
        try:
            async with self._turns:
                loaded = await self._loaded(version)
        except Exception as error:
            was_hopeful = False
            self._failed(version, error)
        else:
            self._deferred.pop(offset, None)
            self.loaded[offset] = loaded
            if isinstance(loaded.scorer, Watched):
                loaded.scorer.when_changed(self._in_loop(self.on_scorer_change))
            self.live.add(
                LiveModel(
                    version.model,
                    version.version,
                    offset,
                    loaded.sha256,
                    loaded.scorer,
                    loaded.bindings,
                    loaded.unbound,
                )
            )
            log.info(
                "model.loaded", model=version.model, version=version.version, load_ms=round(loaded.seconds * 1e3, 1)
            )
        finally:
            del self._tasks[offset]
            self.changes += not was_hopeful
            self.on_end(version)

    @staticmethod
    def _in_loop(call: Callable[[], None]) -> Callable[[], None]:
        """The same call, for any thread."""
        loop = asyncio.get_running_loop()

        def later() -> None:
            loop.call_soon_threadsafe(call)

        return later

    async def _loaded(self, version: ModelVersion) -> Loaded:
        offset = version.control_offset
        log.info("model.loading", model=version.model, version=version.version, control_offset=offset)
        future = asyncio.get_running_loop().run_in_executor(self._threads, self.loader.load, version.descriptor, offset)
        try:
            return await asyncio.wait_for(asyncio.shield(future), self.load_seconds)
        except TimeoutError:
            future.add_done_callback(_close_late)
            raise ModelLimitError(
                f"the model was not ready after {self.load_seconds:g} s, which is the limit"
            ) from None
        except asyncio.CancelledError:
            future.add_done_callback(_close_late)
            raise

    def _failed(self, version: ModelVersion, error: Exception) -> None:
        offset, refusal = version.control_offset, Refusal(problem_of(error), str(error) or type(error).__name__)
        fields = {"model": version.model, "version": version.version, "reason": refusal.reason}
        if refusal.problem == "unavailable":
            before = self._deferred.get(offset)
            pause = min(before.pause * 2, _LONGEST_PAUSE_SECONDS) if before else _FIRST_PAUSE_SECONDS
            self._deferred[offset] = _Deferred(time.monotonic() + pause, pause, refusal)
            log.warning("model.unavailable", retry_in_seconds=pause, **fields)
            return
        self.refused[offset] = refusal
        self._deferred.pop(offset, None)
        log.warning("model.refused", problem=refusal.problem, **fields)


def _close_late(future: asyncio.Future[Loaded]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().scorer.close()
