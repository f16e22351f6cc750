"""A stream's pipeline with the real formats and tiny models: what becomes of every record, whatever the plans say."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from serving_story import GROUP, STREAM, TOPIC, Adder, Given, Record, Story, live_model, plan, reading, target

from model_store.core.lanes import Lane
from model_store.core.plans import Speculation
from model_store.core.timeline import choose, decision
from serving.agents import ScoringAgent
from serving.core.deciders import DECIDERS, Undecidable
from serving.live import LiveModels
from serving.routing import Routing
from serving.settings import Stream
from serving.streams import open_stream

SETTINGS = Stream.model_validate(
    {
        "name": STREAM,
        "topic": TOPIC,
        "format": {"type": "json"},
        "route": {"field": "data_type"},
        "features": ["x"],
        "texts": ["colour"],
        "results": {"topic": "results", "dark_topic": "dark"},
    }
)
REASONS = dict(enumerate(("", "primary", "arm", "pin", "rule", "fallback", "dark", "decided")))


@dataclass
class Outcome:
    """What came back for a batch, by offset."""

    results: dict[int, ScoreResult]
    dead: dict[int, DeadLetter]
    dark: list[ScoreResult]
    topics: list[str]


def first_in_order(answers):
    """As if the arms had answered in their order, whose thread ever was first."""
    return DECIDERS["first"](replace(answers, arrivals=sorted(answers.arrivals)))


class Worker:
    """A pipeline over a story's log, with these versions loaded."""

    def __init__(self, story, *scorers, unbound=(), deciders=None):
        self.closed = []
        self.live = LiveModels(self.closed.append)
        for scorer in scorers:
            self.live.add(live_model(story, scorer.version, scorer, () if scorer.version in unbound else (STREAM,)))
        self.models = list(self.live.by_version.values())
        self.seen, self.counted = [], []
        routing = Routing(GROUP)
        routing.follow(story.catalogue)
        self.pipeline = open_stream(SETTINGS, "dead").pipeline(
            self.live, routing, "w1", (deciders or DECIDERS).get, self.seen.append,
            lambda stage, count: self.counted.append((stage, count)), lambda _: [],
        )  # fmt: skip

    def score(self, records):
        """By the agent, as in a worker."""
        given = Given(records)
        with ThreadPoolExecutor(4) as threads:
            asyncio.run(score_by_agent(self.pipeline, [given.batch], threads))
        assert given.failures == []
        return outcome_of(given)

    def is_balanced(self):
        return all(model.leases == 0 for model in self.models)


async def score_by_agent(pipeline, batches, threads):
    failures = []
    agent = ScoringAgent({TOPIC: pipeline}, threads, failures.append)

    async def stream():
        for each in batches:
            yield each

    await agent.run(stream())
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.001)
    assert failures == []


def outcome_of(given):
    results, dead, dark, topics = {}, {}, [], []
    for output in given.outputs:
        topics.append(output.topic)
        for value in output.values:
            if output.topic == "dead":
                letter = DeadLetter.FromString(value)
                assert letter.offset not in dead, "a record has two dead letters"
                dead[letter.offset] = letter
                continue
            row = ScoreResult.FromString(value)
            if output.topic == "dark":
                dark.append(row)
                continue
            assert row.offset not in results, "a record has two results"
            results[row.offset] = row
    return Outcome(results, dead, dark, topics)


def records(*values, first=0, keys=None):
    return [Record(first + i, reading(x), keys[i] if keys else b"k%d" % i) for i, x in enumerate(values)]


@pytest.fixture
def story():
    told = Story(versions=4)
    told.claim(0)
    return told


def versions(outcome):
    return {offset: row.model_version for offset, row in sorted(outcome.results.items())}


def reasons(outcome):
    return {offset: REASONS[row.reason] for offset, row in sorted(outcome.results.items())}


def test_a_batch_of_one_plan_is_one_piece_of_work(story):
    story.cut_over("wine", plan(1), {0: 0})
    scorer = Adder(1)
    worker = Worker(story, scorer)

    found = worker.score(records(1.0, 2.0, 3.0))

    assert scorer.asked == 1
    assert {offset: row.prediction for offset, row in found.results.items()} == {0: 1001.0, 1: 1002.0, 2: 1003.0}
    assert set(reasons(found).values()) == {""}
    assert found.topics == ["results"]
    assert worker.is_balanced()


