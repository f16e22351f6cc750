"""The control log: every process reads all of it, from the first record, in the one order that it has.

A consumer of its own, without a group: no rebalances, no commits, nothing to lose. A thread reads and decodes (a 20 MB
record must not stop the loop), hands what it has to the event loop in chunks, and waits until that is applied, so a
slow `apply` holds the reader back. `ready` is set when everything up to the end as first seen was applied; the end is told by
the client's end-of-partition event, which is right also where the last offsets hold no record.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from mode import Service

from model_store.collector import collector_at_rest
from serving.feed.errors import ControlTopicError
from serving.feed.retrying import error_of, is_passing
from serving.feed.runs import Header
from serving.feed.settings import Properties

log = structlog.get_logger(__name__)

Decoded = TypeVar("Decoded")

Decode = Callable[[list[Header], bytes | None, bytes | None], Decoded]
"""`decode(headers, key, value)`; runs in the reader's thread."""

Apply = Callable[[list[Header], bytes | None, Decoded, int, int], None]
"""`apply(headers, key, decoded, offset, timestamp_ms)`; runs on the event loop, in order. Must be short."""

MAX_RECORD_BYTES = 20 * 1024 * 1024
"""Size limit of a record on the control topic."""

TOPIC_CONFIG = {"retention.ms": "-1", "cleanup.policy": "delete", "max.message.bytes": str(MAX_RECORD_BYTES)}
"""What the control topic is made with: the log is the truth, so nothing of it ever goes."""

_CHUNK_RECORDS = 500
_TURN_SECONDS = 0.005
_STOP_SECONDS = 10.0


