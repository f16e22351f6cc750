"""Which partition of an output topic a key belongs to, as librdkafka's default partitioner (`consistent_random`) has it.

Whoever else writes the same keys with librdkafka, and this worker when it leaves the choice to the client, choose the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

DEFAULT: Final = "consistent_random"
"""The `partitioner` that this is the same as, for keys that are not empty."""


def partitions_of(keys: Sequence[bytes], count: int) -> NDArray[np.int32]:
    """CRC32 of each key, modulo the number of partitions. Raises `TypeError` if a key is `None`."""
    hashes = np.array(list(map(crc32, keys)), np.int64)
    return (hashes % count).astype(np.int32)


def last_apart(partitions: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows but for the last of each partition, by partition and in their order; and the last ones, by partition."""
    narrow = partitions.astype(np.uint16) if partitions.max(initial=0) < 1 << 16 else partitions  # sorted by radix
    order = np.argsort(narrow, kind="stable")
    is_last = np.ones(len(order), np.bool_)
    np.not_equal(partitions[order[1:]], partitions[order[:-1]], out=is_last[:-1])
    return order[~is_last], order[is_last]
