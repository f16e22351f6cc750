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


def last_of_each(partitions: NDArray[np.int32], count: int) -> NDArray[np.intp]:
    """The last row of each partition that has one, ascending."""
    last = np.full(count, -1, np.intp)
    last[partitions] = np.arange(len(partitions))  # of a partition that comes several times the last one stays
    return np.sort(last[last >= 0])
