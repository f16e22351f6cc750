"""Writing outputs: a producer, the counts that prove that nothing was dropped, and the size limits.

Two ways lead to the producer. Single records, those with headers and those without a key go through the Python client, each
with a delivery callback. A batch goes through the C interface of the same client (`bulk`), and only the last record of each
partition has a callback. That is enough, because the producer is idempotent and without gaps: a partition's records are
acknowledged in order, and a record that fails takes all later ones with it (`enable.gapless.guarantee`; in a transaction
the commit fails instead).

What the client does not tell by itself (measured, confluent-kafka 2.16):

* `produce_batch` neither raises for nor reports records it refuses: only its return value and `_error` in the record say
  so. The count is compared after every call.
* Without a delivery callback a failed delivery is silent: `flush()` returns 0 all the same.
* `produce_batch` drops headers without a word, so records with headers go one by one (twice as dear).
* A record over the topic's limit fails at the broker, much later, and ends the worker; so callers ask `oversized` first.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from serving.core.byte_column import ByteColumn
from serving.feed.batch import Output
from serving.feed.bulk import BulkProducer
from serving.feed.errors import OutputRefusedError
from serving.feed.native import UnknownClientError
from serving.feed.partitioning import DEFAULT, last_apart, partitions_of
from serving.feed.runs import Header
from serving.feed.settings import DEFAULT_RECORD_BYTES, OVERHEAD_BYTES, Properties

log = structlog.get_logger(__name__)

Report = Callable[[Any, Any], None]
"""Called with an error or `None`, and a record, in the thread that polls."""

FEWEST_IN_BULK: Final = 48
"""Below so many records the fixed cost of a bulk call is more than it saves (measured: 60 us, 1.3 us a record)."""

_WHY_SECONDS: Final = 1.0
"""The reason of a fatal error comes with the next turn of the client's own thread, as a rule at once."""

_ALL_RETRIES: Final = 2**31 - 1
"""What `retries` is where nobody gave it and the producer is idempotent."""


