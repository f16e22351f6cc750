"""Results and dead letters read straight from their topics, without a consumer group.

A cursor is the place in every partition, `topic:partition.offset-partition.offset;topic:...`, where each offset is the
next to read: it is the id of each server-sent event, so that a client that comes back misses nothing and sees nothing
twice, and it is as good on another replica. What one reading may hold in memory is bounded by librdkafka's queue, set
small here; records are fetched only as they are taken.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from control_api.errors import BAD_REQUEST, KAFKA_DOWN, ApiError
from control_api.ports import Position, TopicRecord

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

_TIMEOUT_SECONDS = 5.0
_LOOK_SECONDS = 5.0
_CHUNK_RECORDS = 200
_CHUNK_BYTES = 131_072
_PART = re.compile(r"([A-Za-z0-9._-]{1,249}):((?:\d{1,9}\.\d{1,18})(?:-\d{1,9}\.\d{1,18})*)")


def encode_cursor(places: Mapping[Position, int]) -> str:
    """The cursor of the next offset for each partition."""
    topics: dict[str, list[str]] = {}
    for (topic, partition), offset in sorted(places.items()):
        topics.setdefault(topic, []).append(f"{partition}.{offset}")
    return ";".join(f"{topic}:{'-'.join(parts)}" for topic, parts in topics.items())


def decode_cursor(cursor: str) -> dict[Position, int]:
    """Inverse of `encode_cursor`.

    Raises:
        ApiError: `BAD_REQUEST` if it is none.
    """
    places: dict[Position, int] = {}
    for text in cursor.split(";") if cursor else ():
        match = _PART.fullmatch(text)
        if match is None:
            raise ApiError(BAD_REQUEST, "the cursor (Last-Event-ID or after) is not one that this API returned")
        for place in match.group(2).split("-"):
            partition, offset = place.split(".")
            places[match.group(1), int(partition)] = int(offset)
    return places


class KafkaTopics:
    """See `Topics`. At most `limit` threads read at one time."""

    def __init__(self, kafka: Mapping[str, Any], limit: int) -> None:
        self._kafka = dict(kafka)
        self._threads = anyio.CapacityLimiter(limit)

    async def last(self, topics: Sequence[str], count: int) -> tuple[list[TopicRecord], str]:
        """See `Topics.last`."""
        return await self._in_thread(lambda: self._last(tuple(topics), count))

    async def at(self, topic: str, partition: int, offset: int) -> TopicRecord | None:
        """See `Topics.at`."""
        return await self._in_thread(lambda: self._at(topic, partition, offset))

    async def tail(self, topics: Sequence[str], cursor: str | None) -> KafkaTail:
        """See `Topics.tail`."""
        resume = decode_cursor(cursor) if cursor else {}
        consumer, places = await self._in_thread(lambda: self._open(tuple(topics), resume))
        return KafkaTail(consumer, tuple(topics), places, self._threads)

    async def _in_thread(self, function: Callable[[], Result]) -> Result:
        try:
            return await anyio.to_thread.run_sync(function, limiter=self._threads)
        except KafkaException as error:
            raise ApiError(KAFKA_DOWN, f"Kafka does not answer: {error}", retry_after_seconds=5) from error

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self._kafka,
                "group.id": "sluice-control-api",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                "fetch.message.max.bytes": 262_144,
                "queued.max.messages.kbytes": 512,
                "queued.min.messages": 100,
                "reconnect.backoff.max.ms": 1000,
            }
        )

    def _open(self, topics: Sequence[str], resume: Mapping[Position, int]) -> tuple[Consumer, dict[Position, int]]:
        consumer = self._consumer()
        try:
            places = {
                position: min(max(resume.get(position, high), low), high)
                for position, (low, high) in _bounds(consumer, topics).items()
            }
            if places:
                consumer.incremental_assign([TopicPartition(t, p, offset) for (t, p), offset in places.items()])
        except BaseException:
            consumer.close()
            raise
        return consumer, places

    def _at(self, topic: str, partition: int, offset: int) -> TopicRecord | None:
        consumer = self._consumer()
        try:
            low, high = _bounds(consumer, [topic]).get((topic, partition), (0, 0))
            if not low <= offset < high:
                return None
            consumer.assign([TopicPartition(topic, partition, offset)])
            deadline = time.monotonic() + _TIMEOUT_SECONDS
            while time.monotonic() < deadline:
                message = consumer.poll(0.2)
                if message is None:
                    continue
                if message.error() is None:
                    return topic_record(message) if message.offset() == offset else None
                if message.error().code() == KafkaError._PARTITION_EOF:
                    return None
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        finally:
            consumer.close()

    def _last(self, topics: Sequence[str], count: int) -> tuple[list[TopicRecord], str]:
        consumer = self._consumer()
        try:
            bounds = _bounds(consumer, topics)
            start = {position: max(low, high - count) for position, (low, high) in bounds.items()}
            behind = {position for position, (low, high) in bounds.items() if high > low}
            consumer.assign([TopicPartition(t, p, start[t, p]) for t, p in behind])
            records: list[TopicRecord] = []
            deadline = time.monotonic() + _TIMEOUT_SECONDS
            while behind:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                for message in consumer.consume(500, 0.2):
                    position = (message.topic(), message.partition())
                    if message.error() is None:
                        records.append(topic_record(message))
                        if message.offset() >= bounds[position][1] - 1:
                            behind.discard(position)
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        behind.discard(position)
            records = [r for r in records if r.offset < bounds[r.topic, r.partition][1]]
            records.sort(key=lambda r: (r.timestamp_ms, r.topic, r.partition, r.offset))
            return records[-count:], encode_cursor({position: high for position, (_, high) in bounds.items()})
        finally:
            consumer.close()


class KafkaTail:
    """See `Tail`. Topics and partitions that are made later are found every few seconds and read from their start."""

    def __init__(
        self,
        consumer: Consumer,
        topics: tuple[str, ...],
        places: dict[Position, int],
        threads: anyio.CapacityLimiter,
    ) -> None:
        self._consumer: Consumer | None = consumer
        self._topics = topics
        self._places = places
        self._threads = threads
        self._looked_at = time.monotonic()

    async def read(self, timeout_seconds: float) -> Sequence[TopicRecord]:
        """See `Tail.read`."""
        return await anyio.to_thread.run_sync(self._read, timeout_seconds, limiter=self._threads)

    def advance(self, record: TopicRecord) -> str:
        """See `Tail.advance`."""
        self._places[record.topic, record.partition] = record.offset + 1
        return encode_cursor(self._places)

    async def close(self) -> None:
        """See `Tail.close`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await anyio.to_thread.run_sync(consumer.close)

    def _read(self, timeout_seconds: float) -> list[TopicRecord]:
        consumer = self._consumer
        if consumer is None:
            return []
        if time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._look_for_partitions(consumer)
        if not self._places:
            time.sleep(timeout_seconds)
            return []
        return list(_some(consumer, timeout_seconds))

    def _look_for_partitions(self, consumer: Consumer) -> None:
        try:
            new = {p: low for p, (low, _) in _bounds(consumer, self._topics).items() if p not in self._places}
        except KafkaException as error:
            log.info("tail.unreachable", topics=self._topics, reason=str(error))
            return
        if new:
            self._places |= new
            consumer.incremental_assign([TopicPartition(t, p, offset) for (t, p), offset in new.items()])


