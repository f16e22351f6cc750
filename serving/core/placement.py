"""Which worker loads a data type under `placement: keyed`: Kafka's murmur2, as the Java producer's default partitioner.

Publishers key their records by data type; the worker that holds the partition which the data type hashes to is the
only one that meets such records, and so the only one that needs the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """32-bit murmur2 with Kafka's seed, unsigned.

    Source: `org.apache.kafka.common.utils.Utils.murmur2`.
    """
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * _M) & _MASK
        k ^= k >> 24
        k = (k * _M) & _MASK
        h = (h * _M) & _MASK
        h ^= k
    rest = data[whole:]
    if rest:
        h ^= int.from_bytes(rest, "little")
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    h ^= h >> 15
    return h


def partition_of(key: str, partitions: int) -> int:
    """Partition of a topic with `partitions` partitions that a record keyed `key` goes to."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def is_placed_here(data_type: str, held: Mapping[str, Iterable[int]], partition_counts: Mapping[str, int]) -> bool:
    """Whether one of the held partitions, topic by topic, is the one that `data_type` hashes to."""
    return any(
        partition_of(data_type, partition_counts[topic]) in partitions
        for topic, partitions in held.items()
        if partition_counts.get(topic)
    )