def test_a_batch_that_straddles_a_cut_is_split_exactly_there(story):
    story.cut_over("wine", plan(1), {0: 0})
    entry = story.cut_over("wine", plan(2), {0: 103})
    worker = Worker(story, Adder(1), Adder(2))

    found = worker.score(records(*range(6), first=100))

    assert versions(found) == {100: 1, 101: 1, 102: 1, 103: 2, 104: 2, 105: 2}
    assert {row.control_offset for offset, row in found.results.items() if offset >= 103} == {entry.change}
    assert worker.is_balanced()


def test_results_keep_the_order_of_their_records_whichever_models_scored_them(story):
    story.cut_over("wine", plan(1, 2, weights=(5_000, 5_000)), {0: 0})
    given = Given(records(*range(50)))
    worker = Worker(story, Adder(1), Adder(2))
    opened = worker.pipeline.open(given.batch)
    for work in opened.works:
        work.score()

    (output,) = worker.pipeline.close(opened)

    rows = [ScoreResult.FromString(value) for value in output.values]
    assert [row.offset for row in rows] == list(range(50))
    assert {row.model_version for row in rows} == {1, 2}
    assert list(output.keys) == given.batch.keys


def test_a_result_says_which_arm_scored_it_and_why(story):
    made = plan(1, 2, 3, weights=(0, 10_000, 0), pins={"p": "c"}, rules={"x > 5.0": "primary"})
    entry = story.cut_over("wine", made, {0: 0})
    worker = Worker(story, Adder(1), Adder(2), Adder(3))

    found = worker.score(records(1, 1, 9, keys=[b"e", b"p", b"p"]))

    told = {offset: (row.arm, REASONS[row.reason], row.model_version) for offset, row in sorted(found.results.items())}
    assert told == {0: ("b", "arm", 2), 1: ("c", "pin", 3), 2: ("", "rule", 1)}
    assert {row.control_offset for row in found.results.values()} == {entry.change}


def test_dark_results_go_to_the_dark_topic_only(story):
    story.cut_over("wine", plan(1, dark=(target(2), target(3))), {0: 0})
    worker = Worker(story, Adder(1), Adder(2), Adder(3))

    found = worker.score(records(1, 2))

    assert versions(found) == {0: 1, 1: 1}
    assert sorted((row.offset, row.model_version) for row in found.dark) == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert {REASONS[row.reason] for row in found.dark} == {"dark"}
    assert worker.is_balanced()


def test_a_dark_version_that_fails_or_is_not_here_costs_no_record(story):
    story.cut_over("wine", plan(1, dark=(target(2), target(3))), {0: 0})
    worker = Worker(story, Adder(1), Adder(2, lambda x: x == 2))

    found = worker.score(records(1, 2))

    assert versions(found) == {0: 1, 1: 1}
    assert [(row.offset, row.model_version) for row in found.dark] == [(0, 2)]
    assert found.dead == {}


def test_the_fallback_scores_what_the_arm_failed_on(story):
    story.cut_over("wine", plan(1, fallback=target(2)), {0: 0})
    worker = Worker(story, Adder(1, lambda x: x > 1), Adder(2, lambda x: x > 2))

    found = worker.score(records(1, 2, 3))

    assert (versions(found), reasons(found)) == ({0: 1, 1: 2}, {0: "", 1: "fallback"})
    assert {offset: letter.model_version for offset, letter in found.dead.items()} == {2: 2}
    assert worker.is_balanced()


def test_the_fallback_scores_for_an_arm_that_cannot_take_the_stream(story):
    story.cut_over("wine", plan(1, fallback=target(2)), {0: 0})
    worker = Worker(story, Adder(1), Adder(2), unbound={1})

    found = worker.score(records(1, 2))

    assert (versions(found), reasons(found)) == ({0: 2, 1: 2}, {0: "fallback", 1: "fallback"})
    assert worker.is_balanced()


