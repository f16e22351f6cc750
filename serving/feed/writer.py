"""Writing outputs: a producer, the counts that prove that nothing was dropped, and the size limits.

What the client does not tell by itself (measured, confluent-kafka 2.16):

* `produce_batch` neither raises for nor reports records it refuses: only its return value and `_error` in the record say
  so. The count is compared after every call.
* Without a delivery callback a failed delivery is silent: `flush()` returns 0 all the same. Every record has a callback.
* `produce_batch` drops headers without a word, so records with headers go one by one (twice as dear).
* A record over the topic's limit fails at the broker, much later, and ends the worker; so callers ask `oversized` first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from serving.feed.batch import Header, Output
from serving.feed.errors import OutputRefusedError
from serving.feed.settings import DEFAULT_RECORD_BYTES, OVERHEAD_BYTES, Properties

Report = Callable[[Any, Any], None]
"""Called once for each record with its error or `None`, and the record, in the thread that polls."""


class Writer:
    """The result producer. `send` and `poll` never wait for the broker, but for a full queue (`send`)."""

    def __init__(self, properties: Properties, limits: Mapping[str, int], *, full_seconds: float = 60.0) -> None:
        """Args:
        limits: Largest record in bytes by topic (`max.message.bytes`); other topics have `DEFAULT_RECORD_BYTES`.
        full_seconds: How long a full queue is waited for. The feed stops reading long before it fills.
        """
        self._properties = dict(properties)
        self._limits = dict(limits)
        self._full_seconds = full_seconds
        self._polling = threading.Lock()  # delivery callbacks of one batch never run in two threads at once
        self.producer = Producer(self._properties)

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

    def send(self, output: Output, report: Report) -> None:
        """Queue all records of an output.

        Raises:
            OutputRefusedError: A record was refused at once, or the queue stayed full.
        """
        try:
            if output.headers is not None:
                self._send_each(output, output.headers, report)
            else:
                self._send_batch(output, report)
        except KafkaException as exception:
            raise OutputRefusedError(output.topic, str(exception.args[0])) from exception

    def poll(self) -> None:
        """Run the delivery callbacks that are due, unless another thread is at it."""
        if self._polling.acquire(blocking=False):
            try:
                self.producer.poll(0)
            finally:
                self._polling.release()

    def flush(self, seconds: float) -> int:
        """Wait for acknowledgements; the number of records still without one."""
        end = time.monotonic() + seconds
        while True:
            with self._polling:  # in slices: the loop may need the lock while this thread waits
                left = int(self.producer.flush(0.02))
            if not left or time.monotonic() >= end:
                return left

    def renew(self) -> None:
        """Start over with a new producer; what the old one still holds is given up."""
        with self._polling:
            old, self.producer = self.producer, Producer(self._properties)
            old.purge(blocking=False)

    def _send_batch(self, output: Output, report: Report) -> None:
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

    def _send_each(self, output: Output, headers: Sequence[Sequence[Header] | None], report: Report) -> None:
        keys = output.keys if output.keys is not None else [None] * len(output.values)
        end = None
        for key, value, own in zip(keys, output.values, headers, strict=True):
            while True:
                try:
                    self.producer.produce(output.topic, value, key, headers=list(own or ()), on_delivery=report)
                    break
                except BufferError as error:
                    end = end or time.monotonic() + self._full_seconds
                    if time.monotonic() > end:
                        raise OutputRefusedError(output.topic, "the output queue stays full") from error
                    self._wait_for_room()

    def _wait_for_room(self) -> None:
        with self._polling:
            self.producer.poll(0.01)


def _longest(column: Sequence[bytes | None]) -> int:
    try:
        return max(map(len, column), default=0)  # type: ignore[arg-type]  # None is rare and handled below
    except TypeError:
        return max((len(item) for item in column if item is not None), default=0)


def _header_bytes(headers: Sequence[Header] | None) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers or ())
