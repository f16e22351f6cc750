"""Statistics through a real Redis: written by workers, merged by readers, through outages."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from redis import Redis

from model_store.core.errors import StatisticsUnavailableError
from model_store.core.pairs import PairCounts
from model_store.core.sketch import counts_of_numbers
from model_store.core.stats import Series, merge_by_series
from model_store.core.stats_windows import Slot
from model_store.stats_store import RedisStatistics, Sheet
from serving.adapters.statistics import Collector, StatisticsWriter
from sluice.stack.redis import RunningRedis

TREE = Series("tree", 3, "wine")
FOREST = Series("forest", 1, "wine")


class Clock:
    """Time that a test moves; milliseconds since 1970 UTC."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def pass_seconds(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStatistics]:
    store = RedisStatistics(redis_url, namespace=f"test-{uuid.uuid4().hex}")
    yield store
    store.close()


@pytest.fixture
def outage_store(redis_server: RunningRedis) -> Iterator[RedisStatistics]:
    """On a Redis that the test stops and starts."""
    store = RedisStatistics(redis_server.url, timeout_seconds=2.0)
    yield store
    store.close()


def count_in(store: RedisStatistics, window_seconds: int, clock: Clock) -> dict[Series, int]:
    parts = store.read_window(window_seconds, clock.now_ms)
    return {series: part.count for series, part in merge_by_series(part.series for part in parts).items()}


def test_two_workers_are_read_apart_and_merge_to_their_sum(store: RedisStatistics, clock: Clock) -> None:
    for worker, scored in (("w1", 10), ("w2", 5)):
        collector = Collector(clock)
        collector.observe(TREE, scored, 1, 0.01)
        collector.dead_letters("decode", 2)
        assert StatisticsWriter(collector, store, worker, "e1").write_now()

    totals = store.read_totals()

    assert {(part.worker, part.epoch): part.series[TREE].count for part in totals} == {
        ("w1", "e1"): 11,
        ("w2", "e1"): 6,
    }
    assert all(part.dead_letters == {"decode": 2} for part in totals)
    merged = merge_by_series(part.series for part in totals)[TREE]
    assert (merged.count, merged.errors, merged.duration_ns) == (17, 2, 20_000_000)


def test_predictions_and_comparisons_of_two_workers_merge_through_the_store(
    store: RedisStatistics, clock: Clock
) -> None:
    numbers = np.random.default_rng(1).normal(0, 100, 600)
    for worker, part in (("w1", numbers[:200]), ("w2", numbers[200:])):
        collector = Collector(clock)
        collector.observe(TREE, len(part), 0, 0.01, None, counts_of_numbers(part), PairCounts(len(part), 3, 10**9))
        assert StatisticsWriter(collector, store, worker, "e1").write_now()

    for parts in (store.read_totals(), store.read_window(60, clock.now_ms)):
        merged = merge_by_series(part.series for part in parts)[TREE]
        assert merged.predictions == counts_of_numbers(numbers)
        assert merged.pairs == PairCounts(600, 6, 2 * 10**9)
        assert merged.batches.total == 2


def test_a_restart_does_not_set_the_totals_back(store: RedisStatistics, clock: Clock) -> None:
    for epoch in ("e1", "e2"):
        collector = Collector(clock)
        collector.observe(TREE, 10, 0, 0.01)
        StatisticsWriter(collector, store, "w1", epoch).write_now()
        clock.pass_seconds(1)

    totals = store.read_totals()

    assert [part.epoch for part in totals] == ["e2", "e1"]
    assert merge_by_series(part.series for part in totals)[TREE].count == 20


def test_writing_again_what_was_written_changes_nothing(store: RedisStatistics, clock: Clock) -> None:
    collector = Collector(clock)
    collector.keep_slots()
    collector.observe(TREE, 10, 0, 0.01)
    sheets = {slot: sheet for slot, (sheet, _) in collector.unwritten().items()}

    for _ in range(3):
        store.write("w1", "e1", clock.now_ms, collector.total(), sheets)

    assert count_in(store, 300, clock) == {TREE: 10}
    assert store.read_totals()[0].series[TREE].count == 10


