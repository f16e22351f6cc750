"""Series that rest are kept in another form, and nobody can tell."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_store.core.sketch import counts_of_numbers
from model_store.core.stats import Series, Tally, observe_batch
from serving.adapters.statistics import Collector

START_MS = 1_800_000_000_000

steps = st.lists(
    st.tuples(
        st.sampled_from([Series("tree", version, "wine") for version in range(4)]),
        st.integers(1, 200),
        st.sampled_from([0, 1_000, 30_000, 61_000]),
        st.sampled_from(["total", "changed", "nothing"]),
    ),
    max_size=40,
)


@given(steps)
def test_the_total_is_what_was_counted_however_long_a_series_rested(some) -> None:
    now_ms = START_MS
    collector = Collector(lambda: now_ms)
    expected: dict[Series, Tally] = {}
    written = {}

    def write() -> int:
        changed, count = collector.changed_total()
        written.update(changed.series)
        return count

    for series, count, passed_ms, then in some:
        now_ms += passed_ms
        looked, ages = counts_of_numbers(np.arange(count)), np.full(count, now_ms - 7)
        collector.observe(series, count, 0, count * 1e-6, ages, looked)
        batch = observe_batch(count, 0, count * 1e-6, now_ms, ages, looked)
        expected.setdefault(series, Tally()).observe(batch)
        if then == "total":
            assert collector.total().series == {each: tally.frozen() for each, tally in expected.items()}
        elif then == "changed":
            assert write() == len(expected)

    assert write() == len(expected)
    assert written == collector.total().series == {each: tally.frozen() for each, tally in expected.items()}
