import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_story import GROUP, TOPIC, Story, plan

from model_store.core.changes import ChangeState
from model_store.core.commands import AbortChange, ChangeRoute
from model_store.core.control_records import ChangeReady, CutsPromised, PartitionOffset, PartitionsClaimed
from model_store.core.lanes import Lane
from serving.loads import Refusal
from serving.participant import Participant, _Pace

KEY, OTHER = (TOPIC, 0), (TOPIC, 1)
SOON = 5.0
AT_ONCE = 0.9  # before a worker looks again by itself


class Lanes:
    """A feed that hands nothing out: where each partition is, and what is held."""

    def __init__(self):
        self.positions = {}
        self.ends = {}
        self.serials = {}
        self.held = {}
        self._count = 0

    def give(self, *keys, position=0):
        for key in keys:
            self._count += 1
            self.positions[key], self.serials[key] = position, self._count

    turn = 0
    idle = 0.0

    def take(self, *keys):
        for key in keys:
            del self.positions[key], self.serials[key]
            self.held.pop(key, None)

    def hold(self, topic, partition, offset):
        self.held[topic, partition] = offset
        return self.positions[topic, partition]

    def release(self, topic, partition):
        self.held.pop((topic, partition), None)

    def position(self, topic, partition):
        return self.positions[topic, partition], self.positions[topic, partition]

    def end(self, topic, partition):
        return self.ends.get((topic, partition), self.positions[topic, partition])

    def assignment(self, topic, partition):
        return self.serials.get((topic, partition))

    refusals = 0

    def idle_seconds(self, topic, partition):
        return self.idle

    async def take_turn(self, keys, above):
        if self.refusals:
            self.refusals -= 1
            return None
        self.turn = max(self.turn, above) + 1
        return self.turn


class Loads:
    def __init__(self):
        self.loaded, self.refused = set(), {}

    def has(self, version_offset):
        return version_offset in self.loaded


class Place:
    """A worker's part on a log that is told by a test; what it writes comes onto the log at once unless it is `mute`."""

    def __init__(self):
        self.story = Story(versions=2)
        self.lanes, self.loads = Lanes(), Loads()
        self.sent = []
        self.mute = False
        self.given_up = []
        self.me = Participant(
            self.lanes, self.loads, self._send, "w1", "e1", GROUP, lambda change, _: self.given_up.append(change.id)
        )
        self.blocked = {}

    def _send(self, record):
        self.sent.append(record)
        if not self.mute:
            self.story.say(record)
            self.me.follow(self.story.catalogue)

    def claim(self, *keys):
        return asyncio.run(asyncio.wait_for(self.me.claim(keys), SOON))

    def own(self, *keys, position=0):
        self.lanes.give(*keys, position=position)
        self.claim(*keys)

    def step(self):
        catalogue = self.story.catalogue
        self.me.follow(catalogue)
        needs = {change: [self.story.offset_of[2]] for change in catalogue.open_changes}
        self.me.step(needs, lambda _: self.why_not, self.blocked)

    why_not = None

    def prepare(self):
        return self.story.prepare("wine", plan(2))

    def load(self):
        self.loads.loaded.add(self.story.offset_of[2])

    def proposed(self, *partitions):
        """A change that is proposed, for which this worker has said that it is ready."""
        change = self.prepare()
        self.load()
        self.step()
        self.story.propose(change, partitions or (0,))
        return change

    def of(self, kind):
        return [record for record in self.sent if isinstance(record, kind)]

    def state(self, change):
        return self.story.catalogue.changes.get(change).state


@pytest.fixture
def place():
    return Place()


def test_a_claim_names_where_the_worker_begins_and_lasts_until_it_is_read_back(place):
    place.lanes.give(KEY, OTHER, position=7)

    found = place.claim(KEY, OTHER)

    (record,) = place.of(PartitionsClaimed)
    assert found == [KEY, OTHER]
    assert [(each.partition, each.offset) for each in record.partitions] == [(0, 7), (1, 7)]
    assert place.me.claims == dict.fromkeys((KEY, OTHER), record.claim)


