"""The life of a worker: what is started in which order, and stopped in the other.

    topics -> control log, read to its end -> `worker-started` -> models loaded -> feed -> ready

No record is read before the models are there, because a record without its model is a dead letter. A partition that
comes later is gated in the same way: nothing of it is handed out before the models that it needs are loaded. To stop,
the feed first hands back and commits what is in flight; then the models are closed, and what is left is flushed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import Any

import structlog
from mode import Service

from model_store.core.changes import Change
from model_store.core.commands import AbortChange, Command
from model_store.core.control_records import ModelReport, StreamDeclared, WorkerStarted
from model_store.core.routes import is_pattern
from model_store.core.rules import compile_rule
from model_store.core.wire import encode_command, encode_model_report, encode_worker_record, encode_worker_started
from serving.adapters.exposition import Swaps
from serving.adapters.metrics import MetricsServer
from serving.adapters.statistics import StatisticsWriter
from serving.core.deciders import Decider
from serving.core.placement import is_placed_here
from serving.feed import Feed, calm_collector
from serving.feed.control_log import ControlLog
from serving.feed.control_writer import ControlWriter
from serving.feed.lanes import Key
from serving.jobs import Jobs
from serving.live import LiveModel, LiveModels
from serving.loads import Refusal
from serving.participant import Participant, WorkerRecord
from serving.routing import Routing
from serving.swapper import Swapper
from serving.topics import wait_for_kafka

log = structlog.get_logger(__name__)

OVERLAP = 2
"""Batches of a partition in flight while a model runs elsewhere: one that it scores, one that is decoded and waits."""

_READY_ANYWAY_SECONDS = 10.0  # a worker beyond the number of partitions gets none, and is ready all the same


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a worker is, for everybody else.

    Attributes:
        worker: Its id.
        epoch: Unique for this process.
        group: Consumer group.
        placement: `broadcast` or `keyed`.
        streams: What it serves.
    """

    worker: str
    epoch: str
    group: str
    placement: str
    streams: tuple[StreamDeclared, ...]


def new_epoch() -> str:
    """Unique for each start of a process, and in the order of starts."""
    return f"{int(time.time() * 1e3):x}-{secrets.token_hex(4)}"


@dataclass(slots=True)
class Parts:
    """What a worker is made of.

    Attributes:
        identity: Who it is.
        prepare: Makes output topics and returns the partitions of each data topic. Blocks; raises `KafkaException`.
        control_log: Applies its entries to `swapper`.
        control_writer: For the worker's own reports.
        swapper: Keeps `live` in step with the log.
        live: What is loaded.
        routing: Which plan scores which record.
        participant: This worker's part in exact changes.
        jobs: Work beside the stream.
        decider_of: Finds a decider by its name.
        stream_fields: For each stream, the names of its fields.
        feed: Records in, results out.
        statistics: Writes them to Redis; `None` without one.
        metrics: The worker's HTTP port, already answering; `None` without one.
        swaps: Counts swaps for the metrics.
        threads: Where scorers run and are closed.
        records_flow: Tells the engines that from now on there are records that loads should not delay. Blocks.
        close_engines: Stops what the engines share. Blocks.
    """

    identity: Identity
    prepare: Callable[[], Mapping[str, int]]
    control_log: ControlLog[Any]
    control_writer: ControlWriter
    swapper: Swapper
    live: LiveModels
    routing: Routing
    participant: Participant
    jobs: Jobs
    decider_of: Callable[[str], Decider | None]
    stream_fields: Sequence[frozenset[str]]
    feed: Feed
    statistics: StatisticsWriter | None
    metrics: MetricsServer | None
    swaps: Swaps
    threads: Executor
    records_flow: Callable[[], None]
    close_engines: Callable[[], None]


