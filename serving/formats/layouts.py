"""The layout of one encoded record, by which many records are decoded at once.

Theory of operation. The parser of a binary format looks at few bytes of a record to find its way: tags, length
prefixes, the continuation bits of variable-length integers. It copies the others without looking. Walk one record in
Python and note both kinds: the mask of the bits that steer the parse, and the offset of each wanted value. Then *any
record of the same length that agrees in the masked bits is parsed in the same way*, byte for byte, so its values lie at
the same offsets. For a batch that is one comparison of two matrices, and one strided copy a run of values.

The mask of a byte is

    FF  tags, length prefixes, strings that are not ASCII (their validity was checked once, so they must not change)
    80  bytes of variable-length integers (the continuation bit), bytes of ASCII strings (any ASCII is valid UTF-8)
    00  payload: eight bytes of a double, opaque bytes, unknown fields

An omitted field, an unknown one, a repeated one, another member of a oneof: each is another layout, not an exception.
What a walker does not model it refuses to walk, and the exact parser of the format decides. So a layout never decides
that a record is bad: no match means only that it is not the one to decode it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.formats.dictionaries import EMPTY, MISSING, Coded, code_bytes
from serving.formats.varints import VarintKind, decode_column

_WORD = 8
_LONGEST_BY_WORDS = 4_096  # bytes of a record
_BYTES_AT_ONCE = 1 << 20  # so that intermediate results stay in the cache


class NoLayoutError(Exception):
    """The record has structure that the walker does not model; the exact parser decides."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A number of fixed width: its numpy type and where it lies."""

    dtype: str
    offset: int


@dataclass(frozen=True, slots=True)
class Varint:
    """A variable-length integer: what it means, where it lies, how many bytes it has."""

    kind: VarintKind
    offset: int
    width: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that is the same in all records of the layout: a default of the schema, or NaN for a missing one."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string that lies in the record."""

    offset: int
    width: int


@dataclass(frozen=True, slots=True)
class NoText:
    """A string that does not: empty, or missing."""

    is_missing: bool


NumberSlot = Fixed | Varint | Constant
TextSlot = Text | NoText


@dataclass(slots=True)
class _Run:
    """Neighbouring columns of one type whose values lie at equal distances: one strided copy."""

    column: int
    dtype: str
    offset: int
    count: int = 1
    stride: int = 0

    def take(self, slot: Fixed) -> bool:
        """Grow by the slot of the next column, if it fits."""
        stride = slot.offset - self.offset - self.stride * (self.count - 1)
        if slot.dtype != self.dtype or stride <= 0 or (self.count > 1 and stride != self.stride):
            return False
        self.count += 1
        self.stride = stride
        return True


class Layout:
    """Where the values of one kind of record lie. Immutable. `record` itself has the layout."""

    __slots__ = (
        "_constants", "_expected", "_mask", "_masks", "_positions", "_runs", "_texts", "_varints", "_wanted",
        "length",
    )  # fmt: skip

    def __init__(
        self, record: bytes, mask: bytes | bytearray, numbers: Sequence[NumberSlot], texts: Sequence[TextSlot]
    ) -> None:
        """One slot a matrix column, one a text column; `mask` has the length of `record`."""
        self.length = len(record)
        masks = np.frombuffer(bytes(mask), np.uint8)
        # As few records as fill whole words, side by side; long ones are compared by bytes.
        together = _WORD // math.gcd(self.length, _WORD) if self.length <= _LONGEST_BY_WORDS else 1
        kind = np.uint64 if self.length <= _LONGEST_BY_WORDS else np.uint8
        self._masks = np.tile(masks, together).view(kind)
        self._wanted = np.tile(np.frombuffer(record, np.uint8) & masks, together).view(kind)
        self._positions = np.flatnonzero(masks)
        steering = masks[self._positions]
        self._expected = np.frombuffer(record, np.uint8)[self._positions] & steering
        self._mask = None if (steering == 0xFF).all() else steering
        self._texts = tuple(texts)
        self._runs: list[_Run] = []
        self._varints: list[tuple[int, Varint]] = []
        self._constants: list[tuple[int, float]] = []
        for column, slot in enumerate(numbers):
            match slot:
                case Constant(value):
                    self._constants.append((column, value))
                case Varint():
                    self._varints.append((column, slot))
                case Fixed(dtype, offset):
                    last = self._runs[-1] if self._runs else None
                    adjoins = last is not None and last.column + last.count == column
                    if last is None or not adjoins or not last.take(slot):
                        self._runs.append(_Run(column, dtype, offset))

    def matches(self, records: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """Which rows of uint8 (m, length), C-contiguous, have this layout; `None` if all have."""
        if self._all_match(records):
            return None
        steering = records.take(self._positions, axis=1)
        if self._mask is not None:
            steering &= self._mask
        equal = steering == self._expected
        rows: NDArray[np.bool_] = equal.all(1)
        return rows

    def _all_match(self, records: NDArray[np.uint8]) -> bool:
        """By words, which is cheaper than by bytes; the last few records, which may not fill words, are looked at by byte."""
        masks, wanted = self._masks, self._wanted
        together = masks.nbytes // self.length
        count = len(records) // together * together
        units = records[:count].reshape(-1).view(masks.dtype).reshape(-1, len(masks))
        step = max(1, _BYTES_AT_ONCE // masks.nbytes)
        for start in range(0, len(units), step):
            if ((units[start : start + step] & masks) != wanted).any():
                return False
        mask, expected = (each.view(np.uint8)[: self.length] for each in (masks, wanted))
        return bool(((records[count:] & mask) == expected).all())

    def numbers_into(self, records: NDArray[np.uint8], matrix: NDArray[np.float64]) -> None:
        """Fill `matrix` (m, columns) from C-contiguous records (m, length) that have this layout.

        Integers beyond 2**53 become the nearest double.
        """
        count = len(records)
        for run in self._runs:
            values = np.ndarray(
                (count, run.count), run.dtype, records.data, run.offset, (self.length, run.stride or self.length)
            )
            matrix[:, run.column : run.column + run.count] = values
        for column, slot in self._varints:
            matrix[:, column] = decode_column(records[:, slot.offset : slot.offset + slot.width], slot.kind)
        for column, value in self._constants:
            matrix[:, column] = value

    def text(self, records: NDArray[np.uint8], column: int) -> Coded:
        """One text column of records (m, length) that have this layout, m >= 1."""
        match self._texts[column]:
            case NoText(is_missing):
                return MISSING if is_missing else EMPTY
            case Text(_, 0):
                return EMPTY
            case Text(offset, width):
                return code_bytes(records[:, offset : offset + width])
