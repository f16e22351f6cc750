"""Messages that librdkafka has lent us: what is asked of them, and that they are given back.

They are given back together, by the library's own function for a batch of messages. Such a batch is a count and that many
pointers in one piece of memory (`rd_kafka_messages_t`, librdkafka 2.16); that it still is one is asked of the library's own
functions before the first message is lent.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serving.feed import foreign_memory
from serving.feed.native import MESSAGE_FIELDS, Pointer, UnknownClientError, function
from serving.feed.runs import Header

WORD: Final = 8
"""Bytes of an address."""

LENT: Final = np.dtype(
    {
        "names": [*MESSAGE_FIELDS, "timestamp"],
        "formats": [*(kind for kind, _ in MESSAGE_FIELDS.values()), "i8"],
        "offsets": [*(offset for _, offset in MESSAGE_FIELDS.values()), 96],
        "itemsize": 104,
    }
)
"""`rd_kafka_message_t`, and behind it the place where the library keeps the timestamp (`rd_kafka_msg_t`, librdkafka 2.16). What
is found there is compared in each batch with what the library's own function says."""


class MessageFunctions:
    """What is asked of messages, by their pointers. Any thread."""

    def __init__(self) -> None:
        """Find the functions.

        Raises:
            UnknownClientError: They are not there, or a batch of messages is not what is expected.
        """
        size = ctypes.c_size_t
        self._allocate = function("rd_kafka_mem_malloc", Pointer, Pointer, size)
        self._destroy_all = function("rd_kafka_messages_destroy", None, Pointer)
        self._timestamp = function("rd_kafka_message_timestamp", ctypes.c_int64, Pointer, Pointer)
        self._headers = function("rd_kafka_message_headers", ctypes.c_int, Pointer, ctypes.POINTER(Pointer))
        name, value = ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(Pointer)
        self._header = function(
            "rd_kafka_header_get_all", ctypes.c_int, Pointer, size, name, value, ctypes.POINTER(size)
        )
        self._check()

    def batch(self, room: int) -> int:
        """The address of a batch with room for so many messages, and none in it."""
        address: int = self._allocate(None, (1 + room) * WORD)
        ctypes.c_size_t.from_address(address).value = 0
        return address

    def destroy(self, batch: int) -> None:
        """Give a batch back, and all that are in it."""
        self._destroy_all(batch)

    def timestamp(self, pointer: int) -> int:
        """See `timestamps`, of one message."""
        found: int = self._timestamp(pointer, None)
        return found

    def timestamps(self, messages: NDArray[Any], pointers: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Milliseconds since 1970; -1 where there is none. Of messages without errors, at least one."""
        found: NDArray[np.int64] = messages["timestamp"].copy()
        ends = (0, len(pointers) - 1)
        if all(int(found[i]) == self.timestamp(int(pointers[i])) for i in ends):
            return found
        return np.array(list(map(self.timestamp, pointers.tolist())), np.int64)

    def headers(self, pointer: int) -> list[Header]:
        """Headers of a message."""
        headers = Pointer()
        if self._headers(pointer, ctypes.byref(headers)):
            return []
        found: list[Header] = []
        name, value, size = ctypes.c_char_p(), Pointer(), ctypes.c_size_t()
        while not self._header(headers, len(found), ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)):
            content = None if value.value is None else ctypes.string_at(value.value, size.value)
            found.append(((name.value or b"").decode(errors="replace"), content))
        return found

    def _check(self) -> None:
        count = function("rd_kafka_messages_count", ctypes.c_size_t, Pointer)
        get = function("rd_kafka_messages_get", ctypes.c_size_t, Pointer, ctypes.c_size_t)
        address = self.batch(2)
        words = (ctypes.c_size_t * 3).from_address(address)
        is_empty = count(address) == 0
        words[0], words[1], words[2] = 2, 16, 32
        is_right = count(address) == 2 and [get(address, 0), get(address, 1)] == [16, 32]
        words[0] = 0
        self.destroy(address)
        if not is_empty or not is_right:
            raise UnknownClientError("a batch of messages is not laid out as in librdkafka 2.16")


class LentMessages:
    """Messages that were read together; given back when nobody refers to them any more.

    Attributes:
        functions: What is asked of them.
        rows: Which of them is which record; `None` if they are in order.
    """

    __slots__ = ("__weakref__", "_batch", "_owner", "functions", "rows")

    def __init__(self, functions: MessageFunctions, room: int, owner: object) -> None:
        """Make room for so many. Take `owner`, which keeps the client alive."""
        self._owner = owner
        self.functions = functions
        self.rows: Sequence[int] | NDArray[np.intp] | None = None
        self._batch: int | None = functions.batch(room)

    @property
    def first(self) -> int:
        """Where the pointers are to be written."""
        return (self._batch or 0) + WORD

    def fill(self, count: int) -> bytes:
        """Say how many were written; their pointers, copied."""
        ctypes.c_size_t.from_address(self._batch or 0).value = count
        return ctypes.string_at(self.first, count * WORD)

    def headers_of(self, record: int) -> list[Header]:
        """Headers of a record; none after they were given back."""
        if self._batch is None:
            return []
        row = record if self.rows is None else int(self.rows[record])
        return self.functions.headers(Pointer.from_address(self.first + row * WORD).value or 0)

    def give_back(self) -> None:
        """Let go of all. Nothing happens the second time."""
        batch, self._batch = self._batch, None
        if batch is not None and not sys.is_finalizing():
            self.functions.destroy(batch)

    def __del__(self) -> None:
        self.give_back()


def strings_of(pointers: NDArray[np.uint64], lengths: NDArray[np.uint64]) -> Sequence[bytes | None]:
    """Copies of byte strings; a null pointer is one that is not there."""
    pointers, sizes = pointers.copy(), lengths.astype(np.int64)
    if pointers.all():
        return foreign_memory.strings(pointers, sizes)
    there = np.flatnonzero(pointers)
    found: list[bytes | None] = [None] * len(pointers)
    if len(there):
        for row, string in zip(there.tolist(), foreign_memory.strings(pointers[there], sizes[there]), strict=True):
            found[row] = string
    return found