def test_what_redis_took_is_not_written_again(store: RedisStatistics, clock: Clock) -> None:
    collector = Collector(clock)
    collector.keep_slots()
    collector.observe(TREE, 10, 0, 0.01)
    assert collector.unwritten()

    assert StatisticsWriter(collector, store, "w1", "e1").write_now()

    assert collector.unwritten() == {}


class Recording(RedisStatistics):
    """Says whose totals were written."""

    written: tuple[frozenset[Series], ...] = ()

    def write(self, worker: str, epoch: str, now_ms: int, total: Sheet, slots: Mapping[Slot, Sheet]) -> int:
        self.written += (frozenset(total.series),)
        return super().write(worker, epoch, now_ms, total, slots)


def test_of_the_totals_only_what_changed_is_written_again(redis_url: str, clock: Clock) -> None:
    store = Recording(redis_url, namespace=f"test-{uuid.uuid4().hex}")
    collector = Collector(clock)
    writer = StatisticsWriter(collector, store, "w1", "e1")
    for series in (TREE, FOREST):
        collector.observe(series, 10, 0, 0.01)
    assert writer.write_now()
    collector.observe(FOREST, 5, 0, 0.01)
    assert writer.write_now()

    assert store.written == ({TREE, FOREST}, {FOREST})
    totals = store.read_totals()[0].series
    assert {series: part.count for series, part in totals.items()} == {TREE: 10, FOREST: 15}
    store.close()


def test_a_redis_that_lost_its_data_unnoticed_is_given_all_of_it_with_the_next_write(
    redis_url: str, store: RedisStatistics, clock: Clock
) -> None:
    collector = Collector(clock)
    writer = StatisticsWriter(collector, store, "w1", "e1")
    for series in (TREE, FOREST):
        collector.observe(series, 10, 0, 0.01)
    assert writer.write_now()
    Redis.from_url(redis_url).delete(f"{store._prefix}w1\0e1:totals")

    collector.observe(FOREST, 5, 0, 0.01)
    assert writer.write_now()

    totals = store.read_totals()[0].series
    assert {series: part.count for series, part in totals.items()} == {TREE: 10, FOREST: 15}


def test_of_a_model_that_rests_what_was_counted_during_an_outage_is_written_when_redis_is_back(
    redis_server: RunningRedis, outage_store: RedisStatistics, clock: Clock
) -> None:
    collector = Collector(clock)
    writer = StatisticsWriter(collector, outage_store, "w1", "e1")
    for series in (TREE, FOREST):
        collector.observe(series, 1, 0, 0.01)
    assert writer.write_now()
    redis_server.stop()
    collector.observe(TREE, 10, 0, 0.01)
    assert not writer.write_now()
    redis_server.start()

    collector.observe(FOREST, 5, 0, 0.01)
    assert writer.write_now()

    totals = outage_store.read_totals()[0].series
    assert {series: part.count for series, part in totals.items()} == {TREE: 11, FOREST: 6}


def test_windows_answer_for_their_time_and_no_longer(redis_url: str, store: RedisStatistics) -> None:
    clock = Clock()
    clock.now_ms = Redis.from_url(redis_url).time()[0] * 1000  # type: ignore[index]  # the sync client's answer is a pair
    collector = Collector(clock)
    writer = StatisticsWriter(collector, store, "w1", "e1")
    collector.observe(TREE, 1, 0, 0.01)
    clock.pass_seconds(120)
    collector.observe(TREE, 10, 0, 0.01)
    writer.write_now()
    assert count_in(store, 60, clock) == {TREE: 10}
    assert count_in(store, 300, clock) == {TREE: 11}

    clock.pass_seconds(3_000)
    collector.observe(TREE, 100, 0, 0.01)
    collector.observe(FOREST, 7, 0, 0.01)
    writer.write_now()

    assert count_in(store, 300, clock) == {TREE: 100, FOREST: 7}
    assert count_in(store, 3_600, clock) == {TREE: 111, FOREST: 7}
    assert count_in(store, 86_400, clock) == {TREE: 111, FOREST: 7}
    with pytest.raises(ValueError, match="a window has"):
        store.read_window(0, clock.now_ms)


