"""Queueing many records in one call: librdkafka's C API, on the handle of a confluent-kafka producer.

confluent-kafka makes a dictionary, several objects and a delivery callback of each record: half of what writing costs. The
same library takes an array of messages (`rd_kafka_produce_batch`), which numpy fills; it copies the bytes before it
returns. Everything else, transactions, errors, flushing, stays with the Python client, on the same handle.

What is reached into beyond `native`, and pinned by a contract test: the delivery callback of the Python client ignores messages
that have no Python state of their own.

Each partition is a call of its own. The library also takes one call for all, where each message names its partition
(`RD_KAFKA_MSG_F_PARTITION`), but that one puts partition -1 into a transaction while the topic is not known yet, which the
broker refuses for good, and messages of a partition that is not there are never let go of (librdkafka 2.16).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Producer
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn
from serving.feed.native import MESSAGE, Pointer, UnknownClientError, function, handle_of

_COPY: Final = 0x2  # RD_KAFKA_MSG_F_COPY
_LONGEST_SETTING: Final = 512


class BulkProducer:
    """Queues records on a `Producer`'s handle. Not thread-safe; the producer must outlive it."""

    def __init__(self, producer: Any) -> None:
        """Find the handle.

        Raises:
            UnknownClientError: This machine or this client is not what is expected.
        """
        if type(producer) is not Producer:
            raise UnknownClientError("records can be queued in bulk by confluent-kafka's own Producer only")
        integer = ctypes.c_int
        self._produce = function("rd_kafka_produce_batch", integer, Pointer, ctypes.c_int32, integer, Pointer, integer)
        self._new_topic = function("rd_kafka_topic_new", Pointer, Pointer, ctypes.c_char_p, Pointer)
        self._drop_topic = function("rd_kafka_topic_destroy", None, Pointer)
        self._configuration = function("rd_kafka_conf", Pointer, Pointer)
        size = ctypes.POINTER(ctypes.c_size_t)
        self._get_setting = function("rd_kafka_conf_get", integer, Pointer, ctypes.c_char_p, ctypes.c_char_p, size)
        self._producer = producer
        self._handle = handle_of(producer)
        self._topics: dict[str, int] = {}

    def setting(self, name: str) -> str | None:
        """What a property came to, whichever of its names it was given by; `None` if it has no value."""
        value, size = ctypes.create_string_buffer(_LONGEST_SETTING), ctypes.c_size_t(_LONGEST_SETTING)
        result = self._get_setting(self._configuration(self._handle), name.encode(), value, ctypes.byref(size))
        return value.value.decode() if result == 0 else None  # RD_KAFKA_CONF_OK

    def queue(
        self, topic: str, partitions: NDArray[np.int32], keys: ByteColumn, values: ByteColumn
    ) -> tuple[Sequence[int], KafkaError | None]:
        """Queue records; nobody hears of their deliveries.

        Args:
            partitions: One a record; those of the same partition side by side.

        Returns:
            The rows that were refused, ascending; and why, of the first. Where the queue is full, nothing of a partition was
            taken after a row that was not.
        """
        count = len(partitions)
        messages = np.zeros(count, MESSAGE)
        messages["payload"] = values.starts + _address(values.buffer)
        messages["len"] = values.lengths
        messages["key"] = keys.starts + _address(keys.buffer)
        messages["key_len"] = keys.lengths
        known, address = self._topic(topic), messages.ctypes.data
        begins = [0, *(np.flatnonzero(partitions[1:] != partitions[:-1]) + 1).tolist()]
        accepted = 0
        for begin, end, partition in zip(begins, [*begins[1:], count], partitions[begins].tolist(), strict=True):
            accepted += self._produce(known, partition, _COPY, address + begin * MESSAGE.itemsize, end - begin)
        if accepted == count:
            return (), None
        refused = np.flatnonzero(messages["err"]).tolist()
        return refused, KafkaError(int(messages["err"][refused[0]]))

    def close(self) -> None:
        """Let go of the producer. To be called before the last reference to it is dropped."""
        for topic in self._topics.values():
            self._drop_topic(topic)
        self._topics.clear()

    def _topic(self, name: str) -> int:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._new_topic(self._handle, name.encode(), None)
            if not topic:
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG, f"no topic can be named {name!r}"))
            self._topics[name] = topic
        return topic


def _address(buffer: NDArray[np.uint8]) -> int:
    address: int = buffer.__array_interface__["data"][0]
    return address