def test_nothing_is_claimed_before_the_log_says_so(place):
    place.lanes.give(KEY)
    place.mute = True

    async def scenario():
        claiming = asyncio.create_task(place.me.claim([KEY]))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not claiming.done()
        assert place.me.claims == {}
        place.story.say(place.sent[0])
        place.me.follow(place.story.catalogue)
        return await asyncio.wait_for(claiming, AT_ONCE)

    assert asyncio.run(scenario()) == [KEY]


def test_a_claim_does_not_wait_for_partitions_that_left_meanwhile(place):
    place.lanes.give(KEY, OTHER)
    place.mute = True

    async def scenario():
        claiming = asyncio.create_task(place.me.claim([KEY, OTHER]))
        await asyncio.sleep(0)
        place.lanes.take(KEY, OTHER)
        place.me.forget([KEY, OTHER])
        return await asyncio.wait_for(claiming, SOON)

    assert asyncio.run(scenario()) == []


def test_a_claim_has_a_turn_above_that_of_the_owner_before(place):
    before = PartitionsClaimed("w0", "e0", "old", GROUP, (PartitionOffset(*KEY, 0),), turn=7)
    place.story.say(before)
    place.me.follow(place.story.catalogue)
    place.own(KEY)

    assert [record.turn for record in place.of(PartitionsClaimed)] == [8]
    assert place.story.catalogue.lanes[Lane(GROUP, *KEY)].worker == "w1"


def test_nothing_is_claimed_before_a_turn_was_taken(place):
    place.lanes.refusals = 2
    place.own(KEY)

    assert place.lanes.refusals == 0
    assert len(place.of(PartitionsClaimed)) == 1


def test_a_claim_that_a_later_turn_has_overtaken_is_made_again(place):
    place.lanes.give(KEY)
    place.mute = True

    async def scenario():
        claiming = asyncio.create_task(place.me.claim([KEY]))
        while not place.sent:
            await asyncio.sleep(0)
        place.story.say(PartitionsClaimed("w0", "e0", "other", GROUP, (PartitionOffset(*KEY, 0),), turn=5))
        place.story.say(place.sent[0])  # comes too late to count
        place.mute = False
        place.me.follow(place.story.catalogue)
        return await asyncio.wait_for(claiming, AT_ONCE)

    assert asyncio.run(scenario()) == [KEY]
    assert [record.turn for record in place.of(PartitionsClaimed)] == [1, 6]


def test_a_change_far_beyond_its_deadline_is_given_up_and_one_before_it_is_not(place):
    late = place.prepare()  # by the time stamps of the story, long ago
    place.step()
    place.step()
    told = list(place.given_up)
    place.story.order(AbortChange(late))
    place.story.say_at(int(time.time() * 1_000), ChangeRoute("wine", plan(2)))
    place.step()

    assert told == [late]
    assert place.given_up == [late]


def test_a_worker_is_ready_when_all_is_loaded_and_says_so_once(place):
    change = place.prepare()
    place.step()
    before = place.of(ChangeReady)
    place.load()
    place.step()
    place.step()

    assert before == []
    assert place.of(ChangeReady) == [ChangeReady("w1", "e1", change)]


def test_a_refused_version_is_said_once_and_ends_the_change(place):
    place.loads.refused[place.story.offset_of[2]] = Refusal("damaged", "it is cut off in the middle")
    change = place.prepare()
    place.step()
    place.step()

    assert place.of(ChangeReady) == [ChangeReady("w1", "e1", change, "damaged", "it is cut off in the middle")]
    assert place.state(change) is ChangeState.ABORTED


def test_a_plan_that_this_worker_cannot_serve_is_refused_whatever_is_loaded(place):
    place.load()
    place.why_not = Refusal("unsupported", "there is no decider 'dice'")
    change = place.prepare()
    place.step()
    place.step()

    assert place.of(ChangeReady) == [ChangeReady("w1", "e1", change, "unsupported", "there is no decider 'dice'")]


