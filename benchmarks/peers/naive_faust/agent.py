"""The Faust application of both: an agent that decodes a record, asks the model, and sends the result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import faust

from benchmarks.peers.python.run import say_ready, this_run
from benchmarks.peers.python.schema import ScoreResult, WineRecord
from benchmarks.peers.python.served import Follower

Score = Callable[[Any], float | list[float]]


def work(load: Callable[[bytes], Score]) -> None:
    """Until SIGTERM. `load` makes of an artifact what scores one `WineRecord`."""
    run = this_run()
    follower = Follower(run, load)
    app = faust.App(
        run.group,
        broker=f"kafka://{run.bootstrap}",
        datadir=run.state,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        producer_acks=-1,
        producer_linger=0.005,
        topic_partitions=4,
    )
    source = app.topic(run.input, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    sink = app.topic(run.output, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(source)
    async def score(stream: Any) -> None:
        async for event in stream.events():
            record, message, served = WineRecord.FromString(event.value), event.message, follower.served
            result = ScoreResult(
                **served.provenance(run),
                data_type=record.data_type,
                partition=message.partition,
                offset=message.offset,
                record_timestamp_ms=round(message.timestamp * 1_000),
            )
            found = served.score(record)
            if isinstance(found, list):
                result.scores.extend(found)
            else:
                result.prediction = found
            await sink.send(key=event.key, value=result.SerializeToString())

    @app.on_partitions_assigned.connect
    async def say(*_arguments: Any, **_named: Any) -> None:
        say_ready()

    sys.argv = ["naive-faust", "worker", "--loglevel", "warn"]
    app.main()
