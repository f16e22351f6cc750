"""A worker that relays records through the real feed, for fault tests: `python relay_worker.py '{"bootstrap": ...}'`.

Writes `partition:offset|worker` for every record, with its key, to the output topic.
Its events go to stderr, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

import faust
import mode
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from serving.feed import ColumnBatch, Feed, FeedChannel, Output, calm_collector

faulthandler.register(signal.SIGUSR1)  # where is it stuck?
settings: dict[str, Any] = json.loads(sys.argv[1])
sys.argv = sys.argv[:1]
worker: str = settings["worker"]
delay: float = settings.get("delay", 0.0)
poison: bytes | None = settings["poison"].encode() if settings.get("poison") else None
overlap: int = settings.get("overlap", 0)
suffix = b"|" + worker.encode()

structlog.configure(
    processors=[structlog.processors.TimeStamper(fmt=None), structlog.processors.JSONRenderer(default=str)],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
)
log = structlog.get_logger()

app = faust.App(
    f"{settings['group']}-{worker}-commands",
    broker=f"kafka://{settings['bootstrap']}",
    value_serializer="raw",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,  # the harness makes it: faust's own request for it fails on a machine that is very busy
    store="memory://",
    datadir=settings["datadir"],
    agent_supervisor=mode.CrashingSupervisor,
)
commands = app.topic("feed-commands", key_type=bytes, value_type=bytes)


@app.agent(commands)
async def obey(stream: Any) -> None:
    async for _ in stream:
        pass


channel = FeedChannel(app)


async def assigned(keys: list[tuple[str, int]]) -> None:
    log.info("hook.assigned", keys=keys, positions=[feed.position(*key)[0] for key in keys])
    holds = settings.get("holds")
    if holds:
        for key in keys:
            if str(key[1]) in (wanted := read_holds(holds)):
                feed.hold(*key, wanted[str(key[1])])


def read_holds(path: str) -> dict[str, int]:
    return dict(json.loads(Path(path).read_text()))


feed = Feed(
    app,
    channel,
    bootstrap=settings["bootstrap"],
    group=settings["group"],
    topics=settings["topics"],
    worker_id=settings.get("static") or worker,
    static_member=bool(settings.get("static")),
    delivery=settings["delivery"],
    outputs=[settings["output"]],
    on_assigned=assigned,
    on_revoked=lambda keys: log.info("hook.revoked", keys=keys),
    overlap=overlap,
    consumer=settings.get("consumer"),
    producer=settings.get("producer"),
    beacon=app.beacon,
)
running: set[asyncio.Task[None]] = set()
slow_partition: int | None = settings.get("slow_partition")
slow_ones = asyncio.Lock()


async def relay(batch: ColumnBatch) -> None:
    with batch:
        if slow_partition is not None:
            if batch.partition == slow_partition:
                async with slow_ones:  # one after the other, in order
                    await asyncio.sleep(delay)
        elif overlap:
            await asyncio.sleep(delay * (1 + batch.offsets[0] % 3))  # so that batches come back out of order
        elif delay:
            await asyncio.sleep(delay)
        if poison is not None and poison in batch.values:
            raise ValueError("a poison record")
        if settings.get("plain"):
            batch.done(Output(settings["output"], batch.keys, batch.values))
        else:
            results = [b"%d:%d%s" % (batch.partition, offset, suffix) for offset in batch.offsets]
            batch.done(Output(settings["output"], batch.keys, results))


@app.agent(channel, concurrency=1)
async def relay_all(stream: Any) -> None:
    async for batch in stream:
        if overlap:
            task = asyncio.create_task(relay(batch))
            running.add(task)
            task.add_done_callback(running.discard)
        else:
            await relay(batch)


@app.task
async def start(app: Any) -> None:
    calm_collector()
    await app.add_runtime_dependency(feed)


@app.timer(settings.get("report_seconds", 2.0))
async def report() -> None:
    found = feed.statistics()
    log.info(
        "statistics",
        cpu=time.process_time(),
        records=found.records,
        outputs=found.outputs,
        commits=found.commits,
        aborts=found.aborts,
        revokes=found.revokes,
        lost=found.lost,
        rewinds=found.rewinds,
        longest_read=round(found.longest_read_seconds, 4),
        lag=sum((found.lag or {}).values()),
    )


faust.Worker(app, loglevel="warning", quiet=True).execute_from_commandline()