def test_without_a_fallback_a_dead_letter_says_which_model_failed_and_why(story):
    story.cut_over("wine", plan(1), {0: 0})
    worker = Worker(story, Adder(1, lambda x: x == 2))

    found = worker.score(records(1, 2))

    assert versions(found) == {0: 1}
    letter = found.dead[1]
    assert (letter.stage, letter.model, letter.model_version) == (DeadLetter.STAGE_SCORE, "m", 1)
    assert letter.reason == "version 1 fails"
    assert worker.counted == [("score", 1)]


def test_a_version_that_is_not_loaded_costs_only_its_own_records(story):
    story.cut_over("wine", plan(1, 2, pins={"p": "b"}), {0: 0})
    worker = Worker(story, Adder(1))

    found = worker.score(records(1, 2, keys=[b"e", b"p"]))

    assert versions(found) == {0: 1}
    assert found.dead[1].reason == "m v2 is not loaded on this worker"


def test_a_record_of_a_rule_that_cannot_be_evaluated_is_a_dead_letter(story):
    story.cut_over("wine", plan(1, 2, rules={"x > 5.0 && colour > 1.0": "b"}), {0: 0})
    worker = Worker(story, Adder(1), Adder(2))

    found = worker.score(records(1, 9))

    assert versions(found) == {0: 1}
    assert found.dead[1].stage == DeadLetter.STAGE_ROUTE
    assert "rule 1 of route 'wine'" in found.dead[1].reason


def test_records_that_cannot_be_read_do_not_shift_those_that_can(story):
    story.cut_over("wine", plan(1), {0: 0})
    story.cut_over("wine", plan(2), {0: 3})
    worker = Worker(story, Adder(1), Adder(2))
    values = [b"{", reading(1), b"", reading(2), None, reading(3, data_type=None), reading(4)]

    found = worker.score([Record(i, value) for i, value in enumerate(values)])

    assert {offset: row.prediction for offset, row in found.results.items()} == {1: 1001.0, 3: 2002.0, 6: 2004.0}
    assert sorted(found.dead) == [0, 2, 4, 5]


def test_a_decider_chooses_among_all_arms(story):
    story.cut_over("wine", plan(1, 2, 3, speculation=Speculation("vote", 5_000)), {0: 0})
    worker = Worker(story, Adder(1), Adder(2), Adder(3))

    found = worker.score(records(1, 2))

    assert reasons(found) == {0: "decided", 1: "decided"}
    assert {seen.model.version for seen in worker.seen} == {1, 2, 3}
    assert worker.is_balanced()


def test_where_one_arm_fails_a_decider_takes_another(story):
    story.cut_over("wine", plan(1, 2, speculation=Speculation("first", 5_000)), {0: 0})
    worker = Worker(story, Adder(1, lambda x: x == 2), Adder(2, lambda x: x == 1))

    found = worker.score(records(1, 2))

    assert versions(found) == {0: 1, 1: 2}
    assert found.results[1].arm == "b"


def test_a_candidate_that_is_late_is_not_waited_for_and_given_back_when_it_ends(story):
    story.cut_over("wine", plan(1, 2, speculation=Speculation("vote", 100)), {0: 0})
    goes_on = threading.Event()

    class Late(Adder):
        def score(self, features):
            assert goes_on.wait(10)
            return super().score(features)

    late = Late(1, elsewhere=True)
    worker = Worker(story, late, Adder(2))
    given = Given(records(1, 2))

    async def scenario(threads):
        agent = ScoringAgent({TOPIC: worker.pipeline}, threads, given.failures.append)

        async def batches():
            yield given.batch

        await agent.run(batches())
        while not given.outputs:
            await asyncio.sleep(0.001)
        leases = [model.leases for model in worker.models]
        worker.live.remove(story.offset_of[1])
        assert worker.closed == []
        goes_on.set()
        while not worker.closed:
            await asyncio.sleep(0.001)
        return leases

    with ThreadPoolExecutor(4) as threads:
        leases = asyncio.run(scenario(threads))

    found = outcome_of(given)
    assert versions(found) == {0: 2, 1: 2}
    assert leases == [1, 0]
    assert [model.version for model in worker.closed] == [1]
    assert worker.is_balanced()


