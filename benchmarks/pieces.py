"""Pieces of the worker by themselves, beside what they took the place of: `python -m benchmarks pieces`.

Each figure is CPU time of the calling thread, the least of some rounds: what a piece can cost, with nothing beside it. In a
worker the same piece is dearer, see the profile.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks.broker import broker
from benchmarks.records import PARTITIONS, fill
from benchmarks.topics import Topics
from serving.feed.bulk_consumer import BulkConsumer
from serving.formats.base import FieldSelection
from serving.formats.layout_decoder import Tuning
from serving.formats.protobuf import ProtobufFormat

_RECORDS, _AT_ONCE, _ROUNDS = 300_000, 4_000, 5
_STEPS = 80_640
_NEVER = Tuning(fewest_records=1 << 30)


def main(_arguments: list[str]) -> int:
    """Print them."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, broker(Path(folder), None) as bootstrap:
        topics = Topics(bootstrap)
        with topics.new("pieces") as topic:
            fill(bootstrap, topic, _RECORDS)
            singly = min(_read_singly(bootstrap, topic) for _ in range(_ROUNDS))
            in_bulk = min(_read_in_bulk(bootstrap, topic) for _ in range(_ROUNDS))
    print(f"reading, the Python client's messages      {singly:8.3f} us a record")
    print(f"reading, in bulk                           {in_bulk:8.3f} us a record")
    exact, learning, by_layout = _windows()
    print(f"a window of {_STEPS:,} floats, exact parser  {exact * 1e3:8.3f} ms")
    print(f"... the first of its length                {learning * 1e3:8.3f} ms")
    print(f"... and those after it                     {by_layout * 1e3:8.3f} ms")
    return 0


@contextmanager
def _consumer(bootstrap: str) -> Iterator[Any]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "pieces",
            "enable.auto.commit": False,
            "queued.min.messages": 50_000,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def _read_singly(bootstrap: str, topic: str) -> float:
    with _consumer(bootstrap) as consumer:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])

        def read() -> int:
            messages = consumer.consume(_AT_ONCE, 0)
            for message in messages:
                (
                    message.error(),
                    message.partition(),
                    message.offset(),
                    message.timestamp(),
                    message.key(),
                    message.value(),
                )
            return len(messages)

        return _cost(read)


def _read_in_bulk(bootstrap: str, topic: str) -> float:
    with _consumer(bootstrap) as consumer:
        bulk = BulkConsumer(consumer)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        for partition in range(PARTITIONS):
            bulk.divert((topic, partition))

        def read() -> int:
            consumer.poll(0)
            runs, _ = bulk.read(_AT_ONCE)
            return sum(len(run.values()) for _, run in runs)

        try:
            return _cost(read)
        finally:
            bulk.close()


def _cost(read: Callable[[], int]) -> float:
    """CPU microseconds of this thread for a record; what finds nothing is waited for and not counted."""
    found, spent = 0, 0.0
    while found < _RECORDS:
        start = time.thread_time()
        count = read()
        if count:
            spent += time.thread_time() - start
            found += count
        else:
            time.sleep(0.001)
    return spent / found * 1e6


def _windows() -> tuple[float, float, float]:
    """Seconds for one window: one by one, the first one, and later ones."""
    file = descriptor_pb2.FileDescriptorProto(name="pieces.proto", package="pieces", syntax="proto3")
    file.message_type.add(name="Window").field.add(name="values", number=1, type=2, label=3)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("pieces.Window"))
    random = np.random.default_rng(1)
    values = [message(values=random.random(_STEPS).tolist()).SerializeToString() for _ in range(20)]
    selection = FieldSelection(features=(f"values[{_STEPS}]",))
    exact = ProtobufFormat(message.DESCRIPTOR, selection, tuning=_NEVER)
    wide = ProtobufFormat(message.DESCRIPTOR, selection)

    def seconds(decoder: ProtobufFormat, value: bytes) -> float:
        start = time.thread_time()
        assert not decoder.decode([value]).bad
        return time.thread_time() - start

    slow = min(seconds(exact, value) for value in values)
    first, *later = (seconds(wide, value) for value in values)
    return slow, first, min(later)
