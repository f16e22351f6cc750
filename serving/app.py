"""Where the worker's parts are put together, and the only place that builds the Faust app.

The app has one agent, which scores, and one service, `Worker`, which starts and stops everything else in order. Faust
insists on a topic of its own: it gets one small command topic for all workers, on which nothing is sent. Each start
of a worker has its own Faust group for that topic, so that it never takes part in anybody's rebalance.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version as installed_version
from typing import Any

import faust
import structlog
from mode import CrashingSupervisor

from model_store.cache import ArtifactCache
from model_store.core.catalogue import LogEntry
from model_store.core.commands import Command
from model_store.core.control_records import Announced, ControlRecord
from model_store.core.stats import Series
from model_store.core.wire import decode_record
from model_store.snapshot_start import read_start
from model_store.stats_store import RedisStatistics
from serving.adapters.exposition import Exposition, Swaps
from serving.adapters.metrics import MetricsServer
from serving.adapters.statistics import Collector, StatisticsWriter
from serving.agents import ScoringAgent
from serving.core.deciders import Decider
from serving.core.errors import SettingsError
from serving.decider_registry import UnknownDeciderError, decider_named
from serving.feed import ColumnBatch, Feed, FeedChannel, Header, Output, StartAt
from serving.feed.control_log import ControlLog
from serving.feed.control_writer import ControlWriter
from serving.fetching import fetcher
from serving.jobs import Jobs
from serving.live import LiveModel, LiveModels
from serving.loader import Loader
from serving.loads import Loads
from serving.participant import Participant
from serving.pipeline import Observation
from serving.reports import Reports
from serving.routing import Routing
from serving.scorers.base import LoadLimits
from serving.scorers.registry import EngineRegistry
from serving.settings import Settings, engine_options
from serving.streams import OpenedStream, open_stream
from serving.swapper import Swapper
from serving.topics import prepare_topics, wait_for_kafka
from serving.worker import Identity, Parts, Worker, new_epoch

COMMAND_TOPIC = "sluice.worker-commands"
SCORING_THREADS = 8
STOP_SECONDS = 30.0
"""The feed's part of a stop takes at most 20 s, also without a broker; flushing the rest at most 5 s."""

log = structlog.get_logger(__name__)


def run_worker(settings: Settings) -> int:
    """Run one worker until SIGTERM or SIGINT. Returns the exit status: 0 after a clean stop, else 1.

    Waits for Kafka first: Faust would end the process if it were not there yet.

    Raises:
        SettingsError: A stream cannot be opened, or the metrics port is taken.
    """
    app, parts = build_app(settings)
    if parts.metrics is not None:
        parts.metrics.start()
        parts.metrics.mark_unready("waiting for Kafka")
    wait_for_kafka(parts.prepare)
    # A model that loads in a thread parses in Python. At the default of 5 ms the scoring thread waits so long each time
    # that it wants the interpreter back. What 1 ms gains at a swap has not been measured.
    sys.setswitchinterval(0.001)
    try:
        _FaustWorker(app, loglevel="warn", quiet=True, redirect_stdouts=False).execute_from_commandline()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