class Writer:
    """The result producer. `send` and `poll` never wait for the broker, but for a full queue (`send`).

    Attributes:
        producer: The client.
        is_careful: Every record has a callback, so that one that fails says why.
    """

    def __init__(self, properties: Properties, limits: Mapping[str, int], *, full_seconds: float = 60.0) -> None:
        """Args:
        limits: Largest record in bytes by topic (`max.message.bytes`); other topics have `DEFAULT_RECORD_BYTES`.
        full_seconds: How long a full queue is waited for. The feed stops reading long before it fills.
        """
        self._properties = dict(properties)
        self._limits = dict(limits)
        self._full_seconds = full_seconds
        self._polling = threading.Lock()  # delivery callbacks of one batch never run in two threads at once
        self._partitions: dict[str, int] = {}
        self._bulk: BulkProducer | None = None
        self.is_careful = False
        self._connect()

    def __len__(self) -> int:
        """Records that are not acknowledged yet."""
        return len(self.producer)

    def oversized(
        self,
        topic: str,
        keys: Sequence[bytes | None] | None,
        values: Sequence[bytes | None],
        headers: Sequence[Sequence[Header] | None] | None = None,
    ) -> list[int]:
        """Rows that are too large for the topic. Costs nothing per record where even the largest parts fit together."""
        room = self._limits.get(topic, DEFAULT_RECORD_BYTES) - OVERHEAD_BYTES
        worst = _longest(values) + (_longest(keys) if keys is not None else 0)
        if headers is None and worst <= room:
            return []
        return [
            row
            for row, value in enumerate(values)
            if len(value or b"")
            + (len(keys[row] or b"") if keys is not None else 0)
            + (_header_bytes(headers[row]) if headers is not None else 0)
            > room
        ]

    def learn(self, topics: Collection[str], seconds: float = 10.0) -> None:
        """Ask how many partitions topics have; those that are not known are not written in bulk. Blocks.

        To be called again now and then: partitions may be added, and keys move then.
        """
        if self._bulk is None:
            return
        for topic in topics:
            try:
                found = self.producer.list_topics(topic, timeout=seconds).topics[topic]
            except KafkaException as exception:
                log.info("partitions.unknown", topic=topic, error=str(exception.args[0]))
                continue
            if found.error is None and found.partitions:
                self._partitions[topic] = len(found.partitions)

    def send(self, output: Output, report: Report) -> int:
        """Queue all records of an output.

        Returns:
            How often `report` will be called: once for each record, or once for the last one of each partition.

        Raises:
            OutputRefusedError: A record was refused at once, or the queue stayed full.
        """
        try:
            if output.headers is not None:
                return self._send_each(output, output.headers, report)
            if (reports := self._send_bulk(output, report)) is not None:
                return reports
            return self._send_batch(output, report)
        except KafkaException as exception:
            raise self._refusal(output.topic, exception) from exception

    def poll(self) -> None:
        """Run the delivery callbacks that are due, unless another thread is at it.

        Raises:
            OutputRefusedError: A record failed, and with it all that were to follow it.
        """
        if self._polling.acquire(blocking=False):
            try:
                self._serve(self.producer.poll, 0)
            finally:
                self._polling.release()

    def flush(self, seconds: float) -> int:
        """Wait for acknowledgements; the number of records still without one."""
        end = time.monotonic() + seconds
        while True:
            with self._polling:  # in slices: the loop may need the lock while this thread waits
                left = self._serve(self.producer.flush, 0.02)
            if not left or time.monotonic() >= end:
                return left

    def renew(self) -> None:
        """Start over with a new producer; what the old one still holds is given up."""
        with self._polling:
            old = self.producer
            if self._bulk is not None:
                self._bulk.close()
            self._connect()
            old.purge(blocking=False)

    def close(self) -> None:
        """Nothing more is sent."""
        if self._bulk is not None:
            self._bulk.close()
            self._bulk = None

    def _connect(self) -> None:
        self.producer = Producer(self._properties)
        self._end: Exception | None = None
        self._bulk = None
        try:
            bulk = BulkProducer(self.producer)
        except UnknownClientError as error:
            log.warning("bulk.not_possible", error=str(error), consequence="writing takes more CPU time")
            return
        if _is_without_gaps(bulk):
            self._bulk = bulk

    def _send_bulk(self, output: Output, report: Report) -> int | None:
        """Queue a batch through the C interface; `None` if it is not to go that way."""
        count, partitions = len(output.values), self._partitions.get(output.topic)
        if self._bulk is None or partitions is None or self.is_careful or count < FEWEST_IN_BULK or output.keys is None:
            return None
        try:
            keys, values = (ByteColumn.of(cast(Sequence[bytes], each)) for each in (output.keys, output.values))
            chosen = partitions_of(keys, partitions)
        except TypeError:
            return None  # one of them is `None`
        if not keys.lengths.all():
            return None  # the partitioner scatters empty keys
        rows, marks = last_apart(chosen)
        if 4 * len(marks) > count:
            return None
        end = None
        while len(rows):
            refused, error = self._bulk.queue(output.topic, chosen[rows], keys.take(rows), values.take(rows))
            if error is None:
                break
            end = end or time.monotonic() + self._full_seconds
            if error.code() != KafkaError._QUEUE_FULL or time.monotonic() > end:
                raise KafkaException(error)
            rows = rows[refused]
            self._wait_for_room()
        for row, partition in zip(marks.tolist(), chosen[marks].tolist(), strict=True):
            self._send_one(output.topic, values[row], keys[row], report, partition=partition)
        return len(marks)

    def _send_batch(self, output: Output, report: Report) -> int:
        values = output.values
        if output.keys is None:
            todo = [{"value": value} for value in values]
        else:
            todo = [{"key": key, "value": value} for key, value in zip(output.keys, values, strict=True)]
        end = None
        while todo and self.producer.produce_batch(output.topic, todo, on_delivery=report) < len(todo):
            todo = [record for record in todo if "_error" in record]
            end = end or time.monotonic() + self._full_seconds
            for record in todo:
                error: Any = record.pop("_error")
                if error.code() != KafkaError._QUEUE_FULL or time.monotonic() > end:
                    raise KafkaException(error)
            self._wait_for_room()
        return len(values)

    def _send_each(self, output: Output, headers: Sequence[Sequence[Header] | None], report: Report) -> int:
        keys = output.keys if output.keys is not None else [None] * len(output.values)
        for key, value, own in zip(keys, output.values, headers, strict=True):
            self._send_one(output.topic, value, key, report, headers=list(own or ()))
        return len(output.values)

    def _send_one(self, topic: str, value: bytes | None, key: bytes | None, report: Report, **where: Any) -> None:
        end = None
        while True:
            try:
                self.producer.produce(topic, value, key, on_delivery=report, **where)
                return
            except BufferError as error:
                end = end or time.monotonic() + self._full_seconds
                if time.monotonic() > end:
                    raise OutputRefusedError(topic, "the output queue stays full") from error
                self._wait_for_room()

    def _refusal(self, topic: str, exception: KafkaException) -> OutputRefusedError:
        if exception.args[0].code() != KafkaError._FATAL:
            return OutputRefusedError(topic, str(exception.args[0]))
        why = self._why()
        if isinstance(why, OutputRefusedError):
            return why
        refusal = OutputRefusedError(topic, str((why or exception).args[0]))
        self._end = self._end or refusal
        return refusal

    def _why(self) -> OutputRefusedError | KafkaException | None:
        """Why the client has given up, which it says only once, a moment later, and to whoever polls."""
        end = time.monotonic() + _WHY_SECONDS
        while time.monotonic() < end:
            try:
                with self._polling:
                    self._serve(self.producer.poll, 0.02)
            except (OutputRefusedError, KafkaException) as reason:
                return reason
        return None

    def _wait_for_room(self) -> None:
        with self._polling:
            self._serve(self.producer.poll, 0.01)

    def _serve(self, call: Callable[[float], int], seconds: float) -> int:
        """Run the callbacks that are due; to be called with the lock held.

        Never again after an error, which only one thread is told: the broker may have taken later records of a partition
        although it refused earlier ones, and their acknowledgements would be counted.
        """
        if self._end is not None:
            raise self._end
        try:
            return call(seconds)
        except KafkaException as exception:
            self._end = _explained(exception)
            raise self._end from exception