class Worker(Service):  # type: ignore[misc]  # mode has no type information
    """See the module. Runs on the event loop's thread.

    Attributes:
        parts: Set before the service starts.
    """

    parts: Parts

    def __init__(self, crash: Callable[[BaseException], Awaitable[None]], **service: Any) -> None:
        """`crash` is awaited with the error that ends the worker (`app.crash`)."""
        super().__init__(**service)
        self._crash_app = crash
        self._partition_counts: Mapping[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._arriving = 0
        self._engines_know = False

    # ------------------------------------------------------------------ life

    async def on_start(self) -> None:
        """Start in order; returns at once, because Faust waits for it."""
        self._tasks.append(asyncio.create_task(self._guarded(self._begin()), name="start"))

    async def on_stop(self) -> None:
        """Stop in the other order. What is in flight is finished and committed first."""
        parts = self.parts
        if parts.metrics is not None:
            parts.metrics.mark_unready("stopping")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await parts.jobs.stop()
        if parts.feed.started:
            await parts.feed.stop()
        await parts.swapper.stop()
        for service in (parts.control_writer, parts.control_log):
            if service.started:
                await service.stop()
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    async def _begin(self) -> None:
        parts = self.parts
        self._say("waiting for Kafka")
        self._partition_counts = await self._prepared()
        self._say("reading the control log")
        await parts.control_log.start()
        await parts.control_log.ready.wait()
        await parts.control_writer.start()
        self._announce()
        parts.swapper.caught_up()
        self._say("loading models")
        if parts.identity.placement == "broadcast":
            await parts.swapper.settle()
        if parts.statistics is not None:
            parts.statistics.start()
        calm_collector()
        self._say("waiting for partitions")
        await parts.feed.start()
        self._tasks.append(asyncio.create_task(self._guarded(parts.swapper.run()), name="swap"))
        await asyncio.sleep(_READY_ANYWAY_SECONDS)
        if not self._arriving:
            self._ready()

    async def _prepared(self) -> Mapping[str, int]:
        return await asyncio.get_running_loop().run_in_executor(None, wait_for_kafka, self.parts.prepare)

    def _announce(self) -> None:
        identity, metrics = self.parts.identity, self.parts.metrics
        record = encode_worker_started(
            WorkerStarted(
                identity.worker,
                identity.epoch,
                socket.gethostname(),
                os.getpid(),
                identity.placement,
                identity.group,
                identity.streams,
                f"{metrics.url}/metrics" if metrics is not None else "",
                int(time.time() * 1e3),
                installed_version("sluice"),
            )
        )
        self.parts.control_writer.send(record.key, record.value, record.headers)
        log.info("worker.started", worker=identity.worker, metrics=metrics.url if metrics is not None else None)

    async def _guarded(self, task: Awaitable[None]) -> None:
        try:
            await task
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.error("worker.failed", error=repr(error))
            self._crashing = asyncio.ensure_future(self._crash_app(error))  # not awaited: it stops this service

    def _close(self) -> None:
        """Blocks."""
        parts = self.parts
        if parts.statistics is not None:
            parts.statistics.stop()
        parts.threads.shutdown(wait=True)
        parts.close_engines()
        if parts.metrics is not None:
            parts.metrics.stop()

    def _say(self, what: str) -> None:
        if self.parts.metrics is not None:
            self.parts.metrics.mark_unready(what)

    def _ready(self) -> None:
        if self.should_stop:
            return
        if not self._engines_know:
            # Until now a load was felt by nobody, and took a core like anything else: so the worker is here sooner.
            self._engines_know = True
            asyncio.get_running_loop().run_in_executor(None, self.parts.records_flow)
        if self.parts.metrics is not None:
            self.parts.metrics.mark_ready()

    # ------------------------------------------------------------------ for the feed

    async def on_assigned(self, partitions: Sequence[Key]) -> None:
        """Partitions came: nothing of them is handed out before they are claimed and the models that they need are here."""
        self._arriving += 1
        try:
            await self._settle(partitions)
        finally:
            self._arriving -= 1
        self._ready()

    async def _settle(self, partitions: Sequence[Key]) -> None:
        parts = self.parts
        if parts.identity.placement == "keyed":
            self._partition_counts = await self._prepared()  # a topic may be new, or may have grown
        parts.swapper.lanes_changed()
        await parts.swapper.settle()
        await parts.participant.claim(partitions)
        parts.swapper.lanes_changed()
        await parts.swapper.settle()

    def on_revoked(self, partitions: Sequence[Key]) -> None:
        """Partitions went, and with them models that only they needed."""
        self.parts.participant.forget(partitions)
        self.parts.swapper.lanes_changed()

    # ------------------------------------------------------------------ for the swapper

    def report(self, report: ModelReport) -> None:
        """Put a report on the control log; returns at once."""
        record = encode_model_report(report)
        self.parts.control_writer.send(record.key, record.value, record.headers)

    def send(self, record: WorkerRecord) -> None:
        """Put a claim, a promise or the like on the control log; returns at once."""
        encoded = encode_worker_record(record)
        self.parts.control_writer.send(encoded.key, encoded.value, encoded.headers)

    def give_up(self, change: Change, reason: str) -> None:
        """Ask that a change be ended."""
        worker = self.parts.identity.worker
        self.command(Command(f"give-up-{change.id}-{secrets.token_hex(4)}", worker, reason, AbortChange(change.id)))

    def command(self, command: Command) -> bool:
        """Put a command on the control log; returns at once, with whether it was taken."""
        encoded = encode_command(command)
        return self.parts.control_writer.send(encoded.key, encoded.value, encoded.headers)

    def placed_here(self, keys: Iterable[str]) -> set[str]:
        """Which routes belong on this worker now; one for several data types belongs on every worker."""
        if self.parts.identity.placement == "broadcast":
            return set(keys)
        held: dict[str, list[int]] = {}
        for topic, partition in self.parts.feed.partitions():
            held.setdefault(topic, []).append(partition)
        return {key for key in keys if is_pattern(key) or is_placed_here(key, held, self._partition_counts)}

    def positions(self) -> dict[Key, tuple[int, int]]:
        """The next offset and the committed one of each partition held, where it is known."""
        feed = self.parts.feed
        held = ((key, feed.position(*key)) for key in feed.partitions())
        return {key: position for key, position in held if position[0] >= 0}

    def why_not(self, change: Change) -> Refusal | None:
        """A reason why this worker cannot serve a plan, whatever it can load."""
        plan = change.plan
        if plan is None:
            return None
        if plan.speculation is not None and self.parts.decider_of(plan.speculation.decider) is None:
            return Refusal("unsupported", f"there is no decider {plan.speculation.decider!r} on this worker")
        for number, rule in enumerate(plan.rules, 1):
            fields = compile_rule(rule.when).fields
            missing = [sorted(fields - known) for known in self.parts.stream_fields]
            if missing and all(missing):
                return Refusal(
                    "unsupported",
                    f"rule {number} reads {', '.join(missing[0])}, which no stream of this worker names as a field",
                )
        return None

    def on_change(self, seconds: float | None) -> None:
        """What serves changed: count it, and let no partition wait for another where a model runs elsewhere."""
        if seconds is not None:
            self.parts.swaps.observe(seconds)
            self.parts.swapper.reports.swapped(seconds)
        runs_elsewhere = any(live.scorer.runs_elsewhere for live in self.parts.live.by_version.values())
        self.parts.feed.overlap = OVERLAP if runs_elsewhere else 0

    def serving(self) -> list[tuple[str, LiveModel]]:
        """Route and primary, for the metrics. Any thread."""
        swapper, live = self.parts.swapper, self.parts.live.by_version
        catalogue, found = swapper.catalogue, []
        for key, change in list(swapper.in_force.items()):
            route = catalogue.routes.get(key)
            entry = route.entry_of(change) if route is not None else None
            plan = entry[1].plan if entry is not None else None
            version = catalogue.version(plan.primary.target) if plan is not None else None
            if version is not None and version.control_offset in live:
                found.append((key, live[version.control_offset]))
        return found
