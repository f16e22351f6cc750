"""Bytes that lie anywhere are read as they are (foreign_memory.py)."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.core.byte_column import ByteColumn
from serving.feed.foreign_memory import strings

MANY = st.lists(st.binary(max_size=40), min_size=1, max_size=200)
ONE_LENGTH = st.integers(0, 130).flatmap(
    lambda length: st.lists(st.binary(min_size=length, max_size=length), min_size=1, max_size=60)
)


def scattered(values: list[bytes]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The strings in pieces of memory of their own; addresses and lengths."""
    pieces = [np.frombuffer(value + b"!", np.uint8).copy() for value in values]
    addresses = np.array([piece.ctypes.data for piece in pieces], np.uint64)
    return pieces, addresses, np.array([len(value) for value in values], np.int64)


@given(MANY | ONE_LENGTH)
@example([b"x" * length for length in (4_096, 4_097, 0, 70_000)])
@example([b"x" * length for length in range(60)])
def test_strings_are_those_that_lie_there(values: list[bytes]) -> None:
    pieces, addresses, lengths = scattered(values)

    column = strings(addresses, lengths)
    for piece in pieces:
        piece[:] = 0xFF  # what was read is a copy

    assert list(column) == values
    assert column == values


@given(MANY | ONE_LENGTH, st.randoms())
def test_a_column_of_one_length_is_a_matrix_wherever_its_strings_lie(values: list[bytes], chance: object) -> None:
    column = ByteColumn.of(values)
    order = np.arange(len(values))
    chance.shuffle(order)  # type: ignore[attr-defined]

    for taken in (column, column[1:], column.take(order)):
        matrix = taken.matrix()
        lengths = {len(value) for value in taken}
        if len(lengths) == 1 and lengths != {0}:
            assert matrix is not None
            assert [row.tobytes() for row in matrix] == list(taken)
        else:
            assert matrix is None


@pytest.mark.parametrize("width", [1, 3, 8])
def test_windows_are_all_runs_of_bytes(width: int) -> None:
    column = ByteColumn.of([b"abcd", b"efgh"])

    assert [window.tobytes() for window in column.windows(width)] == [
        b"abcdefgh"[i : i + width] for i in range(9 - width)
    ]
