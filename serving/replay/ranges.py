"""The records of a job: its ranges, cut to what the topic has, and read batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from numpy.typing import NDArray

from model_store.core.jobs import Ranges, TimeRange
from serving.feed.retrying import error_of, is_passing
from serving.feed.runs import Header
from serving.feed.settings import Properties
from serving.replay.errors import JobFailedError, JobRefusedError

_ANSWER_SECONDS = 30.0
_STILL_SECONDS = 60.0
_TURN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Slice:
    """Records of one partition that are there.

    Attributes:
        partition: Of the data topic.
        first: Offset of the first record, or one before it.
        end: Offset after the last one, more than `first`.
    """

    partition: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of a job's ranges.

    Attributes:
        slices: What will be read.
        gone: (partition, first, end) of what was asked for and the topic no longer has, or does not have yet.
    """

    slices: tuple[Slice, ...]
    gone: tuple[Slice, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition, in order, as columns of equal length.

    Attributes:
        partition: Of the data topic.
        offsets: int64 (n,), rising.
        timestamps: int64 (n,), milliseconds since 1970 UTC, -1 where a record has none.
        values: One a record; `None` is a tombstone.
        keys: One a record, or `None`.
        headers: One list a record.
    """

    partition: int
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    headers: Sequence[Sequence[Header]]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.intp]) -> RecordBatch:
        """Some of the records."""
        chosen = rows.tolist()
        return RecordBatch(
            self.partition,
            self.offsets[rows],
            self.timestamps[rows],
            [self.values[i] for i in chosen],
            [self.keys[i] for i in chosen],
            [self.headers[i] for i in chosen],
        )


def replay_consumer(bootstrap: str, properties: Properties) -> Any:
    """A consumer that joins no group, says where partitions end, and buffers little."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",  # the client wants one; without subscribe and commit no group comes to be
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 10,
            "queued.min.messages": 10_000,
            "queued.max.messages.kbytes": 16_384,
            "reconnect.backoff.max.ms": 1_000,
            **properties,
        }
    )


class Topic:
    """Where the partitions of a topic begin and end."""

    def __init__(
        self, bootstrap: str, properties: Properties, name: str, *, answer_seconds: float = _ANSWER_SECONDS
    ) -> None:
        """Nothing is connected to. `answer_seconds` is how long Kafka may take to answer a question."""
        self.name, self._answer_seconds = name, answer_seconds
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **properties})

    def partitions(self) -> int:
        """How many partitions there are.

        Raises:
            JobRefusedError: There is no such topic.
            JobFailedError: Kafka does not answer.
        """
        try:
            # All topics: asking for one by name would have a broker with `auto.create.topics.enable` make it.
            metadata = self._admin.list_topics(timeout=self._answer_seconds).topics.get(self.name)
        except KafkaException as error:
            raise JobFailedError(f"Kafka does not answer: {error_of(error).str()}") from error
        if metadata is None or metadata.error is not None:
            raise JobRefusedError(f"there is no topic {self.name!r}")
        return len(metadata.partitions)

    def lows(self) -> list[int]:
        """The first offset of each partition."""
        return self._offsets(OffsetSpec.earliest())

    def highs(self) -> list[int]:
        """The offset after the last record of each partition, those of open transactions included."""
        return self._offsets(OffsetSpec.latest())

    def at(self, timestamp_ms: int) -> list[int]:
        """The offset of the first record of each partition that is not older; where there is none, the end."""
        found = self._offsets(OffsetSpec.for_timestamp(timestamp_ms))
        return [end if offset < 0 else offset for offset, end in zip(found, self.highs(), strict=True)]

    def _offsets(self, spec: Any) -> list[int]:
        partitions = self.partitions()
        asked = {TopicPartition(self.name, partition): spec for partition in range(partitions)}
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=self._answer_seconds
        )
        try:
            found = {asked.partition: answer.result(self._answer_seconds).offset for asked, answer in answers.items()}
            return [int(found[partition]) for partition in range(partitions)]
        except KafkaException as error:
            raise JobFailedError(
                f"the offsets of topic {self.name!r} cannot be had: {error_of(error).str()}"
            ) from error


def cut(ranges: Ranges, topic: Topic) -> Cut:
    """The job's ranges as far as the topic has them now.

    Raises:
        JobRefusedError: There is no such topic or partition.
        JobFailedError: Kafka does not answer.
    """
    lows, highs = topic.lows(), topic.highs()
    if isinstance(ranges, TimeRange):
        asked = [
            Slice(partition, first, end)
            for partition, (first, end) in enumerate(zip(topic.at(ranges.from_ms), topic.at(ranges.to_ms), strict=True))
            if first < end
        ]
    else:
        asked = [Slice(item.partition, item.first, item.end) for item in ranges]
    slices, gone = [], []
    for item in sorted(asked, key=lambda item: (item.partition, item.first)):
        if item.partition >= len(lows):
            raise JobRefusedError(f"topic {topic.name!r} has no partition {item.partition}: it has {len(lows)}")
        low, high = lows[item.partition], highs[item.partition]
        if item.first < low:
            gone.append(Slice(item.partition, item.first, min(low, item.end)))
        if item.end > high:
            gone.append(Slice(item.partition, max(high, item.first), item.end))
        first, end = max(item.first, low), min(item.end, high)
        if first < end:
            slices.append(Slice(item.partition, first, end))
    return Cut(tuple(slices), tuple(gone))


def read_batches(consumer: Any, topic: str, part: Slice, most: int, check: Callable[[], None]) -> Iterator[RecordBatch]:
    """The records of a slice, in batches of at most `most`. `check` is called often and may raise.

    Raises:
        JobFailedError: Kafka does not give them.
    """
    consumer.assign([TopicPartition(topic, part.partition, part.first)])
    next_offset, deadline = part.first, time.monotonic() + _STILL_SECONDS
    while next_offset < part.end:
        check()
        found = []
        for record in consumer.consume(most, _TURN_SECONDS):
            at = reached(record)
            if at > next_offset:
                next_offset, deadline = at, time.monotonic() + _STILL_SECONDS
            if record.error() is None and record.offset() < part.end:
                found.append(record)
        if found:
            yield _batch(part.partition, found)
        elif time.monotonic() > deadline:
            raise JobFailedError(
                f"{topic}/{part.partition} at {next_offset}: nothing came in {_STILL_SECONDS:g} s; is a transaction open there?"
            )
    consumer.unassign()


def reached(record: Any) -> int:
    """The offset after a record, or the one that the end of a partition was seen at; -1 for an error that passes.

    Raises:
        JobFailedError: Any other error.
    """
    error = record.error()
    if error is None:
        return int(record.offset()) + 1
    if error.code() == KafkaError._PARTITION_EOF:
        return int(record.offset())
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        raise JobFailedError(f"{record.topic()}/{record.partition()}: records were deleted while they were read")
    if not is_passing(error):
        raise JobFailedError(f"{record.topic()}/{record.partition()} cannot be read: {error.str()}")
    return -1


def _batch(partition: int, records: Sequence[Any]) -> RecordBatch:
    return RecordBatch(
        partition,
        np.array([record.offset() for record in records], np.int64),
        np.array([record.timestamp()[1] for record in records], np.int64),
        [record.value() for record in records],
        [record.key() for record in records],
        [record.headers() or () for record in records],
    )