@pytest.mark.parametrize("fallback", [None, target(3)])
def test_where_nobody_answers_the_fallback_does_or_the_record_is_a_dead_letter(story, fallback):
    story.cut_over("wine", plan(1, 2, fallback=fallback, speculation=Speculation("vote", 5_000)), {0: 0})
    worker = Worker(story, Adder(1, lambda x: x > 1), Adder(2, lambda x: x > 1), Adder(3))

    found = worker.score(records(1, 2))

    if fallback is None:
        assert versions(found) == {0: 1}
        assert "none of the 2 arms of route 'wine' had a value within 5000 ms" in found.dead[1].reason
    else:
        assert reasons(found) == {0: "decided", 1: "fallback"}
        assert versions(found) == {0: 1, 1: 3}
    assert worker.is_balanced()


def test_the_fallback_of_a_vote_scores_the_right_records_of_a_batch_of_several_data_types(story):
    story.cut_over("beer", plan(4), {0: 0})
    story.cut_over("wine", plan(1, 2, fallback=target(3), speculation=Speculation("in order", 5_000)), {0: 0})
    arms = (Adder(version, lambda x: x == 5) for version in (1, 2))
    worker = Worker(story, *arms, Adder(3), Adder(4), deciders={"in order": first_in_order})

    found = worker.score([Record(i, reading(x, kind)) for i, (x, kind) in enumerate(
        [(1, "beer"), (2, "wine"), (5, "beer"), (5, "wine"), (7, "wine")])])  # fmt: skip

    assert versions(found) == {0: 4, 1: 1, 2: 4, 3: 3, 4: 1}
    assert found.results[3].prediction == 3005.0
    assert found.dead == {}


def test_records_on_which_a_decider_cannot_decide_are_dead_letters(story):
    story.cut_over("wine", plan(1, 2, speculation=Speculation("undecided", 5_000)), {0: 0})
    worker = Worker(story, Adder(1), Adder(2), deciders={"undecided": lambda _: Undecidable("they are too alike")})

    found = worker.score(records(1, 2))

    assert {letter.reason for letter in found.dead.values()} == {"route 'wine': they are too alike"}
    assert sorted(found.dead) == [0, 1]
    assert worker.is_balanced()


def test_a_batch_that_is_abandoned_gives_all_its_models_back(story):
    story.cut_over("wine", plan(1, 2, dark=(target(3),), speculation=Speculation("first", 100)), {0: 0})
    worker = Worker(story, Adder(1), Adder(2), Adder(3))
    opened = worker.pipeline.open(Given(records(1, 2)).batch)
    held = [model.leases for model in worker.models]

    worker.pipeline.abandon(opened)

    assert held == [1, 1, 1]
    assert worker.is_balanced()


# ---------------------------------------------------------------------- the law

VERSIONS = (1, 2, 3, 4)
KEYS = (None, b"", b"a", b"b", b"c", b"d", b"\xff")
RULES = {"x > 8.0": lambda x: x > 8, "x < 3.0": lambda x: x < 3, "x == 5.0": lambda x: x == 5}


@st.composite
def plans(draw):
    arms = draw(st.lists(st.sampled_from(VERSIONS), min_size=1, max_size=3))
    names = ("primary", "b", "c")[: len(arms)]
    first = draw(st.sampled_from((0, 3_000, 10_000))) if len(arms) > 1 else 10_000
    weights = (first, *([10_000 - first] + [0] * (len(arms) - 2) if len(arms) > 1 else []))
    return plan(
        *arms,
        weights=weights,
        pins=draw(st.dictionaries(st.sampled_from(("a", "b", "c")), st.sampled_from(names), max_size=2)),
        rules=draw(st.dictionaries(st.sampled_from(sorted(RULES)), st.sampled_from(names), max_size=2)),
        dark=tuple(target(v) for v in draw(st.lists(st.sampled_from(VERSIONS), max_size=2, unique=True))),
        fallback=draw(st.one_of(st.none(), st.sampled_from(VERSIONS).map(target))),
        speculation=draw(st.sampled_from((None, None, Speculation("first", 60_000)))),
    )


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(("wine", "wine", "w*", "*")),
        st.one_of(plans(), plans(), st.none()),
        st.sampled_from((0, 0, 3, 5, 9)),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
