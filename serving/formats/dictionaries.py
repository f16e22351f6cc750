"""Dictionary encoding of string columns: from byte columns, from Python strings, and of several parts into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import TextColumn

# Up to here a pass over the rows per distinct value is cheaper than a dictionary of Python strings (measured: 8).
_VALUES_BY_COMPARISON = 8


@dataclass(frozen=True, slots=True)
class Coded:
    """A string column of some rows of a batch.

    Attributes:
        codes: int64 (m,), or the one code that all rows have; -1 is a missing string.
        values: What the codes index.
    """

    codes: NDArray[np.int64] | int
    values: Sequence[str]


MISSING = Coded(-1, ())
EMPTY = Coded(0, ("",))


def code_strings(strings: Sequence[str | None]) -> Coded:
    """Encode strings one by one; `None` is a missing one."""
    index: dict[str, int] = {}
    codes = [-1 if text is None else index.setdefault(text, len(index)) for text in strings]
    return Coded(np.array(codes, np.int64), list(index))


def code_bytes(block: NDArray[np.uint8]) -> Coded:
    """Encode a byte column uint8 (m, k), m and k >= 1, whose rows are valid UTF-8."""
    rows, width = block.shape
    words = (width + 7) // 8
    padded = np.zeros((rows, words * 8), np.uint8)
    padded[:, :width] = block
    keys = padded.view(np.uint64)
    same = _equal_to(keys, 0)
    values = [padded[0, :width].tobytes()]
    if same.all():
        return Coded(0, [values[0].decode()])
    codes = np.zeros(rows, np.int64)
    left = np.flatnonzero(~same)
    while len(left) and len(values) < _VALUES_BY_COMPARISON:
        remaining = keys[left]
        same = _equal_to(remaining, 0)
        codes[left[same]] = len(values)
        values.append(padded[left[0], :width].tobytes())
        left = left[~same]
    if len(left):
        index = {value: code for code, value in enumerate(values)}
        rest = np.ascontiguousarray(padded[left, :width]).view(f"V{width}").ravel().tolist()
        codes[left] = [index.setdefault(value, len(index)) for value in rest]
        values = list(index)
    return Coded(codes, [value.decode() for value in values])


def merge(parts: Sequence[tuple[NDArray[np.int64], Coded]], count: int) -> TextColumn:
    """One column of `count` rows from parts that each say which rows they are. Rows of no part are missing."""
    index: dict[str, int] = {}
    codes = np.full(count, -1, np.int64)
    for rows, coded in parts:
        if isinstance(coded.codes, int):
            if coded.codes >= 0:
                codes[rows] = index.setdefault(coded.values[coded.codes], len(index))
        else:
            # Code -1 finds the last entry, which keeps it missing.
            renumbered = np.array([*(index.setdefault(value, len(index)) for value in coded.values), -1], np.int64)
            codes[rows] = renumbered[coded.codes]
    return TextColumn(codes, list(index))


def as_column(coded: Coded, count: int) -> TextColumn:
    """The column of `count` rows that `coded` is on its own."""
    codes = np.full(count, coded.codes, np.int64) if isinstance(coded.codes, int) else coded.codes
    return TextColumn(codes, coded.values)


def _equal_to(keys: NDArray[np.uint64], row: int) -> NDArray[np.bool_]:
    if keys.shape[1] == 1:
        first: NDArray[np.bool_] = keys[:, 0] == keys[row, 0]
        return first
    same: NDArray[np.bool_] = (keys == keys[row]).all(1)
    return same
