"""Reading many records in one call: librdkafka's C interface, on the handle of a confluent-kafka consumer.

The Python client makes an object of each record, and another of each of its parts: three quarters of what reading costs
(measured, decision 12). Here the records of some partitions are diverted into a queue of our own, from which the library gives
an array of pointers to messages; their columns are copied out together. Everything else, the group, callbacks, commits,
seeking, stays with the Python client, on the same handle, and so do partitions that were not diverted.

What is relied on beyond the documentation, and pinned by tests: a partition's queue stays diverted over pausing and seeking; what
was fetched before a pause, a seek or a revocation does not come out of the queue any more.
"""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, KafkaError
from numpy.typing import NDArray

from serving.feed import foreign_memory
from serving.feed.column_run import ColumnRun, Columns
from serving.feed.lanes import Key
from serving.feed.lent_messages import LENT, LentMessages, MessageFunctions, strings_of
from serving.feed.native import Pointer, UnknownClientError, function, handle_of

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

    def wake(self, descriptor: int) -> None:
        """Write a byte whenever a record or a callback of the consumer comes and none was there; it must not block."""
        token = ctypes.create_string_buffer(b"!", 1)  # copied by the library
        for queue in (self._queue, self._callbacks):
            self._notify(queue, descriptor, token, 1)

    def read(self, most: int) -> tuple[list[tuple[Key, ColumnRun]], list[ReadError]]:
        """Records that are here already, one run a partition; and errors."""
        lent, pointers = self._lend(most)
        self.is_drained = len(pointers) < most
        if not len(pointers):
            return [], []
        self._lent.add(lent)
        messages = foreign_memory.structures(pointers, LENT)
        errors: list[ReadError] = []
        is_error = messages["err"] != 0
        if is_error.any():
            errors = [self._error(messages[row], int(pointers[row])) for row in np.flatnonzero(is_error).tolist()]
            rows = np.flatnonzero(~is_error)
            messages, lent.rows = messages[rows], rows
            if not len(rows):
                return [], errors
        order, cuts = by_partition(messages)
        if order is not None:
            messages = messages[order]
            lent.rows = order if lent.rows is None else lent.rows[order]
        return self._runs(messages, cuts, lent, pointers if lent.rows is None else pointers[lent.rows]), errors

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

    def _lend(self, most: int) -> tuple[LentMessages, NDArray[np.uint64]]:
        """Messages that are here already."""
        lent = LentMessages(self._functions, most, self)
        count = 0 if self._queue is None else self._consume(self._queue, 0, lent.first, most)
        return lent, lent.fill(max(0, count))

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
            topic = self._topic_name(int(messages["rkt"][start])).decode()
            runs.append(((topic, int(messages["partition"][start])), ColumnRun(columns, start, stop)))
        return runs

    def _error(self, message: Any, pointer: int) -> ReadError:
        text = self._error_text(pointer)
        topic = self._topic_name(int(message["rkt"])).decode() if message["rkt"] else ""
        error = KafkaError(int(message["err"]), text.decode(errors="replace") if text else None)
        return ReadError((topic, int(message["partition"])), int(message["offset"]), error)


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
