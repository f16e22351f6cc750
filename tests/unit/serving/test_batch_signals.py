"""What a pipeline tells the statistics of a batch in which some records fail, or are shared among arms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_batch import OneBatch
from serving_story import Adder, Record, Story, plan, reading, target

from serving.core.columns import Predictions
from serving.core.signals import observe_predictions


@pytest.fixture
def story():
    told = Story(versions=3)
    told.claim(0)
    return told


def records(*values, keys=None):
    return [Record(i, reading(x), keys[i] if keys else b"k%d" % i) for i, x in enumerate(values)]


def test_the_records_that_did_not_fail_are_looked_at(story):
    story.cut_over("wine", plan(1), {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x == 2))

    batch.score(records(1, 2, 3, 4))

    seen = batch.seen[1]
    assert (seen.records, seen.errors) == (4, 1)
    assert sum(observe_predictions(seen.values).numbers.values()) == 3
    assert sorted(batch.results) == [0, 2, 3]


def test_a_batch_of_which_all_records_fail_looks_like_nothing(story):
    story.cut_over("wine", plan(1), {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: True))

    batch.score(records(1, 2))

    assert (batch.seen[1].records, batch.seen[1].errors) == (2, 2)
    assert batch.seen[1].values is None


def test_a_dark_version_is_compared_on_the_records_that_neither_failed_on(story):
    story.cut_over("wine", plan(1, dark=(target(2),)), {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x == 2), Adder(2, lambda x: x == 4))

    batch.score(records(1, 2, 3, 4, 5))

    pairs = batch.seen[2].pairs
    assert (pairs.pairs, pairs.disagreements) == (3, 3)
    assert pairs.difference_nano == 3 * 1_000 * 10**9  # between different records it would be another sum
    assert batch.seen[1].pairs.pairs == 0


def test_a_dark_version_that_shares_no_scored_record_with_the_primary_is_not_compared(story):
    story.cut_over("wine", plan(1, dark=(target(2),)), {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x > 2), Adder(2, lambda x: x <= 2))

    batch.score(records(1, 2, 3, 4))

    assert batch.seen[2].pairs.pairs == 0


def test_a_dark_version_is_compared_on_the_primarys_share_of_the_records_whatever_the_reason(story):
    made = plan(
        1, 2, weights=(0, 10_000), pins={"p": "primary"}, rules={"x > 8.0": "primary"}, dark=(target(3),)
    )  # fmt: skip
    story.cut_over("wine", made, {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x == 7), Adder(2), Adder(3))

    batch.score(records(1, 2, 9, 7, 5, 10, keys=[b"e", b"p", b"e", b"p", b"p", b"f"]))

    pairs = batch.seen[3].pairs
    assert pairs.pairs == 4  # two by pin, two by rule; the third pinned one fails
    assert pairs.difference_nano == 4 * 2_000 * 10**9


def test_a_dark_version_is_compared_with_the_primary_of_its_own_plan_only(story):
    story.cut_over("wine", plan(1, dark=(target(3),)), {0: 0})
    story.cut_over("wine", plan(2, dark=(target(3),)), {0: 3})
    batch = OneBatch(story, Adder(1), Adder(2), Adder(3))

    batch.score(records(1, 2, 3, 4, 5))

    dark = [seen for seen in batch.observed if seen.model.version == 3]
    told = {(seen.records, seen.pairs.pairs, seen.pairs.difference_nano) for seen in dark}
    assert told == {(3, 3, 6_000 * 10**9), (2, 2, 2_000 * 10**9)}


class Twin(Adder):
    """Answers as version 1 does."""

    def score(self, features):
        found = super().score(features)
        return Predictions({"y": found.columns["y"] - 1_000.0 * (self.version - 1)}, found.failures)


FAILS = st.sets(st.integers(0, 11))


@given(st.lists(st.tuples(st.integers(0, 11), st.sampled_from("abcp")), min_size=1, max_size=12), FAILS, FAILS)
def test_a_dark_version_that_answers_as_the_primary_never_disagrees_with_it(given_records, one, two):
    story = Story(versions=3)
    story.claim(0)
    made = plan(
        1, 2, weights=(5_000, 5_000), pins={"p": "primary"}, rules={"x > 8.0": "primary"}, dark=(target(3),)
    )  # fmt: skip
    story.cut_over("wine", made, {0: 0})
    batch = OneBatch(story, Adder(1, lambda x: x in one), Adder(2), Twin(3, lambda x: x in two))

    batch.score(records(*(x for x, _ in given_records), keys=[key.encode() for _, key in given_records]))

    both = sum(result.model_version == 1 and given_records[at][0] not in two for at, result in batch.results.items())
    pairs = batch.seen[3].pairs
    assert (pairs.pairs, pairs.disagreements, pairs.difference_nano) == (both, 0, 0)
