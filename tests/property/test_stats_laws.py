import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.core.histogram import RELATIVE_ERROR, Histogram, bucket_of, buckets_of
from model_store.core.stats import NOTHING, Batch, Series, Statistics, Tally, merge_all, merge_by_series, observe_batch
from model_store.core.stats_codec import decode_statistics, encode_statistics
from model_store.core.stats_windows import COARSE, FINE, KEPT_SECONDS, slots_at, slots_of_window

counts = st.dictionaries(st.integers(0, 900), st.integers(1, 10**6), max_size=5)
maybe = st.none() | st.integers(0, 10**15)
statistics = st.builds(
    Statistics, st.integers(0, 10**12), st.integers(0, 10**6), st.integers(0, 10**18), maybe, maybe,
    st.builds(Histogram, counts), st.builds(Histogram, counts), maybe, maybe,
)  # fmt: skip
keys = st.builds(Series, st.sampled_from(["a", "b"]), st.integers(1, 3), st.sampled_from(["x", "y"]))
sheets = st.dictionaries(keys, statistics, max_size=4)
batches = st.builds(
    lambda n, seconds, at, latencies: observe_batch(n, 0, seconds, at, at - np.array(latencies, np.int64)),
    st.integers(1, 10_000),
    st.floats(0, 100),
    st.integers(10**9, 10**13),
    st.lists(st.integers(0, 10**8), max_size=5),
)
durations = st.floats(1.0, 1e14)


@settings(deadline=None)
@given(statistics, statistics)
def test_merging_commutes(one: Statistics, other: Statistics) -> None:
    assert one.merged(other) == other.merged(one)


@settings(deadline=None)
@given(statistics, statistics, statistics)
def test_merging_associates(one: Statistics, two: Statistics, three: Statistics) -> None:
    assert one.merged(two).merged(three) == one.merged(two.merged(three))


@settings(deadline=None)
@given(statistics)
def test_nothing_is_the_identity(some: Statistics) -> None:
    assert some.merged(NOTHING) == some == NOTHING.merged(some)


@settings(deadline=None)
@given(st.lists(batches, max_size=8), st.integers(0, 8))
def test_batches_counted_apart_and_merged_are_batches_counted_together(some: list[Batch], split: int) -> None:
    assert tallied(some[:split]).merged(tallied(some[split:])) == tallied(some)


@settings(deadline=None)
@given(st.lists(statistics, max_size=5), st.randoms())
def test_the_order_of_the_parts_does_not_matter(parts: list[Statistics], random: object) -> None:
    shuffled = sorted(parts, key=lambda _: random.random())  # type: ignore[attr-defined]  # a random.Random

    assert merge_all(shuffled) == merge_all(parts)


@settings(deadline=None)
@given(st.lists(sheets, max_size=3))
def test_series_are_merged_each_for_itself(parts: list[dict[Series, Statistics]]) -> None:
    together = merge_by_series(parts)

    assert set(together) == {key for part in parts for key in part}
    for key, merged in together.items():
        assert merged == merge_all(part[key] for part in parts if key in part)


@settings(deadline=None)
@given(sheets, st.dictionaries(st.sampled_from(["decode", "score"]), st.integers(0, 10**9)))
def test_statistics_are_read_back_as_they_were_written(
    sheet: dict[Series, Statistics], letters: dict[str, int]
) -> None:
    assert decode_statistics(encode_statistics(sheet, letters)) == (sheet, letters)


@settings(deadline=None)
@given(st.lists(durations, min_size=1, max_size=50), st.floats(0, 1))
def test_a_percentile_is_within_the_documented_error_of_the_true_one(nanoseconds: list[float], quantile: float) -> None:
    histogram = Histogram(buckets_of(np.array(nanoseconds)))
    true = sorted(nanoseconds)[max(1, math.ceil(quantile * len(nanoseconds))) - 1] * 1e-9

    assert histogram.quantile_seconds(quantile) == pytest.approx(true, rel=RELATIVE_ERROR * 1.0001, abs=1e-9)


@settings(deadline=None)
@given(st.builds(Histogram, counts), st.lists(st.floats(0, 1), min_size=2).map(sorted))
def test_percentiles_are_monotone(histogram: Histogram, quantiles: list[float]) -> None:
    values = [value for value in histogram.quantiles_seconds(quantiles) if value is not None]

    assert values == sorted(values)
    assert len(values) == (len(quantiles) if histogram.counts else 0)


@settings(deadline=None)
@given(st.lists(durations | st.floats(-10, 1), max_size=30))
def test_many_durations_fall_into_the_buckets_that_each_falls_into(nanoseconds: list[float]) -> None:
    one_by_one: dict[int, int] = {}
    for value in nanoseconds:
        one_by_one[bucket_of(value)] = one_by_one.get(bucket_of(value), 0) + 1

    assert buckets_of(np.array(nanoseconds, np.float64)) == one_by_one


@settings(deadline=None)
@given(st.builds(Histogram, counts), st.lists(st.floats(1e-9, 1e6), min_size=2).map(sorted))
def test_cumulative_counts_grow_to_the_total(histogram: Histogram, bounds: list[float]) -> None:
    cumulative = [histogram.count_up_to_seconds(bound) for bound in bounds]

    assert cumulative == sorted(cumulative)
    assert cumulative[-1] <= histogram.total


@settings(deadline=None)
@given(st.integers(10**12, 2 * 10**12), st.integers(1, 86_400), st.integers(0, 90_000_000))
def test_a_window_covers_what_is_in_it_and_nothing_older_than_a_slot(
    now_ms: int, window_seconds: int, ago_ms: int
) -> None:
    window = slots_of_window(window_seconds, now_ms)
    resolution = window[0].seconds
    covering = set(slots_at(now_ms - ago_ms)) & set(window)

    if ago_ms <= (window_seconds - resolution) * 1000:
        assert covering
    if ago_ms > (window_seconds + resolution) * 1000:
        assert not covering
    assert all(slot.expires_ms > now_ms for slot in window)
    assert len(window) <= KEPT_SECONDS[resolution] // resolution
    assert resolution == (FINE if window_seconds <= 3_600 else COARSE)


def tallied(some: list[Batch]) -> Statistics:
    tally = Tally()
    for batch in some:
        tally.observe(batch)
    return tally.frozen()
