"""A `ByteColumn` is a sequence of byte strings like any other, however it was made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.core.byte_column import ByteColumn

strings = st.lists(st.binary(max_size=20), max_size=30)


def scattered(values: list[bytes], gaps: list[bytes]) -> ByteColumn:
    """The same strings, backwards in a buffer with other bytes between them: as an encoder may leave them."""
    buffer, starts = b"", []
    for value, gap in zip(reversed(values), reversed(gaps), strict=True):
        buffer += gap
        starts.append(len(buffer))
        buffer += value
    lengths = np.array([len(value) for value in values], np.int64)
    return ByteColumn(np.frombuffer(buffer, np.uint8), np.array(starts[::-1], np.int64), lengths)


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[bytes], ByteColumn]:
    values = draw(strings)
    if draw(st.booleans()):
        return values, ByteColumn.of(values)
    gaps = draw(st.lists(st.binary(max_size=5), min_size=len(values), max_size=len(values)))
    return values, scattered(values, gaps)


@given(columns())
def test_a_column_is_the_sequence_that_it_was_made_of(made: tuple[list[bytes], ByteColumn]) -> None:
    values, column = made

    assert list(column) == values
    assert [column[row] for row in range(len(column))] == values
    assert [column[row - len(values)] for row in range(len(column))] == values
    assert list(reversed(column)) == values[::-1]
    assert column.longest == max(map(len, values), default=0)
    assert column == values


@given(columns(), strings)
def test_a_column_equals_what_the_list_equals(made: tuple[list[bytes], ByteColumn], other: list[bytes]) -> None:
    values, column = made

    assert (column == other) == (values == other)
    assert (column == ByteColumn.of(other)) == (values == other)


@pytest.mark.parametrize("other", [[None], ["a"], [97], [b"b"], [b"a", b""], b"a", 1, None])
def test_a_column_does_not_equal_what_is_no_sequence_of_the_same_bytes(other: object) -> None:
    assert ByteColumn.of([b"a"]) != other


@given(columns(), st.slices(30))
def test_a_slice_is_the_slice_of_the_list(made: tuple[list[bytes], ByteColumn], part: slice) -> None:
    values, column = made

    assert list(column[part]) == values[part]


@given(columns(), st.data())
def test_taking_takes_rows_in_the_order_asked_for(made: tuple[list[bytes], ByteColumn], data: st.DataObject) -> None:
    values, column = made
    rows = data.draw(st.lists(st.integers(0, len(values) - 1)) if values else st.just([]))

    assert list(column.take(rows)) == [values[row] for row in rows]
    assert list(column.take(np.array(rows, np.intp))) == [values[row] for row in rows]


@given(st.lists(columns(), min_size=1, max_size=5))
def test_joined_columns_are_one_after_the_other(parts: list[tuple[list[bytes], ByteColumn]]) -> None:
    joined = ByteColumn.joined([column for _, column in parts])

    assert list(joined) == [value for values, _ in parts for value in values]


@given(st.integers(0, 10), st.integers(0, 10))
def test_rows_of_a_matrix_are_its_bytes(count: int, width: int) -> None:
    matrix = np.arange(count * width, dtype=np.uint8).reshape(count, width)

    assert list(ByteColumn.rows(matrix)) == [row.tobytes() for row in matrix]


@given(columns())
def test_a_column_of_a_column_is_itself(made: tuple[list[bytes], ByteColumn]) -> None:
    assert ByteColumn.of(made[1]) is made[1]


@pytest.mark.parametrize("row", [3, -4])
def test_there_is_nothing_beyond_the_ends(row: int) -> None:
    with pytest.raises(IndexError):
        ByteColumn.of([b"a", b"", b"c"])[row]


@pytest.mark.parametrize("values", [[None], [b"a", None], ["a"]])
def test_what_is_not_bytes_makes_no_column(values: list[bytes]) -> None:
    with pytest.raises(TypeError):
        ByteColumn.of(values)
