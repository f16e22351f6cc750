"""librdkafka's C interface, on the handle of a confluent-kafka client.

What is reached into, and pinned by contract tests: the Python object of a client has the handle right after its header.
The library is the one that the Python client is linked to, so both see the same clients, queues and topics.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, Producer, cimpl

_HEADER_BYTES: Final = object.__basicsize__
"""Of any Python object; confluent-kafka's `Handle` has `rd_kafka_t *rk` as its first member (its confluent_kafka.h)."""

MESSAGE_FIELDS: Final = {
    "err": ("i4", 0),
    "rkt": ("u8", 8),
    "partition": ("i4", 16),
    "payload": ("u8", 24),
    "len": ("u8", 32),
    "key": ("u8", 40),
    "key_len": ("u8", 48),
    "offset": ("i8", 56),
    "private": ("u8", 64),
}
"""Kinds and places of the members of `rd_kafka_message_t` (rdkafka.h), on machines with pointers of 8 bytes."""

MESSAGE: Final = np.dtype(
    {
        "names": [*MESSAGE_FIELDS],
        "formats": [kind for kind, _ in MESSAGE_FIELDS.values()],
        "offsets": [offset for _, offset in MESSAGE_FIELDS.values()],
        "itemsize": 72,
    }
)

Pointer: Final = ctypes.c_void_p


class UnknownClientError(Exception):
    """The client is not laid out as expected; records are to go through its Python interface."""


def handle_of(client: Any) -> int:
    """The `rd_kafka_t *` of a consumer or producer that is not closed.

    Raises:
        UnknownClientError: This machine or this client is not what is expected.
    """
    if type(client) not in (Consumer, Producer) or ctypes.sizeof(Pointer) != 8:
        raise UnknownClientError("the C interface is used with confluent-kafka's own clients on 64 bits only")
    handle = Pointer.from_address(id(client) + _HEADER_BYTES).value
    if not handle:
        raise UnknownClientError("the client is closed")
    return handle


def function(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A function of the library; the interpreter lock is let go of while it runs.

    Raises:
        UnknownClientError: There is no such function.
    """
    try:
        found = _library()[name]
    except (OSError, AttributeError) as error:
        raise UnknownClientError(f"librdkafka's function {name} was not found: {error}") from error
    found.restype, found.argtypes = result, arguments
    return found


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(cimpl.__file__)  # finds librdkafka among what the extension is linked to
