"""Reading many records in one call: librdkafka's C interface, on the handle of a confluent-kafka consumer.

The Python client makes an object of each record, and another of each of its parts: three quarters of what reading costs
(measured, decision 12). Here the records of some partitions are diverted into a queue of our own, from which the library gives
an array of pointers to messages; their columns are copied out together. Everything else, the group, callbacks, commits,
seeking, stays with the Python client, on the same handle, and so do partitions that were not diverted.

What is relied on beyond the documentation, and pinned by tests: a partition's queue stays diverted over pausing and seeking; what
was fetched before a pause, a seek or a revocation does not come out of the queue any more; what stayed in a partition's own
queue comes, in order, when it is diverted again.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, KafkaError
from numpy.typing import NDArray

from serving.feed import foreign_memory
from serving.feed.column_run import ColumnRun, Columns
from serving.feed.few_messages import keys_of, messages_at, pointers_of, values_of
from serving.feed.lanes import Key
from serving.feed.lent_messages import LENT, WORD, LentMessages, MessageFunctions, strings_of
from serving.feed.native import Pointer, UnknownClientError, function, handle_of

FEW: Final = 24
"""Up to so many messages are looked at one by one."""

_OF_ERRORS: Final = ["err", "rkt", "partition", "offset"]
_MOST_AT_THE_END: Final = 10_000
_MESSAGES_PER_RUN: Final = 32
"""A run of messages costs about as much as sorting so many (measured: 1.5 us, 0.05 us)."""


@dataclass(frozen=True, slots=True)
class ReadError:
    """What the client said about a partition instead of a record.

    Attributes:
        key: The partition.
        offset: Where.
        error: What.
    """

    key: Key
    offset: int
    error: Any


class BulkConsumer:
    """Reads the diverted partitions of a `Consumer`. One thread at a time; `close` it before the consumer.

    Attributes:
        is_drained: The last `read` left nothing that was there already.
    """

    def __init__(self, consumer: Any) -> None:
        """Find the handle and make the queue.

        Raises:
            UnknownClientError: This machine, this client or this NumPy is not what is expected.
        """
        if type(consumer) is not Consumer:
            raise UnknownClientError("records can be read in bulk by confluent-kafka's own Consumer only")
        name, number = ctypes.c_char_p, ctypes.c_int
        self._consumer = consumer  # kept alive: the handle is its
        self._handle = handle_of(consumer)
        self._functions = MessageFunctions()
        self._partition_queue = function("rd_kafka_queue_get_partition", Pointer, Pointer, name, ctypes.c_int32)
        self._consumer_queue = function("rd_kafka_queue_get_consumer", Pointer, Pointer)
        self._forward = function("rd_kafka_queue_forward", None, Pointer, Pointer)
        self._drop_queue = function("rd_kafka_queue_destroy", None, Pointer)
        self._notify = function("rd_kafka_queue_io_event_enable", None, Pointer, number, Pointer, ctypes.c_size_t)
        self._consume = function(
            "rd_kafka_consume_batch_queue", ctypes.c_ssize_t, Pointer, number, Pointer, ctypes.c_size_t
        )
        self._topic_name = function("rd_kafka_topic_name", name, Pointer)
        self._error_text = function("rd_kafka_message_errstr", name, Pointer)
        self._queue: int | None = function("rd_kafka_queue_new", Pointer, Pointer)(self._handle)
        self._callbacks: int | None = self._consumer_queue(self._handle)
        self._diverted: set[Key] = set()
        self.is_drained = False
        self._lent: weakref.WeakSet[LentMessages] = weakref.WeakSet()

    def divert(self, key: Key) -> None:
        """Have what is fetched of an assigned partition come here from now on."""
        self._lead(key, self._queue)
        self._diverted.add(key)

    def leave(self, key: Key) -> None:
        """Have what is fetched of a diverted partition stay where it is, until it is diverted again."""
        self._lead(key, None)

    def wake(self, descriptor: int) -> None:
        """Write a byte whenever a record or a callback of the consumer comes and none was there; it must not block."""
        token = ctypes.create_string_buffer(b"!", 1)  # copied by the library
        for queue in (self._queue, self._callbacks):
            self._notify(queue, descriptor, token, 1)

    def read(self, most: int) -> tuple[list[tuple[Key, ColumnRun]], list[ReadError]]:
        """Records that are here already, one run a partition; and errors."""
        lent, packed = self._lend(most)
        count = len(packed) // WORD
        self.is_drained = count < most
        if not count:
            return [], []
        self._lent.add(lent)
        if count <= FEW:
            return self._few(lent, pointers_of(packed))
        return self._many(lent, np.frombuffer(packed, np.uint64))

    def close(self) -> None:
        """Give everything back to the client, which may be closed then."""
        if self._queue is None:
            return
        for key in self._diverted:
            self._lead(key, None)
        for lent in list(self._lent):
            lent.give_back()
        # What is left is given back with the object that holds it: the client's end would wait for it for ever.
        while len(self._lend(_MOST_AT_THE_END)[1]):
            pass
        for queue in (self._queue, self._callbacks):
            self._notify(queue, -1, None, 0)
            self._drop_queue(queue)
        self._queue = self._callbacks = None

    def _lead(self, key: Key, destination: int | None) -> None:
        queue = self._partition_queue(self._handle, key[0].encode(), key[1])
        if queue:
            self._forward(queue, destination)
            self._drop_queue(queue)

    def _lend(self, most: int) -> tuple[LentMessages, bytes]:
        """Messages that are here already, and their addresses."""
        lent = LentMessages(self._functions, most, self)
        count = 0 if self._queue is None else self._consume(self._queue, 0, lent.first, most)
        return lent, lent.fill(max(0, count))

    def _few(self, lent: LentMessages, pointers: Sequence[int]) -> tuple[list[tuple[Key, ColumnRun]], list[ReadError]]:
        messages = messages_at(pointers)
        errors: list[ReadError] = []
        found: dict[tuple[int, int], list[int]] = {}
        for row, each in enumerate(messages):
            if each.err:
                errors.append(self._error(each.err, each.rkt, each.partition, each.offset, pointers[row]))
            else:
                found.setdefault((each.rkt, each.partition), []).append(row)
        rows = [row for group in found.values() for row in group]
        if not rows:
            return [], errors
        lent.rows = rows
        chosen = [messages[row] for row in rows]
        columns = Columns(
            np.array([each.offset for each in chosen], np.int64),
            np.array([lent.functions.timestamp(pointers[row]) for row in rows], np.int64),
            keys_of(chosen),
            values_of(chosen),
            lent,
        )
        runs, start = [], 0
        for (topic, partition), group in found.items():
            runs.append((self._key(topic, partition), ColumnRun(columns, start, start + len(group))))
            start += len(group)
        return runs, errors

    def _many(
        self, lent: LentMessages, pointers: NDArray[np.uint64]
    ) -> tuple[list[tuple[Key, ColumnRun]], list[ReadError]]:
        messages = foreign_memory.structures(pointers, LENT)
        errors: list[ReadError] = []
        rows: NDArray[np.intp] | None = None
        is_error = messages["err"] != 0
        if is_error.any():
            for row in np.flatnonzero(is_error).tolist():
                code, topic, partition, offset = messages[_OF_ERRORS][row].tolist()
                errors.append(self._error(code, topic, partition, offset, int(pointers[row])))
            rows = np.flatnonzero(~is_error)
            messages = messages[rows]
            if not len(rows):
                return [], errors
        order, cuts = by_partition(messages)
        if order is not None:
            messages = messages[order]
            rows = order if rows is None else rows[order]
        lent.rows = rows
        return self._runs(messages, cuts, lent, pointers if rows is None else pointers[rows]), errors

    def _runs(
        self, messages: NDArray[Any], cuts: list[int], lent: LentMessages, pointers: NDArray[np.uint64]
    ) -> list[tuple[Key, ColumnRun]]:
        columns = Columns(
            messages["offset"].copy(),
            lent.functions.timestamps(messages, pointers),
            strings_of(messages["key"], messages["key_len"]),
            strings_of(messages["payload"], messages["len"]),
            lent,
        )
        runs = []
        for start, stop in zip([0, *cuts], [*cuts, len(messages)], strict=True):
            key = self._key(int(messages["rkt"][start]), int(messages["partition"][start]))
            runs.append((key, ColumnRun(columns, start, stop)))
        return runs

    def _key(self, topic: int, partition: int) -> Key:
        return self._topic_name(topic).decode(), partition

    def _error(self, code: int, topic: int, partition: int, offset: int, pointer: int) -> ReadError:
        text = self._error_text(pointer)
        key = self._key(topic, partition) if topic else ("", partition)
        return ReadError(key, offset, KafkaError(code, text.decode(errors="replace") if text else None))


def by_partition(messages: NDArray[Any]) -> tuple[NDArray[np.intp] | None, list[int]]:
    """An order in which the messages of a partition are neighbours, and come as they came; and where in it another begins.

    Args:
        messages: (n,), n at least 1, with the members `rkt` and `partition`.

    Returns:
        The order, `None` if they are in one; and the positions in it.
    """
    partition, topic = messages["partition"], messages["rkt"]
    cuts = _cuts(partition, topic)
    if not len(cuts):
        return None, []
    starts = np.concatenate([[0], cuts])
    if len(starts) > len(messages) // _MESSAGES_PER_RUN:
        order = np.lexsort((partition, topic))
        return order, _cuts(partition[order], topic[order]).tolist()
    runs: dict[tuple[int, int], list[NDArray[np.intp]]] = {}
    stops = [*cuts.tolist(), len(messages)]
    for start, stop, *key in zip(
        starts.tolist(), stops, topic[starts].tolist(), partition[starts].tolist(), strict=True
    ):
        runs.setdefault((key[0], key[1]), []).append(np.arange(start, stop))
    if len(runs) == len(starts):
        return None, cuts.tolist()
    sizes = [sum(map(len, parts)) for parts in runs.values()]
    order = np.concatenate([part for parts in runs.values() for part in parts])
    return order, np.cumsum(sizes)[:-1].tolist()


def _cuts(partition: NDArray[np.int32], topic: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where another partition begins."""
    return np.flatnonzero((partition[1:] != partition[:-1]) | (topic[1:] != topic[:-1])) + 1
