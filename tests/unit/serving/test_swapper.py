"""What is loaded, dropped, held and begun as the log goes on; models load in threads, as in a worker, from a shelf."""

import asyncio

import numpy as np
import pytest
from serving_story import GROUP, STREAM, TOPIC, Adder, Story, plan, target

from model_store.core.control_records import ChangeReady, CutsPromised, ModelState, RouteApplied
from model_store.core.errors import FetchFailedError
from serving.core.binding import Binding
from serving.core.errors import DamagedModelError
from serving.live import LiveModels
from serving.loader import Loaded
from serving.loads import Loads
from serving.participant import Participant
from serving.reports import Reports
from serving.routing import Routing
from serving.swapper import Swapper

KEY = (TOPIC, 0)


class Lanes:
    """One partition: where it is, what the group has, and where it is held."""

    idle = 0.0

    def __init__(self):
        self.at, self.committed, self.held = 0, 0, {}

    def hold(self, topic, partition, offset):
        self.held[topic, partition] = offset
        return self.at

    def release(self, topic, partition):
        self.held.pop((topic, partition), None)

    def position(self, topic, partition):
        return self.at, self.committed

    def end(self, topic, partition):
        return self.at

    def idle_seconds(self, topic, partition):
        return self.idle

    async def take_turn(self, keys, above):
        return above + 1

    def assignment(self, topic, partition):
        return 1 if (topic, partition) == KEY else None


class Shelf:
    """Where versions are loaded from, unless they are `gone` or `damaged`."""

    def __init__(self, story):
        self.story, self.gone, self.damaged = story, set(), set()
        self.scorers = {}

    def load(self, descriptor, control_offset):
        number = next(number for number, at in self.story.offset_of.items() if at == control_offset)
        if number in self.gone:
            raise FetchFailedError("/m", "nobody answers")
        if number in self.damaged:
            raise DamagedModelError("it is cut off in the middle")
        scorer = self.scorers[number] = Adder(number)
        return Loaded(scorer, {STREAM: Binding(np.array([0], np.intp), ())}, {}, b"\1" * 32, 10, 0.1)


class Worker:
    def __init__(self, versions=4):
        self.story = Story(versions)
        self.lanes, self.shelf = Lanes(), Shelf(self.story)
        self.sent, self.reports = [], []
        live = LiveModels(lambda model: model.scorer.close())
        loads = Loads(live, self.shelf, 10.0, lambda version: self.swapper.wake(version))
        me = Participant(self.lanes, loads, self._send, "w1", "e1", GROUP, lambda *_: None)
        self.swapper = Swapper(
            Routing(GROUP), loads, me, Reports(self.reports.append, "w1", "e1"), placed_here=set,
            positions=lambda: {KEY: self.lanes.position(*KEY)}, why_not=lambda _: None,
            on_change=lambda _: None, follow=lambda _: None,
        )  # fmt: skip

    def _send(self, record):
        self.sent.append(record)
        self.story.say(record)

    async def claim(self):
        claiming = asyncio.create_task(self.swapper.participant.claim([KEY]))
        while not claiming.done():
            self.look()
            await asyncio.sleep(0)
        await self.settle()

    def look(self):
        self.swapper.catalogue = self.story.catalogue
        self.swapper.decide()

    async def settle(self):
        self.swapper.catalogue = self.story.catalogue
        await self.swapper.settle()

    async def loaded_all(self):
        """Until no load is under way."""
        self.look()
        while tasks := self.swapper.loads.under_way(set(self.story.offset_of.values())):
            await asyncio.wait(tasks)
            self.look()

    @property
    def loaded(self):
        return {model.version for model in self.swapper.loads.live.by_version.values()}

    @property
    def held(self):
        return self.lanes.held.get(KEY)

    def of(self, kind):
        return [record for record in self.sent if isinstance(record, kind)]


def run(scenario):
    async def whole():
        worker = Worker()
        try:
            return await scenario(worker)
        finally:
            await worker.swapper.stop()

    return asyncio.run(whole())


def serving(worker, *cuts):
    """Versions 1, 2, ... by exact changes with these cuts."""
    for version, cut in enumerate(cuts, 1):
        worker.story.cut_over("wine", plan(version), {0: cut})


def test_an_old_version_goes_when_the_group_has_passed_its_end_and_not_before():
    async def scenario(worker):
        worker.story.claim(0)
        serving(worker, 0, 100)
        found = []
        for at, committed in ((90, 80), (150, 99), (150, 100)):
            worker.lanes.at, worker.lanes.committed = at, committed
            await worker.loaded_all()
            found.append(worker.loaded)
        return found, worker.shelf.scorers[1].closed

    assert run(scenario) == ([{1, 2}, {1, 2}, {2}], 1)


def test_an_old_version_stays_while_nobody_knows_what_the_group_has():
    async def scenario(worker):
        worker.story.claim(0)
        serving(worker, 0, 100)
        found = []
        for at, committed in ((90, 80), (95, -1), (150, -1), (150, 120)):
            worker.lanes.at, worker.lanes.committed = at, committed
            await worker.loaded_all()
            found.append(worker.loaded)
        return found

    assert run(scenario) == [{1, 2}, {1, 2}, {1, 2}, {2}]


