"""Topics of a run: made, counted, read to the end, dropped."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
_NEW_TOPIC = (KafkaError._UNKNOWN_PARTITION, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART)


class Topics:
    """Of one broker."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._watcher = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "benchmarks", "enable.auto.commit": False}
        )

    @contextmanager
    def new(self, name: str, partitions: int = PARTITIONS, **config: str) -> Iterator[str]:
        """A topic that lives as long as the block."""
        topic = f"bench-{name}-{uuid.uuid4().hex[:8]}"
        self._admin.create_topics([NewTopic(topic, partitions, 1, config=config)], operation_timeout=30)[topic].result()
        try:
            yield topic
        finally:
            for future in self._admin.delete_topics([topic], operation_timeout=30).values():
                try:
                    future.result()
                except KafkaException as error:
                    print(f"could not drop {topic}: {error}")

    def count(self, topic: str, partitions: int = PARTITIONS) -> int:
        """Sum of the end offsets; a partition whose leader is not known yet has none."""
        return sum(self._end(topic, partition) for partition in range(partitions))

    def _end(self, topic: str, partition: int) -> int:
        try:
            return int(self._watcher.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1])
        except KafkaException as error:
            if error.args[0].code() in _NEW_TOPIC:
                self._watcher.list_topics(topic, timeout=10)  # the client keeps that it did not know the topic
                return 0
            raise

    def read(
        self, topic: str, count: int, timeout_seconds: float, partitions: int = PARTITIONS
    ) -> Iterator[list[Message]]:
        """All records from the start, in chunks, until `count` came or time is up."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "benchmarks-reader",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 5,
                "queued.min.messages": 100_000,
            }
        )
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        got, deadline = 0, time.monotonic() + timeout_seconds
        try:
            while got < count and time.monotonic() < deadline:
                chunk = consumer.consume(5_000, 0.2)
                got += len(chunk)
                if chunk:
                    yield chunk
        finally:
            consumer.close()