def _explained(exception: Exception) -> Exception:
    """What the end of a series without gaps means; other errors as they are."""
    error = exception.args[0]
    if error.code() != KafkaError._GAPLESS_GUARANTEE:
        return exception
    found = re.search(
        r"ProduceRequest for (\S+) \[", error.str()
    )  # librdkafka's wording, rd_kafka_handle_Produce_error
    return OutputRefusedError(found[1] if found else "(one of the outputs)", error.str())


def _is_without_gaps(bulk: BulkProducer) -> bool:
    """Whether the acknowledgement of a record says that all before it in its partition were acknowledged.

    Asked of the client, because a property has several names (`delivery.timeout.ms`, `topic.partitioner`).
    """
    if (bulk.setting("partitioner") or DEFAULT) != DEFAULT:
        return False
    if bulk.setting("transactional.id"):
        return True
    # Records that run out of time or of retries fail alone, whatever the guarantee (librdkafka's description of it).
    is_patient = bulk.setting("message.timeout.ms") == "0" and bulk.setting("retries") == str(_ALL_RETRIES)
    return bulk.setting("enable.gapless.guarantee") == "true" and is_patient


def _longest(column: Sequence[bytes | None]) -> int:
    if isinstance(column, ByteColumn):
        return column.longest
    try:
        return max(map(len, column), default=0)  # type: ignore[arg-type]  # None is rare and handled below
    except TypeError:
        return max((len(item) for item in column if item is not None), default=0)


def _header_bytes(headers: Sequence[Header] | None) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers or ())
