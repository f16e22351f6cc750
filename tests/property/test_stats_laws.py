import math
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.core.decider_counts import NO_DECISIONS, ArmCounts, DeciderCounts, DeciderKey, merge_deciders
from model_store.core.histogram import RELATIVE_ERROR, Histogram, bucket_of, buckets_of, buckets_of_milliseconds
from model_store.core.pairs import MOST_NANO, PairCounts, nano
from model_store.core.sketch import (
    LABELS_KEPT,
    LAST_BUCKET,
    NO_PREDICTIONS,
    PredictionCounts,
    counts_of_labels,
    counts_of_numbers,
    number_buckets,
    number_range,
)
from model_store.core.stats import NOTHING, Batch, Series, Statistics, Tally, merge_all, merge_by_series, observe_batch
from model_store.core.stats_codec import decode_statistics, encode_statistics
from model_store.core.stats_windows import COARSE, FINE, KEPT_SECONDS, slots_at, slots_of_window

counts = st.dictionaries(st.integers(0, 900), st.integers(1, 10**6), max_size=5)
maybe = st.none() | st.integers(0, 10**15)
few = st.integers(1, 10**6)
names = st.sampled_from([f"class {number}" for number in range(5)]) | st.text(max_size=4)
# Parts with more labels than are kept, so that merging overflows, and meets parts that overflowed before.
many = st.builds(
    lambda first, count, times: counts_of_labels((f"class {number}", times + number) for number in range(first, first + count)),
    st.integers(0, 50), st.integers(1, 2 * LABELS_KEPT), few,
)  # fmt: skip
labelled = st.builds(counts_of_labels, st.lists(st.tuples(names, few), max_size=5), st.integers(0, 10)) | many
doubles = st.floats(allow_nan=True, allow_infinity=True)
numbered = st.builds(
    lambda values, weight: counts_of_numbers(np.array(values, np.float64), weight),
    st.lists(doubles, max_size=5),
    st.integers(1, 8),
)
predictions = labelled | numbered | st.builds(PredictionCounts.merged, labelled, numbered)
pairs = st.builds(
    PairCounts, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**12) | st.integers(0, MOST_NANO)
)
statistics = st.builds(
    Statistics, st.integers(0, 10**12), st.integers(0, 10**6), st.integers(0, 10**18), maybe, maybe,
    st.builds(Histogram, counts), st.builds(Histogram, counts), maybe, maybe, st.builds(Histogram, counts), predictions, pairs,
)  # fmt: skip
keys = st.builds(Series, st.sampled_from(["a", "b"]), st.integers(1, 3), st.sampled_from(["x", "y"]))
arm_counts = st.builds(ArmCounts, *[st.integers(0, 10**9)] * 4)
decider_counts = st.builds(
    DeciderCounts, *[st.integers(0, 10**9)] * 3,
    st.dictionaries(st.sampled_from(["", "b", "c"]), arm_counts), st.builds(Histogram, counts),
)  # fmt: skip
decider_sheets = st.dictionaries(
    st.builds(DeciderKey, st.sampled_from(["wine", "w*", "*"]), st.sampled_from(["first", "vote"])), decider_counts
)
sheets = st.dictionaries(keys, statistics, max_size=4)
batches = st.builds(
    lambda n, seconds, at, latencies, seen, compared: observe_batch(
        n, 0, seconds, at, at - np.array(latencies, np.int64), seen, compared
    ),
    st.integers(1, 10_000),
    st.floats(0, 100),
    st.integers(10**9, 10**13),
    st.lists(st.integers(0, 10**8), max_size=5),
    predictions,
    pairs,
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
@given(sheets, st.dictionaries(st.sampled_from(["decode", "score"]), st.integers(0, 10**9)), decider_sheets)
def test_statistics_are_read_back_as_they_were_written(
    sheet: dict[Series, Statistics], letters: dict[str, int], deciders: dict[DeciderKey, DeciderCounts]
) -> None:
    assert decode_statistics(encode_statistics(sheet, letters, deciders)) == (sheet, letters, deciders)


@settings(deadline=None)
@given(decider_counts, decider_counts, decider_counts)
def test_what_deciders_did_is_merged_exactly_in_any_order(
    one: DeciderCounts, two: DeciderCounts, three: DeciderCounts
) -> None:
    assert one.merged(two) == two.merged(one)
    assert one.merged(two).merged(three) == one.merged(two.merged(three))
    assert one.merged(NO_DECISIONS) == one == NO_DECISIONS.merged(one)
    assert one.merged(two).records == one.records + two.records


@settings(deadline=None)
@given(st.lists(decider_sheets, max_size=3), st.integers(0, 3))
def test_deciders_are_merged_each_for_itself(parts: list[dict[DeciderKey, DeciderCounts]], split: int) -> None:
    together = merge_deciders(parts)

    assert together == merge_deciders([merge_deciders(parts[:split]), merge_deciders(parts[split:])])
    for key, merged in together.items():
        assert merged.decided == sum(part[key].decided for part in parts if key in part)


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
@given(
    st.lists(st.integers(-1_000, 2_000), min_size=1, max_size=60).flatmap(
        lambda few: st.lists(st.sampled_from(few) | st.integers(0, 10**13), max_size=120) | st.just(few)
    )
)
def test_many_ages_fall_into_the_buckets_that_each_falls_into(milliseconds: list[int]) -> None:
    one_by_one = Counter(bucket_of(each * 1e6) for each in milliseconds)

    assert buckets_of_milliseconds(np.array(milliseconds, np.int64)) == one_by_one


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


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 80).map(str), few), max_size=120), st.integers(0, 120))
def test_labels_that_are_kept_are_counted_exactly_however_the_records_were_split(
    counted: list[tuple[str, int]], split: int
) -> None:
    merged = counts_of_labels(counted[:split]).merged(counts_of_labels(counted[split:]))

    true: dict[str, int] = {}
    for name, count in counted:
        true[name] = true.get(name, 0) + count
    assert merged == counts_of_labels(counted)
    assert len(merged.labels) == min(len(true), LABELS_KEPT)
    assert all(true[name] == count for name, count in merged.labels.items())
    assert merged.total == sum(true.values())


