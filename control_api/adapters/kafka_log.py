"""The control log: all of it read from the start by a consumer of our own, and new records written to it.

Theory of operation: the follower's thread assigns the log's one partition from its beginning, without a consumer group,
and folds every record into an immutable state; after each batch it swaps one reference and wakes the event loop, so that
readers on the loop see whole states only. It is caught up once it reached the end of the log as it was at start (the
`PARTITION_EOF` event, which is right with transaction markers and gaps too). An outage changes nothing: librdkafka
connects again by itself and goes on at the next offset. If the log itself was replaced (its offsets are gone), the state
is built anew from the beginning. An error in the fold is a defect, is kept as `failure`, and makes the replica unready.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import anyio.to_thread
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from control_api.errors import KAFKA_DOWN, TOO_LARGE, ApiError
from control_api.ports import LogRecord
from model_store.collector import collector_at_rest

log = structlog.get_logger(__name__)

State = TypeVar("State")

MAX_MESSAGE_BYTES = 20 * 1024 * 1024
_CHUNK_RECORDS = 500
TOPIC_CONFIG = {
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
}


class ControlLogFollower(Generic[State]):
    """Folds the control log; see the module's docstring. `start`, `stop` and the waits belong to one event loop."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topic: str,
        fold: Callable[[State, LogRecord], State],
        initial: Callable[[], State],
        begin: Callable[[], tuple[State, int] | None] = lambda: None,
    ) -> None:
        """Nothing is read before `start`.

        Args:
            kafka: Properties of the client.
            topic: The control topic.
            fold: The state after one more record; called in the follower's thread.
            initial: The state before the first record.
            begin: Asked in the follower's thread before the log is read from its beginning: a state and the offset that it
                stands at, from where reading goes on instead, or `None`. Must not raise.
        """
        self._kafka = dict(kafka)
        self._topic = topic
        self._fold = fold
        self._initial = initial
        self._begin = begin
        self._snapshot: tuple[State, int] = (initial(), -1)
        self._quit = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control-log", daemon=True)
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_caught_up = False
        self.failure: str | None = None

    @property
    def state(self) -> State:
        """The fold of the log up to `applied_offset`."""
        return self._snapshot[0]

    @property
    def applied_offset(self) -> int:
        """The last offset that is in `state`; -1 before any."""
        return self._snapshot[1]

    @property
    def snapshot(self) -> tuple[State, int]:
        """`state` and `applied_offset` of one moment."""
        return self._snapshot

    def start(self) -> None:
        """Begin to read; returns at once."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """End the thread."""
        self._quit.set()
        await anyio.to_thread.run_sync(self._thread.join, 10.0)

    async def wait_change(self, timeout_seconds: float) -> bool:
        """Until the state changes next; whether it did in time."""
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await changed.wait()
        return changed.is_set()

    async def wait_applied(self, offset: int, timeout_seconds: float) -> bool:
        """Until `offset` is in the state; whether it was in time."""
        deadline = time.monotonic() + timeout_seconds
        while self.applied_offset < offset:
            left = deadline - time.monotonic()
            if left <= 0 or (not await self.wait_change(left) and self.applied_offset < offset):
                return self.applied_offset >= offset
        return True

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _wake(self) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # The loop may be closed while the process stops.
            self._loop.call_soon_threadsafe(self._notify)

    def _run(self) -> None:
        while not self._quit.is_set():
            try:
                self._follow()
            except KafkaException as error:
                log.warning("control_log.interrupted", topic=self._topic, reason=str(error))
                self._quit.wait(1.0)
            except Exception as error:
                self.failure = f"{type(error).__name__}: {error}"
                log.error("control_log.failed", topic=self._topic, exc_info=error)
                self._wake()
                return

    def _follow(self) -> None:
        consumer = Consumer(
            {
                **self._kafka,
                "group.id": "sluice-control-api",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                "reconnect.backoff.max.ms": 1000,
                "topic.metadata.refresh.interval.ms": 5000,
                "queued.max.messages.kbytes": 65536,
            }
        )
        at_rest = contextlib.ExitStack()
        at_rest.enter_context(collector_at_rest())  # until the log is read: half of the cost of a long one
        try:
            if not self._await_topic(consumer):
                return
            if self.applied_offset < 0 and (found := self._begin()) is not None:
                self._snapshot = found
            consumer.assign([TopicPartition(self._topic, 0, self._next_offset())])
            while not self._quit.is_set():
                first = consumer.poll(0.1)  # `consume` alone would wait for as many as it may take
                if first is not None:
                    self._take([first, *consumer.consume(_CHUNK_RECORDS - 1, 0)])
                if self.is_caught_up:
                    at_rest.close()
        except _LogReplacedError:
            log.warning("control_log.replaced", topic=self._topic)
            self._snapshot = (self._initial(), -1)
            self._wake()
        finally:
            at_rest.close()
            consumer.close()

    def _next_offset(self) -> int:
        return OFFSET_BEGINNING if self.applied_offset < 0 else self.applied_offset + 1

    def _await_topic(self, consumer: Consumer) -> bool:
        while not self._quit.is_set():
            try:
                found = consumer.list_topics(self._topic, 2.0).topics[self._topic]
            except KafkaException as error:
                log.warning("control_log.unreachable", topic=self._topic, reason=str(error))
                self._quit.wait(0.5)
                continue
            if found.error is None and found.partitions:
                return True
            self._create_topic()
        return False

    def _create_topic(self) -> None:
        admin = AdminClient(self._kafka)
        topic = NewTopic(self._topic, num_partitions=1, config=TOPIC_CONFIG)
        try:
            admin.create_topics([topic])[self._topic].result(10.0)
            log.info("control_log.created", topic=self._topic)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                log.warning("control_log.not_created", topic=self._topic, reason=str(error))
        self._quit.wait(0.2)

    def _take(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        state, applied = self._snapshot
        reached_end = False
        for message in messages:
            error = message.error()
            if error is None:
                record = log_record(message)
                state, applied = self._fold(state, record), record.offset
            elif error.code() == KafkaError._PARTITION_EOF:
                applied = max(applied, message.offset() - 1)
                reached_end = True
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise _LogReplacedError
            elif error.fatal():
                raise KafkaException(error)
        if reached_end and not self.is_caught_up:
            log.info("control_log.caught_up", topic=self._topic, offset=applied)
            self.is_caught_up = True
        self._snapshot = (state, applied)
        self._wake()


class _LogReplacedError(Exception):
    """The log no longer has the offset we are at."""


def log_record(message: Message) -> LogRecord:
    """A message without an error, as a value."""
    return LogRecord(
        offset=message.offset(),
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=tuple((name, value) for name, value in message.headers() or ()),
    )


class ControlLogReader:
    """Reads single records of the control log again: the catalogue holds no artifacts, the log does."""

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        self._kafka = dict(kafka)
        self._topic = topic

    async def fold_until(
        self, fold: Callable[[State, LogRecord], State], state: State, at_ms: int, timeout_seconds: float = 60.0
    ) -> State:
        """Fold the log from its beginning up to the last record that is not later than an instant.

        Args:
            fold: The state after one more record; called in a thread.
            state: Before the first.
            at_ms: Milliseconds since 1970 UTC; there must be later records on the log.

        Raises:
            ApiError: `KAFKA_DOWN` if the log could not be read in time.
        """
        return await anyio.to_thread.run_sync(self._fold_until, fold, state, at_ms, timeout_seconds)

    def _fold_until(
        self, fold: Callable[[State, LogRecord], State], state: State, at_ms: int, timeout_seconds: float
    ) -> State:
        consumer = Consumer({**self._kafka, "group.id": "sluice-control-api", "enable.auto.commit": False})
        try:
            consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
            deadline = time.monotonic() + timeout_seconds
            while time.monotonic() < deadline:
                for message in consumer.consume(_CHUNK_RECORDS, 0.2):
                    if message.error() is not None:
                        continue
                    record = log_record(message)
                    if record.timestamp_ms > at_ms:
                        return state
                    state = fold(state, record)
        finally:
            consumer.close()
        raise ApiError(
            KAFKA_DOWN,
            f"{self._topic} could not be read back to then in {timeout_seconds:.0f} s",
            retry_after_seconds=5,
        )

    async def read(self, offset: int, timeout_seconds: float = 10.0) -> LogRecord:
        """The record at `offset`.

        Raises:
            ApiError: `KAFKA_DOWN` if it did not come in time.
        """
        record = await anyio.to_thread.run_sync(self._read, offset, timeout_seconds)
        if record is None:
            detail = f"the record at offset {offset} of {self._topic} did not come in {timeout_seconds:.0f} s"
            raise ApiError(KAFKA_DOWN, detail, retry_after_seconds=5)
        return record

    def _read(self, offset: int, timeout_seconds: float) -> LogRecord | None:
        consumer = Consumer(
            {**self._kafka, "group.id": "sluice-control-api", "enable.auto.commit": False, "auto.offset.reset": "error"}
        )
        try:
            consumer.assign([TopicPartition(self._topic, 0, offset)])
            deadline = time.monotonic() + timeout_seconds
            while time.monotonic() < deadline:
                for message in consumer.consume(1, 0.2):
                    if message.error() is None and message.offset() == offset:
                        return log_record(message)
            return None
        finally:
            consumer.close()


class ControlLogWriter:
    """Appends to the control log with an idempotent producer; see `Publisher`."""

    def __init__(self, kafka: Mapping[str, Any], topic: str, timeout_seconds: float = 10.0) -> None:
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._producer = Producer(
            {
                **kafka,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "delivery.timeout.ms": int(timeout_seconds * 1000),
                "reconnect.backoff.max.ms": 1000,
            }
        )

    async def publish(self, key: bytes, value: bytes, headers: Mapping[str, bytes]) -> int:
        """See `Publisher.publish`."""
        return await anyio.to_thread.run_sync(self._publish, key, value, dict(headers))

    async def close(self) -> None:
        """Send what is left."""
        await anyio.to_thread.run_sync(self._producer.flush, self._timeout_seconds)

    def _publish(self, key: bytes, value: bytes, headers: dict[str, bytes]) -> int:
        outcome: list[tuple[KafkaError | None, int]] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            outcome.append((error, -1 if error is not None else message.offset()))

        try:
            self._producer.produce(self._topic, value, key, partition=0, headers=headers or None, on_delivery=delivered)
        except (KafkaException, BufferError) as refused:
            raise _write_error(refused.args[0], len(value)) from refused
        deadline = time.monotonic() + self._timeout_seconds + 5.0
        while not outcome and time.monotonic() < deadline:
            self._producer.poll(0.1)
        error, offset = outcome[0] if outcome else (KafkaError(KafkaError._MSG_TIMED_OUT), -1)
        if error is not None:
            raise _write_error(error, len(value))
        return offset


def _write_error(error: object, size: int) -> ApiError:
    code = error.code() if isinstance(error, KafkaError) else None
    if code in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE):
        return ApiError(TOO_LARGE, f"the descriptor has {size} bytes, more than the control topic takes: {error}")
    detail = f"the control log did not acknowledge the record ({error}); if you retry, use the same Idempotency-Key"
    return ApiError(KAFKA_DOWN, detail, retry_after_seconds=5)
