"""Laws of the population stability index."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.core.drift import NUMBER_BINS, drift
from model_store.core.sketch import PredictionCounts, counts_of_labels, counts_of_numbers

numbers = st.builds(
    lambda values, weight: counts_of_numbers(np.array(values), weight),
    st.lists(st.floats(), min_size=1, max_size=60),
    st.integers(1, 5),
)
labels = st.builds(
    lambda counts, missing, weight: counts_of_labels(((str(name), count) for name, count in counts), missing, weight),
    # A few labels, and more than are kept by name.
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 500)), min_size=1, max_size=8)
    | st.builds(
        lambda first, count, times: [(name, times) for name in range(first, first + count)],
        st.integers(0, 90),
        st.integers(1, 120),
        st.integers(1, 500),
    ),
    st.integers(0, 5),
    st.integers(1, 5),
)


@settings(deadline=None)
@given(numbers | labels)
def test_equal_samples_have_no_drift(some: PredictionCounts) -> None:
    found = drift(some, some)

    assert found is not None
    assert found.psi == 0


@settings(deadline=None)
@given(st.tuples(numbers, numbers) | st.tuples(labels, labels))
def test_drift_is_the_same_both_ways_and_never_negative(both: tuple[PredictionCounts, PredictionCounts]) -> None:
    one, two = both
    there, back = drift(one, two), drift(two, one)

    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert there.psi == pytest.approx(back.psi, abs=1e-12)
        assert there.psi >= 0
        assert there.chance == pytest.approx(back.chance)
        assert all(part.part >= 0 for part in there.bins)


@settings(deadline=None)
@given(st.tuples(numbers, numbers) | st.tuples(labels, labels))
def test_every_prediction_is_in_one_bin(both: tuple[PredictionCounts, PredictionCounts]) -> None:
    one, two = both
    found = drift(one, two)

    if found is not None:
        assert sum(part.expected for part in found.bins) == one.total
        assert sum(part.actual for part in found.bins) == two.total
        assert len({part.name for part in found.bins}) == len(found.bins)
    if found is not None and one.numbers:
        assert len(found.bins) <= NUMBER_BINS + 1


@settings(deadline=None)
@given(st.integers(1, 10_000), st.lists(st.integers(0, 1_000), min_size=2, max_size=5, unique=True).map(sorted))
def test_drift_grows_with_the_share_that_moved_to_another_label(records: int, moved: list[int]) -> None:
    whole = records + 1_000
    before = counts_of_labels([("a", whole), ("b", whole)])

    found = [drift(before, counts_of_labels([("a", whole - some), ("b", whole + some)])) for some in moved]

    indexes = [one.psi for one in found if one is not None]
    assert len(indexes) == len(moved)
    assert all(less < more for less, more in pairwise(indexes))


@settings(deadline=None)
@given(labels, labels, st.integers(2, 20))
def test_knowing_the_same_shares_of_fewer_records_never_makes_chance_smaller(
    one: PredictionCounts, two: PredictionCounts, times: int
) -> None:
    more = one
    for _ in range(times - 1):
        more = more.merged(one)

    few, many = drift(one, two), drift(more, two)

    assert few is not None
    assert many is not None
    assert many.chance <= few.chance


@settings(deadline=None)
@given(labels, numbers)
def test_labels_and_numbers_are_not_compared(one: PredictionCounts, two: PredictionCounts) -> None:
    assert (drift(one, two) is None) == (one.kind != two.kind and two.kind != "nothing")