def _some(consumer: Consumer, timeout_seconds: float) -> Iterator[TopicRecord]:
    """What comes in time, and what has come by then: `_CHUNK_RECORDS` at most, and no more beyond `_CHUNK_BYTES`."""
    taken_bytes = 0
    for _ in range(_CHUNK_RECORDS):
        message = consumer.poll(timeout_seconds)
        if message is None:
            return
        timeout_seconds = 0.0
        if message.error() is None:
            record = topic_record(message)
            yield record
            taken_bytes += len(record.value or b"")
            if taken_bytes > _CHUNK_BYTES:
                return


def topic_record(message: Message) -> TopicRecord:
    """A message without an error, as a value."""
    return TopicRecord(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=tuple((name, value) for name, value in message.headers() or ()),
    )


def _bounds(consumer: Consumer, topics: Iterable[str]) -> dict[Position, tuple[int, int]]:
    """First offset and end of each partition of the topics that exist."""
    bounds: dict[Position, tuple[int, int]] = {}
    for topic in topics:
        found = consumer.list_topics(topic, _TIMEOUT_SECONDS).topics[topic]
        if found.error is None:
            for partition in found.partitions:
                place = TopicPartition(topic, partition)
                bounds[topic, partition] = consumer.get_watermark_offsets(place, _TIMEOUT_SECONDS)
    return bounds