class _FaustWorker(faust.Worker):  # type: ignore[misc]  # faust has no type information
    """Ends the process if the stop takes too long: without a broker, Faust waits for its own clients for ever.

    The feed has given up, and nothing wrong is committed, long before (`STOP_SECONDS`).
    """

    async def _stop_on_signal(self, signal: Any) -> None:
        watchdog = threading.Timer(STOP_SECONDS, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        await super()._stop_on_signal(signal)


def build_app(settings: Settings) -> tuple[Any, Parts]:
    """The Faust app of one worker, and what is in it. Nothing is connected to.

    Raises:
        SettingsError: A stream cannot be opened, or the metrics port is taken.
    """
    worker_id = settings.worker_id or f"{socket.gethostname()}-{secrets.token_hex(3)}"
    streams = [open_stream(stream, settings.dead_letter_topic) for stream in settings.streams]
    app = _faust_app(settings, worker_id)
    channel = FeedChannel(app)
    worker = Worker(app.crash, beacon=app.beacon)
    collector = Collector()
    worker.parts = _parts(settings, worker_id, streams, app, channel, worker, collector)
    agent = _agent(worker.parts, streams, collector)

    @app.agent(channel, name="score")  # type: ignore[untyped-decorator]  # faust has no type information
    async def score(batches: AsyncIterable[ColumnBatch]) -> None:
        await agent.run(batches)

    commands = app.topic(COMMAND_TOPIC, partitions=1, key_type=bytes, value_type=bytes)

    @app.agent(commands, name="commands")  # type: ignore[untyped-decorator]  # faust has no type information
    async def ignore(records: AsyncIterable[bytes]) -> None:
        async for _ in records:
            log.warning("command.ignored", topic=COMMAND_TOPIC)

    @app.task  # type: ignore[untyped-decorator]  # faust has no type information
    async def start(app: Any) -> None:
        await app.add_runtime_dependency(worker)

    return app, worker.parts


def _faust_app(settings: Settings, worker_id: str) -> Any:
    return faust.App(
        # New at each start: under the same name, a killed predecessor's membership would be waited for, 60 s long.
        f"{settings.group}-faust-{worker_id}-{secrets.token_hex(3)}",
        broker=";".join(f"kafka://{host.strip()}" for host in settings.kafka.bootstrap.split(",")),
        agent_supervisor=CrashingSupervisor,  # an agent's exception ends the worker; nothing of its batch is committed
        datadir=tempfile.mkdtemp(prefix="sluice-worker-"),
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        topic_allow_declare=False,  # `prepare_topics` made it; Faust's own way fails on a busy broker
        topic_disable_leader=True,
        web_enabled=False,
    )


def _parts(
    settings: Settings,
    worker_id: str,
    streams: list[OpenedStream],
    app: Any,
    channel: FeedChannel,
    worker: Worker,
    collector: Collector,
) -> Parts:
    bootstrap, properties = settings.kafka.bootstrap, settings.kafka.properties
    declared = tuple(stream.declared(settings.dead_letter_topic) for stream in streams)
    identity = Identity(worker_id, new_epoch(), settings.group, settings.placement, declared)
    threads = ThreadPoolExecutor(SCORING_THREADS, "score")
    engines = EngineRegistry(engine_options(settings), records_flow=False)
    cache = ArtifactCache(settings.artifacts.cache_dir, settings.artifacts.cache_bytes)
    live = LiveModels(lambda model: _close_in(threads, model))
    limits = LoadLimits(**settings.limits.model_dump())
    swaps = Swaps()
    feed = Feed(
        app,
        channel,
        bootstrap=bootstrap,
        group=settings.group,
        topics={stream.settings.topic: StartAt(stream.settings.start) for stream in streams},
        worker_id=worker_id,
        delivery=settings.delivery,
        static_member=settings.worker_id is not None,
        headers=[stream.settings.topic for stream in streams if stream.wants_headers],
        outputs=[
            *(topic for stream in streams for topic in (stream.plan.result_topic, stream.plan.dark_topic)),
            settings.dead_letter_topic,
        ],
        on_assigned=worker.on_assigned,
        on_revoked=worker.on_revoked,
        properties=properties,
        commit_seconds=settings.commit_interval_ms / 1e3,
        batch_records=settings.max_batch,
        stall_seconds=max(60.0, settings.limits.score_seconds * 6),
        beacon=worker.beacon,
    )
    loader = Loader(fetcher(settings, cache), engines.engine_for, [stream.fields for stream in streams], limits)
    loads = Loads(
        live,
        loader,
        limits.load_seconds,
        lambda version: worker.parts.swapper.wake(version),
        lambda: worker.on_change(None),
    )
    participant = Participant(feed, loads, worker.send, worker_id, identity.epoch, settings.group, worker.give_up)
    routing = Routing(settings.group)
    swapper = Swapper(
        routing,
        loads,
        participant,
        Reports(worker.report, worker_id, identity.epoch),
        placed_here=worker.placed_here,
        positions=worker.positions,
        why_not=worker.why_not,
        on_change=worker.on_change,
        follow=lambda catalogue: worker.parts.jobs.follow(catalogue),
    )
    streams_here = frozenset(stream.settings.name for stream in streams)
    jobs = Jobs(worker.command, worker_id, identity.epoch, streams_here, lambda: _as_json(settings))
    outputs = {stream.settings.topic: (stream.plan.result_topic, stream.plan.dark_topic) for stream in streams}
    return Parts(
        identity=identity,
        prepare=lambda: prepare_topics(bootstrap, properties, outputs, settings.dead_letter_topic, COMMAND_TOPIC),
        control_log=_control_log(settings, app, swapper, cache, worker),
        control_writer=ControlWriter(
            settings.control_topic.name,
            bootstrap=bootstrap,
            worker_id=worker_id,
            properties=properties,
            beacon=worker.beacon,
        ),
        swapper=swapper,
        live=live,
        routing=routing,
        participant=participant,
        jobs=jobs,
        decider_of=_decider_of,
        stream_fields=[frozenset((*stream.plan.numbers, *stream.plan.texts)) for stream in streams],
        feed=feed,
        statistics=_statistics(settings, identity, collector),
        metrics=_metrics(settings, identity, collector, swaps, worker, feed),
        swaps=swaps,
        threads=threads,
        records_flow=engines.records_flow,
        close_engines=engines.close,
    )


def _agent(parts: Parts, streams: list[OpenedStream], collector: Collector) -> ScoringAgent:
    def observe(seen: Observation) -> None:
        series = Series(seen.model.model, seen.model.version, seen.data_type)
        scored, errors = seen.records - seen.errors, seen.errors
        collector.observe_values(series, scored, errors, seen.seconds, seen.timestamps_ms, seen.values, seen.pairs)

    def too_large(output: Output) -> list[int]:
        return parts.feed.oversized(output.topic, output.keys, output.values, output.headers)

    pipelines = {
        stream.settings.topic: stream.pipeline(
            parts.live,
            parts.routing,
            parts.identity.worker,
            parts.decider_of,
            observe,
            collector.dead_letters,
            too_large,
            collector.decided,
        )
        for stream in streams
    }
    return ScoringAgent(pipelines, parts.threads, parts.feed.fail)


def _as_json(settings: Settings) -> str:
    """The settings for a process that works for this worker: without its identity, and with its own metrics off."""
    document = settings.model_dump(mode="json", exclude={"worker_id"})
    document["metrics"]["port"] = None
    return json.dumps(document)


@functools.cache
def _decider_of(name: str) -> Decider | None:
    try:
        return decider_named(name)
    except UnknownDeciderError as error:
        log.warning("decider.unknown", reason=str(error))
        return None


def _close_in(threads: ThreadPoolExecutor, model: LiveModel) -> None:
    threads.submit(model.scorer.close)


def _control_log(
    settings: Settings, app: Any, swapper: Swapper, cache: ArtifactCache, worker: Worker
) -> ControlLog[ControlRecord]:
    def decode(headers: list[Header], key: bytes | None, value: bytes | None) -> ControlRecord:
        """In the log's thread. A payload that comes while the worker runs will be wanted at once, so it is kept."""
        record = decode_record(headers, key, value, settings.control_topic.dialect)
        if not isinstance(record, Announced | Command) or record.payload is None:
            return record
        if worker.parts.control_log.ready.is_set():
            _keep(cache, record.payload)
        return replace(record, payload=None)

    def apply(
        _headers: list[Header], _key: bytes | None, record: ControlRecord, offset: int, timestamp_ms: int
    ) -> None:
        swapper.apply(LogEntry(offset, timestamp_ms, record))

    def begin() -> int:
        """In the log's thread: from a snapshot, if there is one."""
        found = read_start(settings.kafka.bootstrap, settings.kafka.properties, settings.control_topic.name)
        if found is None:
            return 0
        swapper.begin(found)
        return found.offset + 1

    return ControlLog(
        app.crash,
        settings.control_topic.name,
        apply,
        bootstrap=settings.kafka.bootstrap,
        decode=decode,
        begin=begin,
        properties=settings.kafka.properties,
        beacon=worker.beacon,
    )


def _keep(cache: ArtifactCache, payload: bytes) -> None:
    try:
        cache.put(payload)
    except Exception as error:  # the cache saves a read of the log, and is worth no more than that
        log.warning("artifact.not_cached", reason=str(error))


def _statistics(settings: Settings, identity: Identity, collector: Collector) -> StatisticsWriter | None:
    if settings.redis_url is None:
        return None
    return StatisticsWriter(collector, RedisStatistics(settings.redis_url), identity.worker, identity.epoch)


def _metrics(
    settings: Settings, identity: Identity, collector: Collector, swaps: Swaps, worker: Worker, feed: Feed
) -> MetricsServer | None:
    if settings.metrics.port is None:
        return None
    info = {"worker": identity.worker, "epoch": identity.epoch, "version": installed_version("sluice")}
    source = Exposition(info, collector, swaps, worker.serving, feed.statistics)
    try:
        return MetricsServer(source, settings.metrics.host, settings.metrics.port)
    except OSError as error:
        where = f"{settings.metrics.host}:{settings.metrics.port}"
        raise SettingsError(f"the metrics port {where} cannot be had ({error.strerror}); set metrics.port") from error
