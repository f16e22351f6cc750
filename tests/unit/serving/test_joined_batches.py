"""Batches that were read together are scored as one, and nobody can tell from what comes out."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from serving_story import TOPIC, Adder, Given, Record, Story, plan, reading
from test_dispatch_pipeline import KEYS, VERSIONS, Worker, plans, score_by_agent

from serving.agents import ScoringAgent
from serving.core.byte_column import ByteColumn
from serving.feed import Feed
from serving.feed.batch import Output, wanted
from serving.feed.errors import BatchNotReturnedError
from serving.feed.joined_batch import JoinedBatch

PARTITIONS = (0, 1, 4)
DECIDED = plans().map(lambda made: replace(made, speculation=None))
"""Not by who answers first, which is chance."""
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(("wine", "wine", "w*", "*")),
        st.one_of(DECIDED, DECIDED, st.none()),
        st.tuples(*[st.sampled_from((0, 0, 2, 3, 5))] * len(PARTITIONS)),
    ),
    min_size=1,
    max_size=3,
)
VALUES = st.tuples(st.integers(0, 11), st.sampled_from(("wine", "wine", "wine", "beer", "", "unreadable")))
READ = st.tuples(
    *[st.tuples(st.integers(0, 3), st.lists(st.tuples(VALUES, st.sampled_from(KEYS)), min_size=1, max_size=5))]
    * len(PARTITIONS)
)


def told(entries):
    story = Story(versions=4)
    for partition in PARTITIONS:
        story.claim(partition)
    for key, made, cuts in entries:
        if made is None and (key not in story.catalogue.routes or story.catalogue.routes[key].plan is None):
            continue
        story.cut_over(key, made, dict(zip(PARTITIONS, cuts, strict=True)))
    return story


def handed_out(read):
    found = []
    for partition, (first, records) in zip(PARTITIONS, read, strict=True):
        made = [
            Record(first + i, b"{" if kind == "unreadable" else reading(x, kind), key)
            for i, ((x, kind), key) in enumerate(records)
        ]
        found.append(Given(made, partition))
    for each in found[:-1]:
        each.batch.is_followed = True
    return found


async def score(worker, batches, threads):
    await score_by_agent(worker.pipeline, [each.batch for each in batches], threads)


def outputs_of(given_batch):
    """Topic, keys and values; dead letters do not say when, and why only by their stage: an engine may speak of all of them."""
    found = []
    for output in given_batch.outputs:
        values = list(output.values)
        if output.topic == "dead":
            values = [DeadLetter.FromString(value) for value in values]
            for value in values:
                value.ClearField("failed_at_ms")
                value.ClearField("reason")
        if values:
            found.append((output.topic, list(output.keys), values))
    return found


@given(ENTRIES, READ, st.sets(st.sampled_from(VERSIONS), min_size=2), st.integers(2, 5))
@settings(max_examples=100, deadline=None)
def test_what_comes_of_batches_is_the_same_together_and_alone(entries, read, loaded, number):
    story = told(entries)

    def worker():
        return Worker(story, *(Adder(version, lambda x: x % number == 0) for version in sorted(loaded)))

    together, alone, in_turn = handed_out(read), handed_out(read), worker()
    for each in alone:
        each.batch.is_followed = False
    joined = worker()

    with ThreadPoolExecutor(2) as threads:
        asyncio.run(score(joined, together, threads))
        asyncio.run(score(in_turn, alone, threads))

    assert [outputs_of(each) for each in together] == [outputs_of(each) for each in alone]
    assert all(each.batch.ticket.is_returned and not each.failures for each in together)
    assert joined.is_balanced()
    counts = [sorted((seen.model.version, seen.data_type) for seen in w.seen for _ in range(seen.records))
              for w in (joined, in_turn)]  # fmt: skip
    assert counts[0] == counts[1]


def three(*values):
    return handed_out([(first, [((x, "wine"), b"k")]) for first, x in zip((0, 3, 7), values, strict=True)])


@pytest.fixture
def story():
    return told([("wine", plan(1), (0, 0, 0))])


def test_a_model_is_asked_once_for_all_of_them(story):
    scorer = Adder(1)
    batches = three(1, 2, 3)

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(score(Worker(story, scorer), batches, threads))

    assert scorer.asked == 1
    results = [ScoreResult.FromString(value) for each in batches for value in each.outputs[0].values]
    assert [(row.partition, row.offset, row.prediction) for row in results] == [
        (0, 0, 1_001),
        (1, 3, 1_002),
        (4, 7, 1_003),
    ]


def test_where_a_model_runs_elsewhere_none_waits_for_another(story):
    scorer = Adder(1, elsewhere=True)
    batches = three(1, 2, 3)

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(score(Worker(story, scorer), batches, threads))

    assert scorer.asked == 3
    assert [len(each.outputs[0].values) for each in batches] == [1, 1, 1]


def test_a_batch_that_another_one_follows_is_not_begun_alone(story):
    scorer = Adder(1)
    first, second, last = three(1, 2, 3)
    asked = []

    async def run():
        agent = ScoringAgent({TOPIC: Worker(story, scorer).pipeline}, None, asked.append)

        async def stream():
            yield first.batch
            yield second.batch
            asked.append(scorer.asked)
            yield last.batch
            asked.append(scorer.asked)

        await agent.run(stream())

    asyncio.run(run())

    assert asked == [0, 1]


def test_each_batch_gets_what_is_about_its_records():
    batches = three(1, 2, 3)
    joined = JoinedBatch([each.batch for each in batches])

    with joined:
        joined.done(
            Output("all", [b"a", b"b", b"c"], ByteColumn.of([b"1", b"2", b"3"])),
            Output("some", None, [b"x", b"y", b"z"], [[], [("h", b"1")], []], np.array([0, 2, 2])),
        )

    assert [[(o.topic, o.keys, list(o.values), o.headers) for o in each.outputs] for each in batches] == [
        [("all", [b"a"], [b"1"], None), ("some", None, [b"x"], [[]])],
        [("all", [b"b"], [b"2"], None), ("some", None, [], [])],
        [("all", [b"c"], [b"3"], None), ("some", None, [b"y", b"z"], [[("h", b"1")], []])],
    ]


def test_what_is_about_a_partition_that_was_taken_away_is_not_written():
    batches = [each.batch for each in three(1, 2, 3)]
    outputs = [
        Output("all", [b"a", b"b", b"c"], ByteColumn.of([b"1", b"2", b"3"])),
        Output("some", None, [b"x", b"z"], None, np.array([0, 2])),
        Output("none", None, []),
    ]

    whole = wanted(batches, outputs)
    batches[0].ticket.lane.is_alive = False
    rest = wanted(batches, outputs)

    assert whole == [([batch.ticket for batch in batches], outputs[:2])]
    assert [(tickets, [(o.topic, o.keys, list(o.values)) for o in written]) for tickets, written in rest] == [
        ([batches[1].ticket], [("all", [b"b"], [b"2"])]),
        ([batches[2].ticket], [("all", [b"c"], [b"3"]), ("some", None, [b"z"])]),
    ]


def test_none_of_them_can_be_handed_back_twice():
    batches = three(1, 2, 3)
    joined = JoinedBatch([each.batch for each in batches])
    batches[1].batch.done()

    with pytest.raises(BatchNotReturnedError, match="twice"):
        joined.done()

    assert [each.batch.ticket.is_returned for each in batches] == [False, True, False]


def test_columns_lie_side_by_side():
    batches = three(1, 2, 3)
    joined = JoinedBatch([each.batch for each in batches])

    assert (len(joined), joined.topic, list(joined.offsets)) == (3, TOPIC, [0, 3, 7])
    assert joined.segments == [(0, 0, 1), (1, 1, 2), (4, 2, 3)]
    assert list(joined.keys) == [b"k", b"k", b"k"]
    assert joined.timestamps.tolist() == [1_000, 1_003, 1_007]


class WithHeaders(Record):
    def headers(self):
        return [("at", b"%d" % self.offset())]


def test_headers_are_those_of_the_record_wherever_its_batch_lies():
    batches = [Given([WithHeaders(at, b"v") for at in offsets], partition)
               for partition, offsets in ((0, (1, 2)), (1, (7,)), (4, (3, 4)))]  # fmt: skip
    joined = JoinedBatch([each.batch for each in batches])

    assert [joined.headers_of(row) for row in range(5)] == [[("at", b"%d" % at)] for at in (1, 2, 7, 3, 4)]


def test_leaving_without_handing_back_fails_each_batch():
    batches = three(1, 2, 3)

    with JoinedBatch([each.batch for each in batches]):
        pass

    assert [type(error) for each in batches for error in each.failures] == [BatchNotReturnedError] * 3


def test_the_feed_says_which_batches_of_a_read_are_followed_by_others():
    class Channel:
        async def put(self, batch):
            found.append((batch.partition, batch.is_followed))

    found = []
    feed = Feed(None, Channel(), bootstrap="", group="g", topics={}, worker_id="w")

    async def run():
        for batches in (three(1, 2, 3), [], three(1, 2, 3)[:1]):
            for each in batches:
                each.batch.is_followed = False
            await feed._hand_out([each.batch for each in batches])

    asyncio.run(run())

    assert found == [(0, True), (1, True), (4, False), (0, False)]
