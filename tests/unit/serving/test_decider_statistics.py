"""What is counted of deciders, from a batch to the sheet and to Prometheus."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_batch import OneBatch
from prometheus_client import CollectorRegistry, generate_latest
from serving_story import Adder, Given, Record, Story, plan, reading, target

from model_store.core.decider_counts import ArmCounts, DeciderCounts, DeciderKey
from model_store.core.histogram import Histogram
from model_store.core.plans import Speculation
from model_store.core.stats_windows import slots_at
from serving.adapters.exposition import Exposition, Swaps
from serving.adapters.statistics import Collector
from serving.core.deciders import DECIDERS, Decided, Undecidable

FIRST = DeciderKey("wine", "first")
START_MS = 1_800_000_000_000


@pytest.fixture
def story():
    return told()


def told():
    story = Story(versions=4)
    story.claim(0)
    return story


def records(*values):
    return [Record(i, reading(x)) for i, x in enumerate(values)]


def test_each_record_is_counted_as_decided_or_not_and_for_each_arm(story):
    story.cut_over("wine", plan(1, 2, speculation=Speculation("first", 5_000)), {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x > 2), Adder(2, lambda x: x > 3))

    batch.score(records(1, 2, 3, 4))

    counts = batch.decided[FIRST]
    assert (counts.decided, counts.unanswered, counts.undecidable) == (3, 1, 0)
    assert counts.arms == {"": ArmCounts(2, 2, 0, 2), "b": ArmCounts(1, 3, 0, 1)}
    assert counts.waiting.total == 4
    assert (sorted(batch.results), sorted(batch.dead)) == ([0, 1, 2], [3])


def test_an_arm_that_is_not_waited_for_is_late_and_one_that_is_not_loaded_has_failed(story):
    story.cut_over("wine", plan(1, 2, 3, speculation=Speculation("vote", 5_000)), {0: 0})
    batch = OneBatch(story, Adder(1), Adder(2))

    batch.score(records(1, 2), late={0})

    counts = batch.decided[DeciderKey("wine", "vote")]
    assert counts.arms == {"": ArmCounts(0, 0, 2, 0), "b": ArmCounts(2, 2, 0, 0), "c": ArmCounts(0, 0, 0, 2)}


def test_a_record_that_the_fallback_scored_was_unanswered_all_the_same(story):
    story.cut_over("wine", plan(1, 2, fallback=target(3), speculation=Speculation("first", 5_000)), {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x > 1), Adder(2, lambda x: x > 1), Adder(3))

    batch.score(records(1, 2))

    assert (batch.decided[FIRST].decided, batch.decided[FIRST].unanswered) == (1, 1)
    assert batch.results[1].model_version == 3


@pytest.mark.parametrize(
    "decider",
    [
        lambda answers: Undecidable("it will not"),
        lambda answers: 1 / 0,
        lambda answers: Decided(np.full(answers.rows, 7), answers.counts(), answers.candidates[0].scored),
        lambda answers: Decided(np.zeros(answers.rows + 1, np.int64), answers.counts(), answers.candidates[0].scored),
        lambda answers: Decided(np.zeros(answers.rows, np.int64), answers.counts(), answers.candidates[0].scored),
        None,
    ],
)
@pytest.mark.parametrize("has_fallback", [True, False])
def test_what_a_decider_cannot_do_with_is_undecidable_and_for_the_fallback(story, decider, has_fallback):
    fallback = target(3) if has_fallback else None
    story.cut_over("wine", plan(1, 2, fallback=fallback, speculation=Speculation("odd", 5_000)), {0: 0})
    deciders = {} if decider is None else {"odd": decider}
    models = (Adder(1, lambda x: x > 1), Adder(2, lambda x: x > 2), *([Adder(3)] if has_fallback else []))
    batch = OneBatch(story, *models, deciders=deciders)

    batch.score(records(1, 2, 3))

    counts = batch.decided[DeciderKey("wine", "odd")]
    assert (counts.decided, counts.unanswered, counts.undecidable) == (0, 1, 2)
    assert {arm.chosen for arm in counts.arms.values()} == {0}
    everything = [0, 1, 2]
    assert {offset: result.model_version for offset, result in batch.results.items()} == (
        dict.fromkeys(everything, 3) if has_fallback else {}
    )
    assert sorted(batch.dead) == ([] if has_fallback else everything)
    assert all("route 'wine': " in letter.reason for letter in batch.dead.values())


def test_a_result_names_the_decider_where_one_decided_and_only_there(story):
    made = plan(1, 2, fallback=target(3), dark=(target(4),), speculation=Speculation("first", 5_000))
    story.cut_over("wine", made, {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x > 1), Adder(2, lambda x: x > 1), Adder(3), Adder(4))

    batch.score(records(1, 2))

    assert {offset: result.decider for offset, result in batch.results.items()} == {0: "first", 1: ""}


def test_the_wait_is_from_the_question_to_the_decision(story):
    story.cut_over("wine", plan(1, 2, speculation=Speculation("first", 5_000)), {0: 0})
    batch = OneBatch(story, Adder(1), Adder(2))
    opened = batch.pipeline.open(Given(records(1, 2)).batch)
    opened.ballots[0].asked_at -= 1_000.0

    batch.pipeline.close(opened)
    batch.pipeline.finish(opened)

    waiting = batch.decided[FIRST].waiting
    assert waiting.total == 2
    assert waiting.quantile_seconds(0.5) >= 975.0
    assert waiting.quantile_seconds(0.5) < 5_000.0


ROWS = st.lists(st.integers(0, 3), min_size=1, max_size=8)
FAILS = st.sets(st.integers(0, 3))


@given(ROWS, FAILS, FAILS, st.sets(st.integers(0, 1)), st.sampled_from(sorted(DECIDERS)), st.permutations([0, 1]))
def test_every_record_is_counted_once_for_the_decider_and_once_for_each_arm(values, one, two, late, name, arrivals):
    story = told()
    story.cut_over("wine", plan(1, 2, speculation=Speculation(name, 5_000)), {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x in one), Adder(2, lambda x: x in two))

    batch.score(records(*values), late=late, arrivals=arrivals)

    counts = batch.decided[DeciderKey("wine", name)]
    assert counts.records == len(values) == counts.waiting.total
    assert counts.decided == len(batch.results)
    assert counts.unanswered + counts.undecidable == len(batch.dead)
    assert sum(arm.chosen for arm in counts.arms.values()) == counts.decided
    for index, (arm, fails) in enumerate(zip(("", "b"), (one, two), strict=True)):
        found = counts.arms[arm]
        assert found.answered + found.late + found.failed == len(values)
        assert found.chosen <= found.answered
        assert found.late == (len(values) if index in late else 0)
        if index not in late:
            assert found.failed == sum(value in fails for value in values)


def test_decisions_are_counted_in_the_total_and_in_both_resolutions():
    collector = Collector(lambda: START_MS)
    collector.keep_slots()
    counts = DeciderCounts(2, 1, 0, {"": ArmCounts(2, 2, 0, 1)}, Histogram({500: 3}))

    collector.decided(FIRST, counts)
    collector.decided(FIRST, counts)
    collector.decided(DeciderKey("*", "vote"), counts)

    assert set(collector.unwritten()) == set(slots_at(START_MS))
    assert collector.changes == 3
    for sheet in (collector.total(), *(sheet for sheet, _ in collector.unwritten().values())):
        assert sheet.deciders == {FIRST: counts.merged(counts), DeciderKey("*", "vote"): counts}


def test_prometheus_is_told_of_each_decider():
    collector = Collector()
    collector.decided(FIRST, DeciderCounts(5, 2, 1, {"": ArmCounts(5, 6, 2, 0), "b": ArmCounts()}, Histogram({500: 8})))
    registry = CollectorRegistry()
    registry.register(Exposition({}, collector, Swaps(), list, lambda: None))

    told = generate_latest(registry).decode()

    for line in (
        'sluice_decider_records_total{decider="first",outcome="unanswered",route="wine"} 2.0',
        'sluice_decider_arm_records_total{arm="",decider="first",outcome="late",route="wine"} 2.0',
        'sluice_decider_arm_records_total{arm="b",decider="first",outcome="chosen",route="wine"} 0.0',
        'sluice_decider_seconds_count{decider="first",route="wine"} 8.0',
    ):
        assert line in told
