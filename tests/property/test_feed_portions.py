"""Laws of how a run is cut where batches are scored elsewhere."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.core.byte_column import ByteColumn
from serving.feed.column_run import ColumnRun, Columns
from serving.feed.portions import portion

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=30)


def run_of(values: Any, gaps: list[int]) -> ColumnRun:
    offsets = np.cumsum(np.array(gaps, np.int64)) + 100
    columns = Columns(offsets, np.zeros(len(gaps), np.int64), [None] * len(gaps), values, None)  # type: ignore[arg-type]
    return ColumnRun(columns, 0, len(gaps))


@pytest.mark.parametrize("form", [list, ByteColumn.of])
@given(sizes=SIZES, most=st.integers(1, 100), data=st.data())
def test_the_portions_of_a_run_are_the_run_and_no_larger_than_they_may_be(
    form: Any, sizes: list[int], most: int, data: st.DataObject
) -> None:
    gaps = data.draw(st.lists(st.integers(1, 3), min_size=len(sizes), max_size=len(sizes)))
    whole = run_of(form([bytes([row]) * size for row, size in enumerate(sizes)]), gaps)
    parts, rest = [], whole
    while rest is not None:
        part, rest = portion(rest, most)
        parts.append(part)

    assert [offset for part in parts for offset in part.offsets()] == list(whole.offsets())
    assert [bytes(value) for part in parts for value in part.values()] == [bytes(value) for value in whole.values()]
    sums = [sum(len(value) for value in part.values()) for part in parts]
    assert all(total <= most or len(part) == 1 for part, total in zip(parts, sums, strict=True))
    # No portion could have taken the first record of the next.
    firsts = [len(next(iter(part.values()))) for part in parts[1:]]
    assert all(total + first > most for total, first in zip(sums, firsts, strict=False))


def test_a_tombstone_has_no_size() -> None:
    part, rest = portion(run_of([None, b"12", None, b"345"], [1] * 4), 2)

    assert list(part.values()) == [None, b"12", None]
    assert rest is not None
    assert list(rest.values()) == [b"345"]