READABLE = st.tuples(st.integers(0, 11), st.sampled_from(("wine", "wine", "wine", "beer", "")))
WINE = st.tuples(st.integers(0, 11), st.just("wine"))
RECORDS = st.sampled_from((WINE, WINE, st.one_of(READABLE, READABLE, st.just((None, "unreadable"))))).flatmap(
    lambda value: st.lists(st.tuples(value, st.sampled_from(KEYS)), min_size=1, max_size=14)
)
LOADED = st.one_of(st.just(set(VERSIONS)), st.sets(st.sampled_from(VERSIONS)))


@given(ENTRIES, RECORDS, LOADED, st.dictionaries(st.sampled_from(VERSIONS), st.integers(2, 4), max_size=2))
@settings(max_examples=300)
def test_every_record_has_one_result_or_one_dead_letter_and_its_provenance_is_the_timelines_decision(
    entries, given_records, loaded, fails
):
    story = Story(versions=4)
    story.claim(0)
    for key, made, cut, is_exact in entries:
        if made is None and (key not in story.catalogue.routes or story.catalogue.routes[key].plan is None):
            continue
        (story.cut_over if is_exact else story.at_once)(key, made, {0: cut})
    can = {version: _scores_unless_multiple_of(fails.get(version)) for version in loaded}
    worker = Worker(story, *(Adder(v, lambda x, v=v: not can[v](x)) for v in sorted(loaded)))
    made = [
        Record(i, b"{" if x is None else reading(x, data_type), key)
        for i, ((x, data_type), key) in enumerate(given_records)
    ]
    given_batch = Given(made)
    opened = worker.pipeline.open(given_batch.batch)
    _score_in_order(worker, opened)
    with given_batch.batch as batch:
        batch.done(*worker.pipeline.close(opened))
        worker.pipeline.finish(opened)
    found = outcome_of(given_batch)

    assert worker.is_balanced()
    assert found.results.keys() | found.dead.keys() == set(range(len(made)))
    assert not found.results.keys() & found.dead.keys()
    dark = set()
    for offset, ((x, data_type), key) in enumerate(given_records):
        expected, darkly = _expected(story, offset, x, data_type, key, can)
        row = found.results.get(offset)
        told = (row.model_version, row.arm, REASONS[row.reason], row.control_offset, row.route) if row else None
        assert told == expected
        dark |= {(offset, version) for version in darkly}
        if row is not None:
            assert row.prediction == x + 1_000 * row.model_version
    assert sorted((row.offset, row.model_version) for row in found.dark) == sorted(dark)


def _scores_unless_multiple_of(number):
    return lambda x: number is None or x % number != 0


def _score_in_order(worker, opened):
    """As the agent does, with candidates that answer in the order of their arms."""
    for work in opened.works:
        work.score()
    for ballot in opened.ballots:
        for index, work in enumerate(ballot.works):
            if work is not None:
                work.score()
                ballot.arrived.append(index)
    for work in worker.pipeline.settle(opened):
        work.score()


def _expected(story, offset, x, data_type, key, can):
    """Version, arm, reason, change and route of a record's result (`None`: a dead letter), and who scores it in the dark."""
    choice = decision(story.catalogue, Lane(GROUP, TOPIC, 0), offset, data_type, key) if x is not None else None
    if choice is None or not data_type:
        return None, ()
    made = choice.entry.plan

    def scores(version):
        return version in can and can[version](x)

    dark = [each.version for each in made.dark if scores(each.version)]
    where = (choice.entry.change, "" if choice.key == data_type else choice.key)
    if made.speculation is not None:
        candidates = [(arm, "decided") for arm in made.arms if scores(arm.target.version)]
    else:
        ruled = next((made.arm(rule.arm) for rule in made.rules if RULES[rule.when](x)), None)
        arm, reason = (ruled, "rule") if ruled is not None else choose(made, key)
        assert made.rules or choice.arm is arm
        assert made.rules or choice.reason == reason
        plain = len(made.arms) == 1 and not made.pins and not made.rules
        candidates = [(arm, "" if plain else reason)] if scores(arm.target.version) else []
    if candidates:
        arm, reason = candidates[0]
        return (arm.target.version, "" if arm is made.primary else arm.name, reason, *where), dark
    if made.fallback is not None and scores(made.fallback.version):
        return (made.fallback.version, "", "fallback", *where), dark
    return None, dark
