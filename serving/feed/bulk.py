"""Queueing many records in one call: librdkafka's C API, on the handle of a confluent-kafka producer.

confluent-kafka makes a dictionary, several objects and a delivery callback of each record: half of what writing costs. The
same library takes an array of messages (`rd_kafka_produce_batch`), which numpy fills; it copies the bytes before it
returns. Everything else, transactions, errors, flushing, stays with the Python client, on the same handle.

What is reached into, and pinned by a contract test: the Python object of a producer has the handle right after its header,
and its delivery callback ignores messages that have no Python state of their own.

Each partition is a call of its own. The library also takes one call for all, where each message names its partition
(`RD_KAFKA_MSG_F_PARTITION`), but that one puts partition -1 into a transaction while the topic is not known yet, which the
broker refuses for good, and messages of a partition that is not there are never let go of (librdkafka 2.16).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Producer, cimpl
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn

_HEADER_BYTES: Final = object.__basicsize__
"""Of any Python object; confluent-kafka's `Handle` has `rd_kafka_t *rk` as its first member (its confluent_kafka.h)."""

_MESSAGE: Final = np.dtype(
    {
        "names": ["err", "rkt", "partition", "payload", "len", "key", "key_len", "offset", "private"],
        "formats": ["i4", "u8", "i4", "u8", "u8", "u8", "u8", "i8", "u8"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56, 64],
        "itemsize": 72,
    }
)
"""`rd_kafka_message_t` of rdkafka.h, on machines with pointers of 8 bytes."""

_COPY: Final = 0x2  # RD_KAFKA_MSG_F_COPY
_LONGEST_SETTING: Final = 512


class UnknownClientError(Exception):
    """The client is not laid out as expected; records are to be queued through its Python interface."""


class BulkProducer:
    """Queues records on a `Producer`'s handle. Not thread-safe; the producer must outlive it."""

    def __init__(self, producer: Any) -> None:
        """Find the handle.

        Raises:
            UnknownClientError: This machine or this client is not what is expected.
        """
        if type(producer) is not Producer or ctypes.sizeof(ctypes.c_void_p) != 8:
            raise UnknownClientError("records can be queued in bulk by confluent-kafka's own Producer on 64 bits only")
        try:
            self._library = ctypes.CDLL(cimpl.__file__)  # finds librdkafka among what the extension is linked to
            self._produce = self._library.rd_kafka_produce_batch
            self._new_topic = self._library.rd_kafka_topic_new
            self._drop_topic = self._library.rd_kafka_topic_destroy
            self._configuration = self._library.rd_kafka_conf
            self._get_setting = self._library.rd_kafka_conf_get
        except (OSError, AttributeError) as error:
            raise UnknownClientError(f"librdkafka's functions were not found: {error}") from error
        handle, integer = ctypes.c_void_p, ctypes.c_int
        self._produce.argtypes = [handle, ctypes.c_int32, integer, handle, integer]
        self._produce.restype = integer
        self._new_topic.argtypes = [handle, ctypes.c_char_p, handle]
        self._new_topic.restype = handle
        self._drop_topic.argtypes = [handle]
        self._drop_topic.restype = None
        self._configuration.argtypes = [handle]
        self._configuration.restype = handle
        self._get_setting.argtypes = [handle, ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_size_t)]
        self._get_setting.restype = integer
        self._producer = producer
        self._handle = ctypes.c_void_p.from_address(id(producer) + _HEADER_BYTES).value
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
        messages = np.zeros(count, _MESSAGE)
        messages["payload"] = values.starts + _address(values.buffer)
        messages["len"] = values.lengths
        messages["key"] = keys.starts + _address(keys.buffer)
        messages["key_len"] = keys.lengths
        known, address = self._topic(topic), messages.ctypes.data
        begins = [0, *(np.flatnonzero(partitions[1:] != partitions[:-1]) + 1).tolist()]
        accepted = 0
        for begin, end, partition in zip(begins, [*begins[1:], count], partitions[begins].tolist(), strict=True):
            accepted += self._produce(known, partition, _COPY, address + begin * _MESSAGE.itemsize, end - begin)
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