class ControlLog(Service, Generic[Decoded]):  # type: ignore[misc]  # mode has no type information
    """Applies every record of the control topic, from the first.

    Attributes:
        ready: Set on the event loop once the log was read up to its end as first seen.
        applied: Offset after the record applied last, 0 before the first.
    """

    def __init__(
        self,
        crash: Callable[[BaseException], Awaitable[None]],
        topic: str,
        apply: Apply[Decoded],
        *,
        bootstrap: str,
        decode: Decode[Decoded] | None = None,
        begin: Callable[[], int] | None = None,
        replication_factor: int = -1,
        properties: Properties | None = None,
        **service: Any,
    ) -> None:
        """Nothing is connected to before the service starts.

        Args:
            crash: Awaited with the error that ends the reading (`app.crash`): the topic is unfit, `decode` or `apply` raised.
            apply: See `Apply`. An exception ends the reading.
            decode: See `Decode`. Without it `apply` is given the value as it is.
            begin: Called once in the reader's thread, when the topic is there and before the first record is read: the offset
                to begin at. Without it, or where it answers 0, everything is read.
            replication_factor: For making the topic, if it does not exist; -1 is the broker's default.
            properties: Extra librdkafka properties (security, say).
        """
        super().__init__(**service)
        self.topic = topic
        self.ready = asyncio.Event()
        self.applied = 0
        self._crash_worker = crash
        self._apply = apply
        self._decode = decode
        self._begin = begin
        self._bootstrap = bootstrap
        self._replication_factor = replication_factor
        self._properties = dict(properties or {})
        self._quit = threading.Event()

    async def on_start(self) -> None:
        """Start the reader's thread; `await ready.wait()` for the rest."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._main, name="control-log", daemon=True)
        self._thread.start()

    async def on_stop(self) -> None:
        """Stop reading; what was read and not applied is read again by the next process."""
        self._quit.set()
        if hasattr(self, "_thread"):
            await self._loop.run_in_executor(None, self._thread.join, _STOP_SECONDS)

    def _main(self) -> None:
        try:
            self._ensure_topic()
            self._read()
        except BaseException as error:
            if not self._quit.is_set():
                log.error("control_log.failed", topic=self.topic, error=repr(error))
                asyncio.run_coroutine_threadsafe(_await(self._crash_worker(error)), self._loop)

    def _ensure_topic(self) -> None:
        """Wait for the broker, however long; make the topic if it is not there; refuse one that has no single order."""
        admin = AdminClient({"bootstrap.servers": self._bootstrap, **self._properties})
        complained = time.monotonic()
        while not self._quit.is_set():
            try:
                # All topics: asking for one by name would have a broker with `auto.create.topics.enable` make it, wrongly.
                metadata = admin.list_topics(timeout=5).topics.get(self.topic)
                if metadata is None:
                    self._make_topic(admin)
                elif metadata.error is None and metadata.partitions:
                    count = len(metadata.partitions)
                    if count != 1:
                        raise ControlTopicError(
                            f"the control topic {self.topic!r} has {count} partitions, so its records have no one order; "
                            f"it must have exactly 1: name another topic in the settings, or make this one anew"
                        )
                    self._warn_of_retention(admin)
                    return
            except KafkaException as exception:
                if not is_passing(error_of(exception)):
                    raise
                if time.monotonic() - complained > 10:
                    complained = time.monotonic()
                    log.warning("control_log.waiting", topic=self.topic, error=error_of(exception).str())
            self._quit.wait(0.1)

    def _make_topic(self, admin: Any) -> None:
        new = NewTopic(
            self.topic, num_partitions=1, replication_factor=self._replication_factor, config=dict(TOPIC_CONFIG)
        )
        try:
            admin.create_topics([new])[self.topic].result(30)
            log.info("control_log.topic_made", topic=self.topic)
        except KafkaException as exception:
            if error_of(exception).code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
                raise

    def _warn_of_retention(self, admin: Any) -> None:
        resource = ConfigResource(ResourceType.TOPIC, self.topic)
        config = admin.describe_configs([resource], request_timeout=10)[resource].result(15)
        for name in ("retention.ms", "cleanup.policy"):
            if config[name].value != TOPIC_CONFIG[name]:
                log.warning(
                    "control_log.may_forget",
                    topic=self.topic,
                    setting=name,
                    is_set_to=config[name].value,
                    wanted=TOPIC_CONFIG[name],
                )

    def _read(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "unused",  # the client wants one; without subscribe and commit no group comes to be
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 65_536,
                "reconnect.backoff.max.ms": 1_000,
                **self._properties,
            }
        )
        at_rest = ExitStack()
        at_rest.enter_context(collector_at_rest())
        try:
            first = self._begin() if self._begin is not None else 0
            self.applied = first
            consumer.assign([TopicPartition(self.topic, 0, first or OFFSET_BEGINNING)])
            while not self._quit.is_set():
                first = consumer.poll(0.1)  # `consume` alone would wait for as many as it may take
                if first is None:
                    continue
                chunk, is_at_end = self._take([first, *consumer.consume(_CHUNK_RECORDS - 1, 0)])
                if chunk:
                    self._hand_over(chunk)
                if is_at_end:
                    at_rest.close()
                if is_at_end and not self.ready.is_set():
                    log.info("control_log.caught_up", topic=self.topic, offset=self.applied)
                    self._loop.call_soon_threadsafe(self.ready.set)
        finally:
            at_rest.close()
            consumer.close()

    def _take(self, records: list[Any]) -> tuple[list[tuple[Any, ...]], bool]:
        """Arguments of `apply` by record, and whether the end was reached."""
        chunk = []
        is_at_end = False
        for record in records:
            error = record.error()
            if error is None:
                headers, key, value = record.headers() or [], record.key(), record.value()
                decoded = value if self._decode is None else self._decode(headers, key, value)
                chunk.append((headers, key, decoded, record.offset(), record.timestamp()[1]))
            elif error.code() == KafkaError._PARTITION_EOF:
                is_at_end = True
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise ControlTopicError(
                    f"the control topic {self.topic!r} no longer has offset {self.applied}: it was made anew or its "
                    f"records were deleted; restart the worker to read what is there now ({error.str()})"
                )
            elif not is_passing(error) and error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaException(error)
        return chunk, is_at_end

    def _hand_over(self, chunk: list[tuple[Any, ...]]) -> None:
        """Wait until the loop applied the chunk, or the service stops."""
        applied = asyncio.run_coroutine_threadsafe(self._apply_all(chunk), self._loop)
        while not self._quit.is_set():
            try:
                return applied.result(0.1)
            except concurrent.futures.TimeoutError:
                if applied.done():  # `apply` itself raised a TimeoutError
                    raise
        applied.cancel()
        return None

    async def _apply_all(self, chunk: list[tuple[Any, ...]]) -> None:
        """Apply in order, letting others run every few milliseconds."""
        turn_ends = self._loop.time() + _TURN_SECONDS
        for headers, key, decoded, offset, timestamp_ms in chunk:
            if self._quit.is_set():
                return
            self._apply(headers, key, decoded, offset, timestamp_ms)
            self.applied = offset + 1
            if self._loop.time() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = self._loop.time() + _TURN_SECONDS


async def _await(awaitable: Awaitable[None]) -> None:
    await awaitable