def test_records_wait_for_a_plan_that_was_committed_and_is_not_loaded_yet():
    async def scenario(worker):
        worker.shelf.gone = {2}
        await worker.claim()
        serving(worker, 0, 100)
        await worker.loaded_all()
        held = worker.held
        worker.shelf.gone = set()
        worker.swapper.loads._deferred.clear()
        await worker.loaded_all()
        return held, worker.held

    assert run(scenario) == (100, None)


def test_records_below_a_cut_wait_for_the_old_plan_if_that_is_not_to_be_had_after_a_restart():
    async def scenario(worker):
        worker.shelf.gone = {1}
        worker.story.claim(0, worker="w0")
        serving(worker, 0, 100)
        worker.lanes.at = worker.lanes.committed = 40
        await worker.claim()
        await worker.loaded_all()
        held = worker.held
        worker.shelf.gone = set()
        worker.swapper.loads._deferred.clear()
        await worker.loaded_all()
        return held, worker.held, worker.loaded

    assert run(scenario) == (40, None, {1, 2})


def test_records_do_not_wait_for_a_plan_that_will_never_be_loaded_here():
    async def scenario(worker):
        worker.shelf.damaged = {2}
        await worker.claim()
        serving(worker, 0, 100)
        await worker.loaded_all()
        return worker.held

    assert run(scenario) is None


def test_a_change_is_taken_part_in_from_the_request_to_the_commit():
    async def scenario(worker):
        await worker.claim()
        serving(worker, 0)
        change = worker.story.prepare("wine", plan(2, dark=(target(3),)))
        await worker.loaded_all()
        ready, loaded = worker.of(ChangeReady), worker.loaded
        worker.lanes.at = 70
        worker.story.propose(change)
        worker.look()
        held = worker.held
        worker.look()
        return change, ready, loaded, worker.of(CutsPromised)[-1].cuts[0].offset, held, worker.held

    change, ready, loaded, cut, held, after = run(scenario)

    assert ready == [ChangeReady("w1", "e1", change)]
    assert loaded == {1, 2, 3}
    assert cut == held == 70
    assert after is None


def test_a_version_that_only_an_aborted_change_needed_goes():
    async def scenario(worker):
        worker.shelf.damaged = {3}
        await worker.claim()
        serving(worker, 0)
        worker.story.prepare("wine", plan(2, 3))
        await worker.loaded_all()
        (said,) = worker.of(ChangeReady)
        worker.look()
        return said.problem, worker.loaded

    assert run(scenario) == ("damaged", {1})


def test_an_immediate_change_begins_when_it_is_loaded_and_is_told_once():
    async def scenario(worker):
        await worker.claim()
        serving(worker, 0)
        worker.lanes.at = worker.lanes.committed = 30

        def cut():
            return worker.swapper.routing.cut(worker.swapper.catalogue.routes["wine"].current, KEY)

        worker.story.at_once("wine", plan(2))
        worker.look()
        before = cut()
        worker.lanes.at = 55
        await worker.loaded_all()
        unread, held = cut(), worker.held
        worker.look()
        return (
            (before, unread, cut()),
            (held, worker.held),
            [each.since[0].offset for each in worker.of(RouteApplied)],
        )

    assert run(scenario) == ((None, None, 55), (55, None), [55])


def test_an_immediate_change_that_cannot_be_loaded_leaves_the_old_version_serving():
    async def scenario(worker):
        worker.shelf.damaged = {2}
        await worker.claim()
        serving(worker, 0)
        await worker.loaded_all()
        worker.lanes.at = worker.lanes.committed = 30
        entry = worker.story.at_once("wine", plan(2))
        await worker.loaded_all()
        states = [(report.model_version, report.state) for report in worker.reports]
        return worker.swapper.routing.cut(entry, KEY), worker.loaded, worker.held, states

    cut, loaded, held, states = run(scenario)
    assert (cut, loaded, held) == (None, {1}, None)
    assert states == [(1, ModelState.LIVE), (2, ModelState.REFUSED)]


@pytest.mark.parametrize("version", [1, 2])
def test_a_route_that_is_taken_away_needs_no_version_when_its_end_has_passed(version):
    async def scenario(worker):
        worker.story.claim(0)
        serving(worker, *range(0, 10 * version, 10))
        worker.story.cut_over("wine", None, {0: 100})
        worker.lanes.at = worker.lanes.committed = 100
        await worker.loaded_all()
        return worker.loaded

    assert run(scenario) == set()


def test_a_version_that_was_replaced_before_it_was_loaded_is_told_as_retired():
    async def scenario(worker):
        worker.shelf.gone = {2}
        await worker.claim()
        serving(worker, 0)
        await worker.loaded_all()
        worker.story.at_once("wine", plan(2))
        await worker.loaded_all()
        worker.story.at_once("wine", plan(3))
        await worker.loaded_all()
        worker.look()
        return [(report.model_version, report.state) for report in worker.reports]

    assert run(scenario) == [
        (1, ModelState.LIVE),
        (2, ModelState.RETRYING),
        (3, ModelState.LIVE),
        (2, ModelState.RETIRED),
    ]
