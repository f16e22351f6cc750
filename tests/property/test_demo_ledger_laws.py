"""The ledger's laws: whatever the order and the batches, every record is counted as often as it was answered."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.demo.ledger import Answers, Ledger

STARTS = {0: 100, 1: 0, 2: 7}
SIZE = 20
SOURCE = ("wine", "wine-quality", 1, 7, "")

places = st.tuples(st.sampled_from(sorted(STARTS)), st.integers(0, SIZE - 1)).map(
    lambda at: (at[0], STARTS[at[0]] + at[1])
)
answers = st.lists(st.tuples(places, st.booleans()), max_size=60)


def columns(batch) -> Answers:
    return Answers(np.array([p for p, _ in batch], np.int64), np.array([o for _, o in batch], np.int64))


def count(ledger: Ledger, batch) -> None:
    scored = [place for place, is_result in batch if is_result]
    times = np.zeros(len(scored), np.int64)
    ledger.count_results(columns(scored), [SOURCE] * len(scored), [None] * len(scored), times, times, 5)
    ledger.count_dead_letters(columns([place for place, is_result in batch if not is_result]))


@settings(deadline=None)
@given(answers, st.integers(1, 7))
def test_the_account_is_that_of_a_counter_of_places(found, batch_size):
    ledger = Ledger(STARTS)
    for start in range(0, len(found), batch_size):
        count(ledger, found[start : start + batch_size])

    by_place = Counter(place for place, _ in found)
    balance = ledger.balance({partition: start + SIZE for partition, start in STARTS.items()})
    assert balance.records == SIZE * len(STARTS)
    assert balance.answered == len(by_place)
    assert balance.lost == SIZE * len(STARTS) - len(by_place)
    assert balance.duplicated == sum(times - 1 for times in by_place.values())
    assert ledger.results == sum(is_result for _, is_result in found)
    assert ledger.answers == len(found)


@settings(deadline=None)
@given(answers, st.randoms())
def test_the_order_of_answers_does_not_matter(found, random):
    shuffled = list(found)
    random.shuffle(shuffled)
    one, other = Ledger(STARTS), Ledger(STARTS)
    count(one, found)
    count(other, shuffled)

    ends = {partition: start + SIZE for partition, start in STARTS.items()}
    assert one.balance(ends) == other.balance(ends)


@settings(deadline=None)
@given(answers)
def test_answers_to_records_of_before_the_run_are_not_counted(found):
    ledger = Ledger({partition: start + SIZE for partition, start in STARTS.items()})
    count(ledger, found)

    assert ledger.answers == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 2_000), min_size=1, max_size=100))
def test_a_latency_share_is_the_smallest_time_within_which_that_share_came(latencies):
    ledger = Ledger({0: 0})
    places = Answers(np.zeros(len(latencies), np.int64), np.arange(len(latencies)))
    sent = 10_000 - np.array(latencies, np.int64)
    ledger.count_results(places, [SOURCE] * len(latencies), [None] * len(latencies), sent, sent, 10_000)

    (median,) = ledger.latency_ms(0.5)
    assert sum(latency <= median for latency in latencies) >= len(latencies) / 2
    assert sum(latency < median for latency in latencies) < len(latencies) / 2 or median == min(latencies)


def test_counters_grow_beyond_their_first_room():
    ledger = Ledger({0: 0})
    offsets = np.arange(0, 300_000, 7)
    for part in np.array_split(offsets, 5):
        ledger.count_dead_letters(Answers(np.zeros(len(part), np.int64), part))

    assert ledger.balance({0: 300_000}).answered == len(offsets)


def test_the_slowest_answer_of_a_period_is_that_of_its_data_type():
    ledger = Ledger({0: 0})
    written = np.array([1_000, 1_020, 5_000], np.int64)
    ledger.count_results(
        Answers(np.zeros(3, np.int64), np.arange(3)),
        [SOURCE, ("sparkling", "m", 1, 7, ""), SOURCE],
        [None] * 3,
        written - np.array([4, 90, 300]),
        written,
        6_000,
    )

    assert ledger.worst_ms("wine", 900, 1_100) == 4
    assert ledger.worst_ms("sparkling", 900, 1_100) == 90
    assert ledger.worst_ms("wine", 900, 6_000) == 300
    assert ledger.worst_ms("wine", 2_000, 3_000) == 0