@settings(deadline=None)
@given(labelled, labelled)
def test_counts_told_by_fewer_names_are_the_same_counts_and_merge_alike(
    one: PredictionCounts, two: PredictionCounts
) -> None:
    names = one.merged(two).labels

    together = one.keeping(names).merged(two.keeping(names))

    assert together == one.merged(two)
    assert one.keeping(names).total == one.total


@settings(deadline=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_buckets_of_numbers_are_in_the_order_of_the_numbers(one: float, two: float) -> None:
    first, second, mirrored = number_buckets(np.array([min(one, two), max(one, two), -one])).tolist()

    assert -LAST_BUCKET <= first <= second <= LAST_BUCKET
    assert mirrored == -number_buckets(np.array([one]))[0]


@settings(deadline=None)
@given(st.floats(allow_nan=False) | st.floats(-100, 100))
def test_a_number_lies_in_the_range_of_its_bucket_and_the_bucket_is_narrow(number: float) -> None:
    bucket = int(number_buckets(np.array([abs(number)]))[0])
    low, high = number_range(bucket)

    assert low <= abs(number) < high or abs(number) == high == float("inf")
    assert number_range(-bucket) == (-high, -low)
    if 0 < bucket < LAST_BUCKET:
        assert high - low <= low / 32


@settings(deadline=None)
@given(st.lists(doubles, max_size=30), st.integers(0, 30))
def test_numbers_counted_apart_and_merged_are_numbers_counted_together(values: list[float], split: int) -> None:
    apart = counts_of_numbers(np.array(values[:split])).merged(counts_of_numbers(np.array(values[split:])))

    assert apart == counts_of_numbers(np.array(values))
    assert (apart.total, apart.missing) == (len(values), sum(map(math.isnan, values)))


@settings(deadline=None)
@given(pairs, pairs)
def test_a_sum_of_differences_can_always_be_written(one: PairCounts, two: PairCounts) -> None:
    merged = one.merged(two)

    assert max(one.difference_nano, two.difference_nano) <= merged.difference_nano <= MOST_NANO
    assert one.merged(PairCounts(1, 1, MOST_NANO)).difference_nano == MOST_NANO


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 8)), min_size=1, max_size=6))
def test_weighted_rows_tell_at_most_as_much_as_the_rows_that_were_looked_at(batches: list[tuple[int, int]]) -> None:
    merged = NO_PREDICTIONS
    for rows, weight in batches:
        merged = merged.merged(counts_of_labels([("a", rows)], 1, weight))

    weights = [weight for rows, weight in batches for _ in range(rows + 1)]
    assert merged.total == sum(weights)
    assert merged.effective == pytest.approx(sum(weights) ** 2 / sum(weight**2 for weight in weights))
    assert merged.effective <= len(weights) * (1 + 1e-12)


@settings(deadline=None)
@given(st.floats(0, allow_nan=False, allow_infinity=True))
def test_a_difference_in_billionths_is_within_half_of_one_and_saturates(difference: float) -> None:
    assert 0 <= nano(difference) <= MOST_NANO
    if difference < 1e6:
        assert nano(difference) * 1e-9 == pytest.approx(difference, abs=0.6e-9)
    if difference > 1e10:
        assert nano(difference) == MOST_NANO


@settings(deadline=None)
@given(sheets, st.dictionaries(st.sampled_from(["decode", "score"]), st.integers(0, 10**9)))
def test_what_an_earlier_version_wrote_is_still_read(sheet: dict[Series, Statistics], letters: dict[str, int]) -> None:
    rows, dead, _ = msgspec.msgpack.decode(encode_statistics(sheet, letters), strict=False)
    earlier = msgspec.msgpack.encode([[row[:12] for row in rows], dead])

    read, read_letters, deciders = decode_statistics(earlier)

    assert (read_letters, deciders) == (letters, {})
    for key, part in sheet.items():
        assert read[key].merged(NOTHING) == read[key]
        assert (read[key].count, read[key].score, read[key].last_ms) == (part.count, part.score, part.last_ms)
        assert (read[key].batches, read[key].predictions, read[key].pairs) == (
            Histogram(),
            NO_PREDICTIONS,
            PairCounts(),
        )


def tallied(some: list[Batch]) -> Statistics:
    tally = Tally()
    for batch in some:
        tally.observe(batch)
    return tally.frozen()
