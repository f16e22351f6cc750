"""Variable-length integers of protobuf, a whole column at a time.

https://protobuf.dev/programming-guides/encoding/#varints: seven bits a byte, least significant first, high bit set in
all bytes but the last. Negative int32 and int64 take ten bytes; sint32 and sint64 are zigzag-coded first.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

VarintKind = Literal["uint64", "uint32", "int64", "int32", "bool", "sint32", "sint64"]

Integers = NDArray[np.uint64] | NDArray[np.int64] | NDArray[np.uint32] | NDArray[np.int32] | NDArray[np.bool_]

_SEVEN_BITS = [np.uint64(1) << np.uint64(7 * i) for i in range(1, 10)]


def decode_column(column: NDArray[np.uint8], kind: VarintKind) -> Integers:
    """Values of uint8 (m, k), where each row is one varint of exactly k <= 10 bytes. 32-bit kinds keep the low bits."""
    raw = np.zeros(len(column), np.uint64)
    for i in range(column.shape[1]):
        raw |= (column[:, i] & 0x7F).astype(np.uint64) << np.uint64(7 * i)
    match kind:
        case "uint64":
            return raw
        case "bool":
            return np.not_equal(raw, 0)
        case "int64":
            return raw.view(np.int64)
        case "sint64":
            return (raw >> np.uint64(1)).view(np.int64) ^ -(raw & np.uint64(1)).view(np.int64)
    low = raw.astype(np.uint32)
    match kind:
        case "uint32":
            return low
        case "int32":
            return low.view(np.int32)
        case "sint32":
            return (low >> np.uint32(1)).view(np.int32) ^ -(low & np.uint32(1)).view(np.int32)


def varint(value: int) -> bytes:
    """One non-negative integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def width(value: int) -> int:
    """Bytes that a non-negative integer takes, 1 to 10."""
    return max(1, (value.bit_length() + 6) // 7)


def widths(raw: NDArray[np.uint64], lowest: int, highest: int) -> NDArray[np.int64] | int:
    """Bytes that each value takes; one number where all take the same. All lie in [lowest, highest]."""
    narrowest, widest = width(lowest), width(highest)
    if narrowest == widest:
        return widest
    out = np.full(len(raw), narrowest, np.int64)
    for threshold in _SEVEN_BITS[narrowest - 1 : widest - 1]:
        out += raw >= threshold
    return out


def encode_column(raw: NDArray[np.uint64], lowest: int, highest: int) -> NDArray[np.uint8]:
    """The varints of `raw` (m,) as uint8 (m, k), k being the widest; what is right of a narrower one is undefined.

    All values lie in [lowest, highest]: bytes that are the same from one bound to the other are not computed for each.
    """
    narrowest, widest = width(lowest), width(highest)
    out = np.empty((len(raw), widest), np.uint8)
    for i in range(widest):
        low, high = lowest >> 7 * i, highest >> 7 * i
        if low == high:
            out[:, i] = low & 0x7F | (0x80 if low > 0x7F else 0)
            continue
        rest = raw >> np.uint64(7 * i)
        column = rest.astype(np.uint8)  # which keeps the low eight bits; the eighth becomes the continuation bit
        if i < narrowest - 1:
            column |= np.uint8(0x80)
        else:
            column &= np.uint8(0x7F)
            if i < widest - 1:
                column |= (rest > 0x7F).astype(np.uint8) << np.uint8(7)
        out[:, i] = column
    return out
