"""The load: protobuf wine records, about 105 bytes with a 24-byte key that says which record it is and when it was sent."""

from __future__ import annotations

import time

from confluent_kafka import Producer
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sluice.demo.wine import DESCRIPTOR_SET, FEATURES, MESSAGE, Wines, make_wines

KEY_BYTES = 24
_CHUNK = 4_000


def message_class() -> type:
    """The generated class of the demo's wine record."""
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))


def wine_values(wines: Wines | None = None) -> list[bytes]:
    """One serialised record a bottle, all of data type `wine`."""
    record = message_class()
    wines = wines or make_wines()
    return [
        record(**dict(zip(FEATURES, row.tolist(), strict=True)), data_type="wine").SerializeToString()
        for row in wines.matrix
    ]


def key(index: int, sent_us: int = 0) -> bytes:
    """16 hexadecimal digits of the sending time in microseconds, 8 of the index."""
    return b"%08x%016x" % (index, sent_us)


def fill(bootstrap: str, topic: str, partitions: int, count: int) -> None:
    """Write `count` records, evenly over the partitions, and wait until the broker has all of them."""
    values = wine_values()
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "queue.buffering.max.messages": 2_000_000}
    )
    failed: list[str] = []
    for start in range(0, count, _CHUNK):
        for partition in range(partitions):
            todo = [
                {"key": key(i), "value": values[i % len(values)]}
                for i in range(start + partition, min(count, start + _CHUNK), partitions)
            ]
            while todo and producer.produce_batch(topic, todo, partition=partition, on_delivery=_note(failed)) < len(
                todo
            ):
                todo = [message for message in todo if message.pop("_error", None) is not None]
                producer.poll(0.05)
        producer.poll(0)
    left = producer.flush(120)
    if left or failed:
        raise RuntimeError(f"{left} records were not written, {len(failed)} were refused: {failed[:1]}")


def _note(failed: list[str]):
    def report(error, _message) -> None:
        if error is not None:
            failed.append(error.str())

    return report


class Pacer:
    """Sends records at a fixed rate, stamped with the time of sending; one object a run."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._values = wine_values()
        self._topic, self._partitions = topic, partitions
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "acks": "all"})
        self.sent = 0

    def run(self, rate: int, seconds: float) -> None:
        """Blocks for `seconds`; records go out in steps of a millisecond or one record, whichever is longer."""
        begin, first, total = time.perf_counter(), self.sent, int(rate * seconds)
        while (done := self.sent - first) < total:
            due = min(total, int((time.perf_counter() - begin) * rate) + 1)
            for _ in range(due - done):
                stamp = time.time_ns() // 1_000
                self._producer.produce(
                    self._topic,
                    self._values[self.sent % len(self._values)],
                    key(self.sent, stamp),
                    partition=self.sent % self._partitions,
                )
                self.sent += 1
            self._producer.poll(0)
            time.sleep(max(0.0, begin + (self.sent - first) / rate - time.perf_counter()))
        self._producer.flush(30)
