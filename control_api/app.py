"""The application: the only place where the parts are put together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_api.adapters.kafka_groups import FRESH_SECONDS, KafkaGroups
from control_api.adapters.kafka_log import ControlLogFollower, ControlLogReader, ControlLogWriter
from control_api.adapters.kafka_topics import KafkaTopics
from control_api.adapters.redis_replays import NoReplays, RedisReplays
from control_api.adapters.statistics import NoStatistics, StatisticsReader
from control_api.core.happenings import Happenings
from control_api.core.log_events import events_of
from control_api.core.past import Past
from control_api.driver import Driver
from control_api.errors import INVALID, PROBLEM_JSON, install_error_handlers
from control_api.parts import Parts
from control_api.ports import LogRecord
from control_api.reading import refuse_unknown_parameters
from control_api.routes import (
    aliases,
    decisions,
    deployments,
    events,
    jobs,
    models,
    operations,
    probes,
    problems,
    publishing,
    registry,
    rollouts,
    stats,
    streams,
    workers,
)
from control_api.schemas.problem import ProblemDetails, answers
from control_api.schemas.shape import rfc3339
from control_api.settings import Settings
from control_api.snapshots import Snapshots
from control_api.sse import EventStreams
from control_api.telemetry import Metrics, RequestTelemetry
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.wire import decode_record
from model_store.snapshot_start import read_start
from model_store.stats_store import RedisStatistics

log = structlog.get_logger(__name__)

_REDIS_SECONDS = 1.0
# A name may hold slashes, so the longer paths come first.
_ROUTES = (
    publishing,
    aliases,
    registry,
    models,
    rollouts,
    deployments,
    decisions,
    jobs,
    workers,
    operations,
    stats,
    streams,
    events,
    probes,
    problems,
)
_DESCRIPTION = """
Publish models for the data types of a stream, see what serves where and since when, and how well.

Every error is `application/problem+json`. Every write answers with `X-Control-Offset`; a read with that number as
`min_control_offset` sees the write. Lists come in pages (`max_results`, `page_token`). Unknown parameters and members are
refused. Reads have an `ETag`: with `If-None-Match`, an unchanged answer costs no bytes. What can be changed has a `revision`;
with `If-Match`, a write is done only if nobody was faster, through whichever replica. `dry_run=true` on a write answers what
would happen. Writes that take time answer 202 with an operation.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects to nothing before its lifespan begins."""
    metrics = Metrics()
    streams_open = EventStreams(settings.limits.followers, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            app.state.parts = await _assemble(settings, metrics, streams_open, stack)
            yield
            streams_open.stop()

    app = FastAPI(
        title="Sluice control API",
        version=_version(),
        summary="Which model scores which stream.",
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.streams = streams_open
    app.add_middleware(RequestTelemetry, metrics=metrics)
    install_error_handlers(app)
    for each in _ROUTES:
        app.include_router(each.router, dependencies=[Depends(refuse_unknown_parameters)])
    _document_problems(app)
    return app


async def _assemble(
    settings: Settings, metrics: Metrics, streams_open: EventStreams, stack: contextlib.AsyncExitStack
) -> Parts:
    kafka = {
        "bootstrap.servers": settings.kafka.bootstrap,
        "client.id": "sluice-control-api",
        "log_level": 3,
        **settings.kafka.properties,
    }
    topic = settings.control_topic.name
    happenings, past = Happenings(settings.limits.events_kept), Past()
    follower = ControlLogFollower[Catalogue](
        kafka, topic, _folding(settings, happenings, past), lambda: EMPTY, _beginning(settings)
    )
    writer = ControlLogWriter(kafka, topic, settings.waits.publish_seconds)
    stack.push_async_callback(writer.close)
    parts = Parts(
        settings=settings,
        metrics=metrics,
        follower=follower,
        log_reader=ControlLogReader(kafka, topic),
        publisher=writer,
        groups=KafkaGroups(kafka),
        topics=KafkaTopics(kafka, settings.limits.followers + 8),
        replays=NoReplays(),
        statistics=NoStatistics(),
        happenings=happenings,
        streams=streams_open,
        past=past,
    )
    if settings.redis_url is not None:
        redis = Redis.from_url(
            settings.redis_url,
            socket_timeout=_REDIS_SECONDS,
            socket_connect_timeout=_REDIS_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        stack.push_async_callback(redis.aclose)
        store = RedisStatistics(settings.redis_url)
        stack.callback(store.close)
        parts.replays, parts.statistics = RedisReplays(redis), StatisticsReader(store)
    follower.start()
    stack.push_async_callback(follower.stop)
    for task in (_watch_members(parts), Driver(parts).run(), Snapshots(parts).run()):
        stack.push_async_callback(_cancel, asyncio.create_task(task))
    return parts


def _beginning(settings: Settings) -> Callable[[], tuple[Catalogue, int] | None]:
    """From the newest snapshot, if there is one."""

    def begin() -> tuple[Catalogue, int] | None:
        found = read_start(settings.kafka.bootstrap, settings.kafka.properties, settings.control_topic.name)
        return None if found is None else (found, found.offset)

    return begin


def _folding(settings: Settings, happenings: Happenings, past: Past) -> Callable[[Catalogue, LogRecord], Catalogue]:
    dialect = settings.control_topic.dialect

    def step(catalogue: Catalogue, record: LogRecord) -> Catalogue:
        control_record = decode_record(record.headers, record.key, record.value, dialect)
        entry = LogEntry(record.offset, record.timestamp_ms, control_record)
        after = fold(catalogue, entry)
        past.note(catalogue, after, entry.timestamp_ms)
        events = events_of(entry, catalogue, after)
        for number, (kind, data) in enumerate(events, 1):
            happenings.note(entry.offset if number == len(events) else None, kind, data)
        return after

    return step


async def _watch_members(parts: Parts) -> None:
    """Notice workers that go: nothing on the control log says so."""
    known: frozenset[str] | None = None
    while True:
        if parts.is_ready:
            membership = await parts.membership()
            if membership.is_current:
                for worker in sorted((known or frozenset()) - membership.live):
                    at = rfc3339(time.time_ns() // 1_000_000)
                    parts.happenings.note(None, "worker-gone", {"worker": worker, "at": at})
                    log.info("worker.gone", worker=worker)
                known = membership.live
        await asyncio.sleep(FRESH_SECONDS)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _document_problems(app: FastAPI) -> None:
    """Name the shape of errors in the OpenAPI document, instead of FastAPI's own, which never occurs here."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                license_info=app.license_info,
                routes=app.routes,
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            problem = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= {**problem.pop("$defs", {}), "ProblemDetails": problem}
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            for operations in document["paths"].values():
                for operation in operations.values():
                    _document_invalid(operation["responses"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document.


def _document_invalid(responses: dict[str, Any]) -> None:
    """Any path refuses parameters that it does not know; FastAPI would describe its own shape of that."""
    if PROBLEM_JSON not in responses.get("422", {}).get("content", {}):
        responses["422"] = answers(INVALID)[422]


def _version() -> str:
    try:
        return version("sluice")
    except PackageNotFoundError:
        return "0"