@pytest.mark.parametrize(("position", "end", "cut"), [(50, 30, 50), (50, 80, 80), (0, 0, 0)])
def test_a_promise_is_the_end_of_the_lane_but_never_below_the_position(place, position, end, cut):
    place.own(KEY, position=position)
    place.lanes.ends[KEY] = end
    change = place.proposed()

    place.step()

    (promise,) = place.of(CutsPromised)
    assert (promise.change, [each.offset for each in promise.cuts]) == (change, [cut])


@pytest.mark.parametrize(("idle", "cut"), [(0.0, 280), (1.0, 80)])
def test_a_cut_is_ahead_of_a_lane_that_flows_and_at_the_end_of_one_that_rests(place, idle, cut):
    place.own(KEY, position=50)
    place.lanes.ends[KEY] = 80
    place.lanes.idle = idle
    place.me._paces[KEY] = _Pace(time.monotonic(), 50, rate=1_000.0)
    place.proposed()

    place.step()

    assert [each.offset for promise in place.of(CutsPromised) for each in promise.cuts] == [cut]


def test_nothing_is_promised_while_the_end_of_the_lane_is_not_known(place):
    place.own(KEY, position=50)
    place.lanes.ends[KEY] = None
    place.proposed()

    place.step()
    assert place.of(CutsPromised) == []
    assert place.me.is_impatient

    place.lanes.ends[KEY] = 70
    place.step()
    assert [each.offset for promise in place.of(CutsPromised) for each in promise.cuts] == [70]


def test_nothing_at_or_above_a_promise_is_handed_out_before_the_change_is_over(place):
    place.own(KEY, OTHER, position=10)
    change = place.proposed(0, 1)
    place.mute = True
    place.step()
    held = dict(place.lanes.held)
    for record in place.of(CutsPromised):
        place.story.say(record)
    place.step()

    assert held == {KEY: 10, OTHER: 10}
    assert place.state(change) is ChangeState.COMMITTED
    assert place.lanes.held == {}


def test_a_hold_lasts_while_another_worker_has_not_promised(place):
    place.own(KEY)
    place.story.claim(1, worker="w2")
    change = place.proposed(0, 1)
    place.step()
    place.step()
    held = dict(place.lanes.held)
    place.story.promise(change, {1: 5})
    place.step()

    assert held == {KEY: 0}
    assert place.lanes.held == {}


def test_an_abort_releases_what_was_held(place):
    place.own(KEY)
    place.story.claim(1, worker="w2")
    change = place.proposed(0, 1)
    place.step()
    place.story.order(AbortChange(change))
    place.step()

    assert place.state(change) is ChangeState.ABORTED
    assert place.lanes.held == {}


def test_a_promise_that_was_made_is_not_made_again_at_another_offset(place):
    place.own(KEY, position=10)
    place.story.claim(1, worker="w2")
    place.proposed(0, 1)
    place.step()
    place.lanes.positions[KEY] = 10
    place.lanes.ends[KEY] = 90
    place.step()

    assert len(place.of(CutsPromised)) == 1


def test_nothing_is_promised_before_it_is_loaded(place):
    place.own(KEY)
    change = place.prepare()
    place.story.propose(change)
    place.step()
    before = place.of(CutsPromised)
    place.load()
    place.step()

    assert before == []
    assert len(place.of(CutsPromised)) == 1


def test_a_lane_that_is_not_claimed_is_not_promised(place):
    place.lanes.give(KEY)
    place.proposed()
    place.step()

    assert place.of(CutsPromised) == []


def test_a_claim_of_an_earlier_assignment_promises_nothing(place):
    place.own(KEY)
    place.lanes.take(KEY)
    place.lanes.give(KEY, position=5)
    place.proposed()
    place.step()
    before = place.of(CutsPromised)
    place.claim(KEY)
    place.step()

    (promise,) = place.of(CutsPromised)
    assert before == []
    assert promise.claim == place.of(PartitionsClaimed)[-1].claim
    assert promise.cuts[0].offset >= 5


