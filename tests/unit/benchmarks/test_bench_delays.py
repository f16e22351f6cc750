"""Delays and swaps, from arrivals that are made up."""

import numpy as np
import pytest

from benchmarks.accounting import Results
from benchmarks.delays import Column, delays_of, first_arrivals, is_near, swap_seen

SECOND = 1_000_000
OLD, NEW = 7, 9


def column(delays_ms: list[float], versions: list[int], every_us: int = SECOND) -> Column:
    count = len(delays_ms)
    sent = np.arange(count) * every_us
    arrived = sent + (np.array(delays_ms) * 1_000).astype(np.int64)
    return Column(np.arange(count), sent, arrived, np.array(versions, np.uint64))


def test_quantiles_are_in_milliseconds():
    found = delays_of(np.arange(1, 1002, dtype=float))

    assert (found.p50, found.p99, found.worst) == (501.0, 991.0, 1001.0)
    assert found.curve[0] == 1.0
    assert found.curve[-1] == 1001.0
    assert found.longest[:3] == (1001.0, 1000.0, 999.0)


def test_without_records_there_are_no_delays():
    with pytest.raises(ValueError, match="no record"):
        delays_of(np.zeros(0))


def test_a_record_that_came_twice_counts_with_its_first_arrival():
    twice = Results(
        np.array([1, 0, 1, -1]), np.zeros(4, np.int64), np.zeros((4, 1)), np.full(4, OLD, np.uint64),
        np.zeros(4, bool), np.zeros(4, np.int64),
    )  # fmt: skip

    found = first_arrivals(twice, np.array([10, 20, 30, 40]), twice.version)

    assert found.index.tolist() == [0, 1]
    assert found.arrived_us.tolist() == [20, 10]


def test_a_swap_takes_from_giving_the_model_to_its_first_result():
    found = column([5, 5, 5, 40, 5, 5], [OLD, OLD, OLD, NEW, NEW, NEW])

    swap = swap_seen(found, given_us=2 * SECOND + 500_000, new=[NEW], partitions=1)

    assert swap is not None
    assert swap.took_ms == 540.0
    assert swap.worst_ms == 40.0
    assert swap.mixed == 0


def test_the_worst_record_near_a_swap_is_not_one_from_long_before_or_after():
    found = column([900, 5, 7, 5, 800], [OLD, OLD, NEW, NEW, NEW])

    swap = swap_seen(found, given_us=2 * SECOND - 1, new=[NEW], partitions=1)

    assert swap is not None
    assert swap.worst_ms == 7.0


def test_old_results_behind_new_ones_in_one_partition_are_mixed():
    found = column([5] * 6, [OLD, OLD, NEW, OLD, NEW, NEW], every_us=10_000)

    swap = swap_seen(found, given_us=15_000, new=[NEW], partitions=1)
    apart = swap_seen(found, given_us=15_000, new=[NEW], partitions=2)

    assert swap is not None
    assert swap.mixed == 1
    assert apart is not None
    assert apart.mixed == 0


def test_a_model_that_nobody_saw_did_not_swap():
    assert swap_seen(column([5, 5], [OLD, OLD]), 0, [NEW], 1) is None


def test_results_of_the_model_from_before_it_was_given_do_not_count():
    found = column([5, 5, 5, 5], [NEW, OLD, OLD, NEW])

    swap = swap_seen(found, given_us=SECOND, new=[NEW], partitions=1)

    assert swap is not None
    assert swap.took_ms == 2005.0


def test_near_is_by_the_time_of_sending():
    assert is_near(column([5, 5000, 5], [OLD] * 3), SECOND, 2 * SECOND).tolist() == [False, True, True]
