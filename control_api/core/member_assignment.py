"""What a member of a classic consumer group was given, as its leader wrote it down: Kafka's `ConsumerProtocolAssignment`.

    version int16, then topics: count int32, each: name (length int16, UTF-8), count int32 of partitions, int32 each

Everything is big-endian; later versions only add at the end.
"""

from __future__ import annotations

import struct
from typing import Final

_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")


def assigned_partitions(data: bytes) -> tuple[tuple[str, int], ...]:
    """Topic and partition of all that the member holds, in order; empty where it holds nothing or the bytes are no assignment."""
    try:
        return tuple(sorted(_read(data)))
    except (struct.error, UnicodeDecodeError, ValueError):
        return ()


def _read(data: bytes) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    if not data:
        return found
    at = _INT16.size
    (topics,) = _INT32.unpack_from(data, at)
    at += _INT32.size
    for _ in range(topics):
        (length,) = _INT16.unpack_from(data, at)
        at += _INT16.size
        if length < 0 or at + length > len(data):
            raise ValueError(f"a name of {length} bytes at {at} of {len(data)}")
        topic = data[at : at + length].decode()
        at += length
        (count,) = _INT32.unpack_from(data, at)
        at += _INT32.size
        if not 0 <= count <= (len(data) - at) // _INT32.size:
            raise ValueError(f"{count} partitions at {at} of {len(data)}")
        found += [(topic, number) for number in struct.unpack_from(f">{count}i", data, at)]
        at += count * _INT32.size
    return found