def test_a_lane_that_went_and_came_is_promised_anew_from_where_it_is_now(place):
    place.own(KEY, position=10)
    place.story.claim(1, worker="w2")
    place.proposed(0, 1)
    place.mute = True  # the first promise never reaches the log
    place.step()
    place.mute = False
    place.lanes.take(KEY)
    place.me.forget([KEY])
    place.own(KEY, position=40)
    place.step()

    first, second = place.of(CutsPromised)
    assert (first.cuts[0].offset, second.cuts[0].offset) == (10, 40)
    assert first.claim != second.claim
    assert place.lanes.held == {KEY: 40}


def test_a_new_owner_obeys_the_promise_of_the_one_before(place):
    place.lanes.give(KEY, position=3)
    place.story.claim(0, worker="w2")
    place.story.claim(1, worker="w2")
    change = place.prepare()
    place.load()
    place.step()
    place.story.propose(change, (0, 1))
    place.story.promise(change, {0: 20})
    place.claim(KEY)
    place.step()

    assert place.of(CutsPromised) == []
    assert place.lanes.held == {KEY: 20}


def test_a_lane_waits_where_a_plan_is_missing_and_goes_on_when_it_is_there(place):
    place.own(KEY, OTHER)
    place.blocked = {KEY: 12}
    place.step()
    held = dict(place.lanes.held)
    place.blocked = {}
    place.step()

    assert held == {KEY: 12}
    assert place.lanes.held == {}


def test_of_several_reasons_to_hold_a_lane_the_lowest_counts(place):
    place.own(KEY, position=10)
    place.story.claim(1, worker="w2")
    place.blocked = {KEY: 12}
    place.proposed(0, 1)
    place.step()
    low = dict(place.lanes.held)
    place.blocked = {}
    place.lanes.ends[KEY] = 30
    place.step()

    assert low == {KEY: 10}
    assert place.lanes.held == {KEY: 10}


@given(
    st.lists(st.sampled_from(["read", "step", "move", "arrive", "prepare", "propose", "abort", "other"]), max_size=40)
)
def test_whatever_happens_a_promise_is_kept_and_made_by_the_owner(acts):
    """Records are handed out whenever nothing holds them, in any order with all else; nothing goes beyond a promise."""
    place = Place()
    place.load()
    place.own(KEY)
    place.story.claim(1, worker="w2")
    end = 0

    def promised(change):
        return {lane.partition: each.cut for lane, each in change.promises.items() if each.worker == "w1"}

    for act in acts:
        catalogue = place.story.catalogue
        under_way = [catalogue.changes.get(each) for each in catalogue.open_changes]
        if act == "arrive":
            end += 10
            place.lanes.ends[KEY] = end
        elif act == "read":
            place.lanes.positions[KEY] = max(
                place.lanes.positions[KEY], min(end, place.lanes.held.get(KEY, end), place.lanes.positions[KEY] + 7)
            )
        elif act == "move":
            position = place.lanes.positions[KEY]
            place.lanes.take(KEY)
            place.me.forget([KEY])
            place.own(KEY, position=position)
        elif act == "prepare" and not under_way:
            place.story.prepare("wine", plan(2))
        elif act == "propose" and under_way and under_way[0].state is ChangeState.PREPARED:
            place.story.propose(under_way[0].id, (0, 1))
        elif act == "abort" and under_way:
            place.story.order(AbortChange(under_way[0].id))
        elif act == "other" and under_way and under_way[0].state is ChangeState.PROPOSED:
            place.story.promise(under_way[0].id, {1: 5})
        if act != "read":
            place.step()
        for change in place.story.catalogue.open_changes:
            for cut in promised(place.story.catalogue.changes.get(change)).values():
                assert place.lanes.positions[KEY] <= cut
                assert place.lanes.held[KEY] <= cut
    if not place.story.catalogue.open_changes:
        place.step()
        assert place.lanes.held == {}
