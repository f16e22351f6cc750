"""Topics of a run: made, counted, dropped."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.records import PARTITIONS

_NEW_TOPIC = (
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
)
_QUIET = 0  # of syslog's levels: a broker that ends before its clients is no news
CONTROL = {"max.message.bytes": "20971520"}


class Topics:
    """Of one broker. What others make in their names' shade (`<ours>-...`) is dropped with them."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": _QUIET})
        self._watcher = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "benchmarks",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": _QUIET,
            }
        )

    @contextmanager
    def new(self, name: str, partitions: int = PARTITIONS, **config: str) -> Iterator[str]:
        """A topic that lives as long as the block."""
        topic = f"bench-{uuid.uuid4().hex[:8]}-{name}"
        self._admin.create_topics([NewTopic(topic, partitions, 1, config=config)], operation_timeout=30)[topic].result()
        try:
            yield topic
        finally:
            self._drop(topic)

    def _drop(self, topic: str) -> None:
        known = self._admin.list_topics(timeout=30).topics
        doomed = [name for name in known if name == topic or name.startswith(f"{topic}-")]
        for future in self._admin.delete_topics(doomed, operation_timeout=30).values() if doomed else ():
            with contextlib.suppress(KafkaException):  # a system that still ends may have dropped it, or made it again
                future.result()

    def ends(self, topic: str, partitions: int = PARTITIONS) -> list[int]:
        """End offsets as a reader of committed results sees them."""
        return [self._end(topic, partition) for partition in range(partitions)]

    def count(self, topic: str, partitions: int = PARTITIONS) -> int:
        """Sum of the end offsets; a partition whose leader is not known yet has none."""
        return sum(self.ends(topic, partitions))

    def _end(self, topic: str, partition: int) -> int:
        deadline = time.monotonic() + 60
        while True:
            try:
                return int(self._watcher.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1])
            except KafkaException as error:
                code = error.args[0].code()
                if code in _NEW_TOPIC:
                    self._watcher.list_topics(topic, timeout=20)  # the client keeps that it did not know the topic
                    return 0
                if code != KafkaError._TIMED_OUT or time.monotonic() > deadline:
                    raise
