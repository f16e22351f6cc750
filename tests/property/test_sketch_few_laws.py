"""Few numbers are counted one by one, many at once: into the same buckets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_store.core.sketch import counts_of_numbers, number_buckets

edges = [0.0, -0.0, 2.0**-30, 2.0**-31, 2.0**40, 1.5, float("inf"), float("-inf"), float("nan"), 5e-324]


@given(st.lists(st.floats() | st.sampled_from(edges), max_size=40), st.integers(1, 9))
def test_the_buckets_are_those_of_the_columns(values: list[float], weight: int) -> None:
    column = np.array(values, np.float64)
    known = column[column == column]

    counts = counts_of_numbers(column, weight)

    found, times = np.unique(number_buckets(known), return_counts=True)
    assert dict(counts.numbers) == dict(zip(found.tolist(), (times * weight).tolist(), strict=True))
    assert counts.missing == (len(column) - len(known)) * weight
    assert counts.excess == len(column) * weight * (weight - 1)
