import threading
import time

import numpy as np

from model_store.core.pairs import PairCounts
from model_store.core.sketch import counts_of_labels
from model_store.core.stats import Series
from model_store.core.stats_windows import slots_at
from serving.adapters.statistics import Collector

TREE = Series("tree", 3, "wine")
START_MS = 1_800_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def kept(clock: Clock) -> Collector:
    """One whose slots somebody writes."""
    collector = Collector(clock)
    collector.keep_slots()
    return collector


def confirm(collector: Collector) -> None:
    collector.written({slot: changes for slot, (_, changes) in collector.unwritten().items()})


def test_a_batch_is_counted_in_the_total_and_in_both_resolutions() -> None:
    clock = Clock()
    collector = kept(clock)

    collector.observe(TREE, 9, 1, 0.01, np.array([START_MS - 100] * 9))

    assert set(collector.unwritten()) == set(slots_at(START_MS))
    for sheet in (collector.total(), *(sheet for sheet, _ in collector.unwritten().values())):
        assert (sheet.series[TREE].count, sheet.series[TREE].errors, sheet.series[TREE].latency.total) == (10, 1, 9)


def test_what_was_predicted_and_compared_is_counted_with_the_batch() -> None:
    collector = kept(Clock())
    seen, pairs = counts_of_labels([("red", 8)], 1), PairCounts(9, 2, 500)

    collector.observe(TREE, 9, 1, 0.01, None, seen, pairs)
    collector.observe(TREE, 9, 1, 0.01, predictions=seen)
    collector.observe(TREE, 9, 1, 0.01)

    for sheet in (collector.total(), *(sheet for sheet, _ in collector.unwritten().values())):
        part = sheet.series[TREE]
        assert (part.count, part.batches.total) == (30, 3)
        assert (dict(part.predictions.labels), part.predictions.missing) == ({"red": 16}, 2)
        assert part.pairs == pairs


def test_an_empty_batch_is_nothing() -> None:
    collector = kept(Clock())

    collector.observe(TREE, 0, 0, 0.01)

    assert collector.total().series == {}
    assert collector.unwritten() == {}


def test_a_slot_is_written_again_only_after_it_changed() -> None:
    collector = kept(Clock())
    collector.observe(TREE, 1, 0, 0.01)
    confirm(collector)
    assert collector.unwritten() == {}

    collector.observe(TREE, 1, 0, 0.01)

    assert {sheet.series[TREE].count for sheet, _ in collector.unwritten().values()} == {2}


def test_what_is_counted_while_a_write_is_under_way_is_written_next_time() -> None:
    collector = kept(Clock())
    collector.observe(TREE, 1, 0, 0.01)
    under_way = {slot: changes for slot, (_, changes) in collector.unwritten().items()}

    collector.observe(TREE, 1, 0, 0.01)
    collector.written(under_way)

    assert {sheet.series[TREE].count for sheet, _ in collector.unwritten().values()} == {2}


def test_a_clock_that_steps_back_does_not_open_an_old_slot_again() -> None:
    clock = Clock()
    collector = kept(clock)
    collector.observe(TREE, 1, 0, 0.01)
    clock.now_ms += 10_000
    collector.observe(TREE, 1, 0, 0.01)
    confirm(collector)

    clock.now_ms = START_MS
    collector.observe(TREE, 1, 0, 0.01)

    assert set(collector.unwritten()) == set(slots_at(START_MS + 10_000))


def test_a_slot_that_is_over_and_written_is_forgotten() -> None:
    clock = Clock()
    collector = kept(clock)
    for _ in range(1_000):
        clock.now_ms += 10_000
        collector.observe(TREE, 1, 0, 0.01)
        confirm(collector)

    assert len(collector._slots) <= 4


def test_a_series_that_was_asked_for_is_counted_on_as_if_it_had_not_been() -> None:
    asked, left_alone = kept(clock := Clock()), kept(clock)
    for seconds in (0.001, 0.02, 0.3):
        for collector in (asked, left_alone):
            collector.observe(TREE, 3, 1, seconds, np.array([START_MS - 5]), counts_of_labels([("good", 2)]))
        asked.total()
        asked.unwritten()
        clock.now_ms += 1_000

    assert asked.total() == left_alone.total()
    assert [sheet for sheet, _ in asked.unwritten().values()] == [s for s, _ in left_alone.unwritten().values()]


def test_slots_are_kept_only_for_who_writes_them() -> None:
    collector = Collector(clock := Clock())
    for _ in range(100):
        clock.now_ms += 10_000
        collector.observe(TREE, 1, 0, 0.01)

    assert collector.unwritten() == {}
    assert not collector._slots
    assert collector.total().series[TREE].count == 100


def test_threads_that_read_do_not_disturb_the_counts() -> None:
    collector = Collector()
    done = threading.Event()
    failures: list[str] = []

    def read() -> None:
        while not done.is_set():
            part = collector.total().series.get(TREE)
            if part is not None and part.count != part.score.total:
                failures.append(f"{part.count} != {part.score.total}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(3_000):
        collector.observe(TREE, 2, 1, 0.01)
    done.set()
    for reader in readers:
        reader.join(10)

    assert failures == []
    assert collector.total().series[TREE].count == 9_000


def test_counting_a_batch_does_not_depend_on_its_size() -> None:
    def cost(records: int) -> float:
        collector = Collector()
        best = float("inf")
        for _ in range(20):
            begin = time.process_time()
            for _ in range(50):
                collector.observe(TREE, records, 0, 0.01)
            best = min(best, time.process_time() - begin)
        return best / 50

    # One Python step a record would cost ten milliseconds and more for the large batch.
    assert cost(1_000_000) < 10 * cost(1) + 1e-4
