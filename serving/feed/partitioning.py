"""Which partition of an output topic a key belongs to, as librdkafka's default partitioner (`consistent_random`) has it.

Whoever else writes the same keys with librdkafka, and this worker when it leaves the choice to the client, choose the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn

DEFAULT: Final = "consistent_random"
"""The `partitioner` that this is the same as, for keys that are not empty."""

_POLYNOMIAL: Final = np.uint32(0xEDB88320)  # of CRC-32, bits reversed (RFC 1952)
_LONGEST: Final = 32  # bytes; the columns cost by the byte, zlib nearly nothing
_MOST_LENGTHS: Final = 8


def partitions_of(keys: Sequence[bytes], count: int) -> NDArray[np.int32]:
    """CRC32 of each key, modulo the number of partitions. Raises `TypeError` if a key is `None`."""
    hashes = _hashes(keys) if isinstance(keys, ByteColumn) else None
    if hashes is None:
        hashes = np.array(list(map(crc32, keys)), np.uint32)
    return (hashes % np.uint32(count)).astype(np.int32)


def _hashes(keys: ByteColumn) -> NDArray[np.uint32] | None:
    """CRC32 of all keys together; `None` where one by one is cheaper: long ones, and of many lengths."""
    if keys.longest > _LONGEST:
        return None
    whole = keys.matrix()
    if whole is not None:
        return _crc32(whole)
    lengths = np.flatnonzero(np.bincount(keys.lengths))
    if len(lengths) > _MOST_LENGTHS:
        return None
    hashes = np.zeros(len(keys), np.uint32)  # the CRC of nothing is 0
    for length in lengths.tolist():
        rows = np.flatnonzero(keys.lengths == length)
        if (same := keys.take(rows).matrix()) is not None:
            hashes[rows] = _crc32(same)
    return hashes


def _crc32(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Of each row of (n, width), two bytes a step: `zlib.crc32` in columns."""
    count, width = rows.shape
    state = np.full(count, 0xFFFFFFFF, np.uint32)
    pairs = np.ascontiguousarray(rows[:, : width // 2 * 2]).view("<u2")
    for pair in np.ascontiguousarray(pairs.T):
        state = _PAIRS.take((state ^ pair) & np.uint32(0xFFFF)) ^ (state >> np.uint32(16))
    if width % 2:
        state = _BYTES.take((state ^ rows[:, -1]) & np.uint32(0xFF)) ^ (state >> np.uint32(8))
    return ~state


def _tables() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What one byte, and what two bytes, do to the state."""
    table = np.arange(1 << 8, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ _POLYNOMIAL, table >> np.uint32(1))
    state = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        state = table[state & np.uint32(0xFF)] ^ (state >> np.uint32(8))
    return table, state


_BYTES, _PAIRS = _tables()


def last_apart(partitions: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows but for the last of each partition, by partition and in their order; and the last ones, by partition."""
    narrow = partitions.astype(np.uint16) if partitions.max(initial=0) < 1 << 16 else partitions  # sorted by radix
    order = np.argsort(narrow, kind="stable")
    is_last = np.ones(len(order), np.bool_)
    np.not_equal(partitions[order[1:]], partitions[order[:-1]], out=is_last[:-1])
    return order[~is_last], order[is_last]
