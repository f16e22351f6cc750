"""Keeps what serves in step with the control log: fold, decide, load, swap, report.

    apply      each record of the log, in order, on the loop's thread: folded into the catalogue, nothing more
    settle     after the log was read to its end, and after partitions came or went: carry out every decision there is;
               the feed hands out no record before
    run        from then on: wake at each change, decide, start loads, and swap when one is ready

Loads run in threads, at most `LOADS_AT_ONCE` together and one a data type. A swap is one assignment on the loop's thread
between two batches. A model that is refused stays refused for this process; one that could not be had is tried again,
after a pause that doubles, while the best version that can be had serves. Everything is reported on the log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from model_store.core.catalogue import Catalogue, LogEntry, fold
from model_store.core.control_records import Announced, ModelReport, ModelState, PartitionOffset
from model_store.core.versions import ModelVersion
from serving.core.decisions import Load, Retire, decide
from serving.core.errors import ModelLimitError
from serving.live import LiveModel, LiveModels
from serving.loader import Loaded, Loader, problem_of

log = structlog.get_logger(__name__)

LOADS_AT_ONCE = 2
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(slots=True)
class _Deferred:
    """A version that could not be had: when to try again, and how long to wait after that."""

    until: float
    pause: float


@dataclass(slots=True)
class Swapper:
    """Belongs to the event loop's thread.

    Attributes:
        live: What serves.
        loader: Loads in this object's threads.
        report: Puts a report on the control log; returns at once.
        placed_here: Which of these data types belong on this worker now.
        positions: Next offset to be handed out, for each partition held.
        on_swap: Called after each change of `live`, with the seconds that it took the loop.
        worker: Worker id.
        epoch: Unique for this process.
        load_seconds: Longest load; one that takes longer is refused and its scorer closed when it comes.
    """

    live: LiveModels
    loader: Loader
    report: Callable[[ModelReport], None]
    placed_here: Callable[[Iterable[str]], set[str]]
    positions: Callable[[], Sequence[PartitionOffset]]
    on_swap: Callable[[LiveModel | None, float], None]
    worker: str
    epoch: str
    load_seconds: float
    catalogue: Catalogue = field(default_factory=Catalogue)
    _refused: set[int] = field(default_factory=set)
    _deferred: dict[int, _Deferred] = field(default_factory=dict)
    _loading: dict[str, tuple[int, asyncio.Task[None]]] = field(default_factory=dict)
    _reported: dict[int, ModelState] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(LOADS_AT_ONCE, "load"))
    _first_to_report: int = 0

    def apply(self, entry: LogEntry) -> None:
        """Fold one record of the log."""
        self.catalogue = fold(self.catalogue, entry)
        if isinstance(entry.record, Announced):
            self._changed.set()

    def placement_changed(self) -> None:
        """Partitions came or went: what belongs here is decided anew."""
        self._changed.set()

    def caught_up(self) -> None:
        """The log was read to the end it had at start: versions that were replaced before need no report."""
        self._first_to_report = self.catalogue.offset + 1

    async def settle(self) -> None:
        """Load until what serves is what the log says, as far as it can be had."""
        while True:
            self._decide()
            if not self._loading:
                return
            await asyncio.wait([task for _, task in self._loading.values()], return_when=asyncio.FIRST_COMPLETED)

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            self._decide()
            try:
                await asyncio.wait_for(self._changed.wait(), self._next_try())
            except TimeoutError:
                continue
            self._changed.clear()

    async def stop(self) -> None:
        """End loads and close what serves. Only after the last batch was handed back."""
        tasks = [task for _, task in self._loading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for data_type in list(self.live.by_type):
            self.live.retire(data_type)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------ deciding

    def _decide(self) -> None:
        candidates = {data_type: self.catalogue.candidates(data_type) for data_type in self.catalogue.routes}
        here = self.placed_here(candidates)
        now = time.monotonic()
        unavailable = {offset for offset, deferred in self._deferred.items() if deferred.until > now}
        live = {data_type: model.control_offset for data_type, model in self.live.by_type.items()}
        loading = {data_type: offset for data_type, (offset, _) in self._loading.items()}
        for step in decide(candidates, live, self._refused | unavailable, loading, here):
            match step:
                case Load(data_type, ModelVersion() as version):
                    self._start(data_type, version)
                case Retire(data_type):
                    self._retire(data_type)
        self._report_the_rest(candidates, here)

    def _next_try(self) -> float | None:
        times = [deferred.until for deferred in self._deferred.values()]
        return max(0.0, min(times) - time.monotonic()) + 0.001 if times else None

    # ------------------------------------------------------------------ loading

    def _start(self, data_type: str, version: ModelVersion) -> None:
        if data_type in self._loading:
            return  # one load a data type; what is newest when it ends is decided then
        task = asyncio.create_task(self._load(data_type, version), name=f"load {version.model} v{version.version}")
        self._loading[data_type] = (version.control_offset, task)

    async def _load(self, data_type: str, version: ModelVersion) -> None:
        known = log.bind(
            model=version.model, version=version.version, data_type=data_type, control_offset=version.control_offset
        )
        known.info("model.loading")
        try:
            loaded = await self._loaded(version)
        except Exception as error:
            self._failed(data_type, version, error)
        else:
            self._swap(data_type, version, loaded)
        finally:
            del self._loading[data_type]
            self._changed.set()

    async def _loaded(self, version: ModelVersion) -> Loaded:
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, self.loader.load, version.descriptor, version.control_offset
        )
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

    def _failed(self, data_type: str, version: ModelVersion, error: Exception) -> None:
        problem = problem_of(error)
        serving = self.live.by_type.get(data_type)
        fields = {"model": version.model, "version": version.version, "data_type": data_type, "reason": str(error)}
        fields["serves_on"] = f"{serving.model} v{serving.version}" if serving else "nothing"
        if problem == "unavailable":
            before = self._deferred.get(version.control_offset)
            pause = min(before.pause * 2, _LONGEST_PAUSE_SECONDS) if before else _FIRST_PAUSE_SECONDS
            self._deferred[version.control_offset] = _Deferred(time.monotonic() + pause, pause)
            log.warning("model.unavailable", retry_in_seconds=pause, **fields)
            self._send(data_type, version, ModelState.RETRYING, reason=str(error), problem=problem)
            return
        self._refused.add(version.control_offset)
        self._deferred.pop(version.control_offset, None)
        log.warning("model.refused", problem=problem, **fields)
        reason = str(error) or type(error).__name__
        self._send(data_type, version, ModelState.REFUSED, reason=reason, problem=problem)

    # ------------------------------------------------------------------ swapping

    def _swap(self, data_type: str, version: ModelVersion, loaded: Loaded) -> None:
        self._deferred.pop(version.control_offset, None)
        model = LiveModel(
            data_type,
            version.model,
            version.version,
            loaded.sha256,
            version.control_offset,
            loaded.scorer,
            loaded.bindings,
            loaded.unbound,
        )
        start = time.perf_counter()
        old = self.live.swap_in(model)
        seconds = time.perf_counter() - start
        since = tuple(self.positions())
        self.on_swap(model, seconds)
        log.info(
            "model.live",
            model=version.model,
            version=version.version,
            data_type=data_type,
            replaced=f"{old.model} v{old.version}" if old else None,
            load_ms=round(loaded.seconds * 1e3, 1),
            swap_ms=round(seconds * 1e3, 3),
        )
        self._send(
            data_type,
            version,
            ModelState.LIVE,
            since=since,
            load_ms=loaded.seconds * 1e3,
            swap_ms=seconds * 1e3,
            loaded=loaded,
            reason="; ".join(f"stream {name}: {reason}" for name, reason in loaded.unbound.items()),
        )

    def _retire(self, data_type: str) -> None:
        start = time.perf_counter()
        old = self.live.retire(data_type)
        self.on_swap(None, time.perf_counter() - start)
        if old is not None:
            log.info("model.retired", model=old.model, version=old.version, data_type=data_type)

    # ------------------------------------------------------------------ reporting

    def _report_the_rest(self, candidates: Mapping[str, Sequence[ModelVersion]], here: set[str]) -> None:
        """Say of every announced version what became of it here, so that nobody waits for an answer."""
        for data_type, versions in candidates.items():
            if data_type not in here:
                if versions and self._reported.get(versions[0].control_offset) is not ModelState.ELSEWHERE:
                    self._send(data_type, versions[0], ModelState.ELSEWHERE)
                continue
            serving = self.live.by_type.get(data_type)
            for version in versions:
                if version.control_offset < self._first_to_report:
                    break
                if (
                    serving is not None
                    and version.control_offset < serving.control_offset
                    and self._reported.get(version.control_offset) in (None, ModelState.RETRYING)
                ):
                    reason = f"{serving.model} v{serving.version} came before it was loaded"
                    self._send(data_type, version, ModelState.RETIRED, reason=reason)

    def _send(
        self,
        data_type: str,
        version: ModelVersion,
        state: ModelState,
        *,
        reason: str = "",
        problem: str = "",
        since: tuple[PartitionOffset, ...] = (),
        load_ms: float = 0.0,
        swap_ms: float = 0.0,
        loaded: Loaded | None = None,
    ) -> None:
        if self._reported.get(version.control_offset) is state is ModelState.RETRYING:
            return  # one word about it is enough until something changes
        self._reported[version.control_offset] = state
        self.report(
            ModelReport(
                self.worker,
                self.epoch,
                version.control_offset,
                version.model,
                version.version,
                data_type,
                state,
                reason=reason,
                problem=problem,
                since=since,
                at_ms=int(time.time() * 1e3),
                load_ms=load_ms,
                swap_ms=swap_ms,
                signature=loaded.scorer.signature if loaded else None,
                sha256=loaded.sha256 if loaded else b"",
                engine=loaded.scorer.engine if loaded else "",
                artifact_bytes=loaded.size_bytes if loaded else 0,
            )
        )


def _close_late(future: asyncio.Future[Loaded]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().scorer.close()
