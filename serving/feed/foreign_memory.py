"""Reading many small pieces of memory that is not ours, by their addresses: one NumPy call instead of an object for each.

The pieces must be alive while a function runs; what it returns is a copy.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn

_FIRST: Final = 1 << 12
"""Nothing lies below: the first page is never mapped, and NumPy takes address 0 for "no buffer"."""

_SIZE: Final = 1 << 48
"""Of what a process can have on the machines that there are (48 bits on both x86-64 and arm64)."""

_LONGEST_GATHERED: Final = 4_096
"""Longer ones are copied one by one: then the bytes cost more than the calls. NumPy's limit here is 32,767."""

_MOST_LENGTHS: Final = 24
"""Each length is some calls of NumPy, whatever the number of strings; with many lengths one by one is cheaper."""

_MEMORY = (ctypes.c_ubyte * _SIZE).from_address(_FIRST)


def structures(pointers: NDArray[np.uint64], kind: np.dtype[Any]) -> NDArray[Any]:
    """The structures that lie at some addresses."""
    found: NDArray[Any] = _windows(kind)[pointers - np.uint64(_FIRST)]
    return found


def strings(pointers: NDArray[np.uint64], lengths: NDArray[np.int64]) -> ByteColumn:
    """The byte strings that lie at some addresses, of which there is at least one."""
    count, first = len(lengths), int(lengths[0])
    if first <= _LONGEST_GATHERED and (lengths == first).all():
        return ByteColumn.rows(_gathered(pointers, first).reshape(count, first))
    if int(lengths.max()) > _LONGEST_GATHERED:
        return _one_by_one(pointers, lengths)
    sizes = np.bincount(lengths)
    present = np.flatnonzero(sizes)
    if len(present) > _MOST_LENGTHS:
        return _one_by_one(pointers, lengths)
    order = np.argsort(lengths.astype(np.uint16), kind="stable")  # by radix
    stops = np.cumsum(sizes[present]).tolist()
    parts = [
        _gathered(pointers[order[start:stop]], length)
        for length, start, stop in zip(present.tolist(), [0, *stops[:-1]], stops, strict=True)
    ]
    begins = np.cumsum(lengths[order])
    starts = np.empty(count, np.int64)
    starts[order] = begins - lengths[order]
    return ByteColumn(np.concatenate(parts), starts, lengths)


def _gathered(pointers: NDArray[np.uint64], length: int) -> NDArray[np.uint8]:
    if length == 0:
        return np.empty(0, np.uint8)
    return structures(pointers, np.dtype(f"V{length}")).view(np.uint8)


def _one_by_one(pointers: NDArray[np.uint64], lengths: NDArray[np.int64]) -> ByteColumn:
    memory = memoryview(_MEMORY)
    begins = pointers - np.uint64(_FIRST)
    ends = begins + lengths.astype(np.uint64)
    whole = b"".join([memory[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)])
    return ByteColumn(np.frombuffer(whole, np.uint8), np.cumsum(lengths) - lengths, lengths)


@functools.lru_cache(maxsize=64)
def _windows(kind: np.dtype[Any]) -> NDArray[Any]:
    """One at each address."""
    return np.ndarray((_SIZE - kind.itemsize + 1,), kind, _MEMORY, 0, (1,))  # type: ignore[arg-type]  # a buffer