def test_time_slots_expire_by_themselves(redis_url: str, store: RedisStatistics, clock: Clock) -> None:
    collector = Collector(clock)
    collector.observe(TREE, 1, 0, 0.01)
    StatisticsWriter(collector, store, "w1", "e1").write_now()

    redis: Any = Redis.from_url(redis_url)  # Its annotations cover the asynchronous client as well.
    keys = redis.keys(f"{store._prefix}w1*:*:*")
    lifetimes = {key.decode().rsplit(":", 2)[1]: redis.ttl(key) for key in keys}

    assert 3_600 < lifetimes["10"] <= 3_600 + 70
    assert 25 * 3_600 <= lifetimes["300"] <= 25 * 3_600 + 300


def test_what_was_counted_while_redis_was_down_is_written_when_it_is_back(
    redis_server: RunningRedis, outage_store: RedisStatistics, clock: Clock
) -> None:
    collector = Collector(clock)
    writer = StatisticsWriter(collector, outage_store, "w1", "e1")
    collector.observe(TREE, 1, 0, 0.01, np.array([clock.now_ms - 5]))
    assert writer.write_now()

    redis_server.stop()
    for _ in range(40):
        clock.pass_seconds(10)
        collector.observe(TREE, 1, 0, 0.01)
        collector.dead_letters("route")
        assert not writer.write_now()
    assert not writer.is_up
    with pytest.raises(StatisticsUnavailableError, match="Redis"):
        outage_store.read_totals()

    redis_server.start()
    assert writer.write_now()

    assert writer.is_up
    assert outage_store.read_totals()[0].series[TREE].count == 41
    assert outage_store.read_totals()[0].dead_letters == {"route": 40}
    assert count_in(outage_store, 100, clock) == {TREE: 10}
    assert count_in(outage_store, 401, clock) == {TREE: 41}


def test_a_long_outage_keeps_a_bounded_number_of_slots(clock: Clock) -> None:
    nowhere = RedisStatistics("unix:///nowhere/redis.sock")
    collector = Collector(clock)
    writer = StatisticsWriter(collector, nowhere, "w1", "e1")

    for _ in range(1_000):
        clock.pass_seconds(300)
        collector.observe(TREE, 1, 0, 0.01)
        collector.unwritten()

    assert not writer.write_now()
    assert len(collector.unwritten()) <= 13 + 301
    assert collector.total().series[TREE].count == 1_000


def test_the_thread_writes_by_itself_and_flushes_at_the_end(redis_url: str) -> None:
    namespace = f"test-{uuid.uuid4().hex}"
    collector = Collector()
    writer = StatisticsWriter(collector, RedisStatistics(redis_url, namespace=namespace), "w1", "e1", 60.0)
    writer.start()

    collector.observe(TREE, 3, 0, 0.01)
    writer.stop()

    reader = RedisStatistics(redis_url, namespace=namespace)
    assert reader.read_totals()[0].series[TREE].count == 3
    reader.close()


def test_values_of_a_later_version_are_passed_over(redis_url: str, store: RedisStatistics, clock: Clock) -> None:
    collector = Collector(clock)
    collector.observe(TREE, 3, 0, 0.01)
    StatisticsWriter(collector, store, "w1", "e1").write_now()
    Redis.from_url(redis_url).hset(f"{store._prefix}w1\0e1:totals", "tree\x003\x00wine", b"\xc1 something else")

    assert store.read_totals()[0].series == {}
    assert count_in(store, 300, clock) == {TREE: 3}


def test_a_url_that_is_not_of_redis_is_named() -> None:
    with pytest.raises(StatisticsUnavailableError, match="'http://x' is not the URL of a Redis"):
        RedisStatistics("http://x")


def test_an_empty_sheet_can_be_written(store: RedisStatistics, clock: Clock) -> None:
    store.write("w1", "e1", clock.now_ms, Sheet({}, {}), {})

    assert store.read_totals()[0].series == {}
    assert store.read_window(300, clock.now_ms) == []
