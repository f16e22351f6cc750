"""With many routes, work is done for what changed: and what comes of it is what would come of doing all of it."""

import asyncio

import pytest
from serving_story import GROUP, TOPIC, Story, plan
from test_swapper import KEY, Worker

from serving.routing import Routing

DATA_TYPES = ("red", "rose", "white", "port")


@pytest.fixture
def worker():
    return Worker()


def quiet_worker(worker):
    """Serves version 1 for `red` and 2 for `white`, with nothing left to do; notes from then on when all routes are looked at."""
    looked = []

    async def run():
        await worker.claim()
        worker.story.at_once("red", plan(1))
        worker.story.at_once("white", plan(2))
        await worker.settle()
        for _ in range(3):
            worker.look()
        worker.swapper.placed_here = lambda keys: looked.append(True) or set(keys)

    return run, looked


def run(scenario, worker):
    async def whole():
        try:
            await scenario()
        finally:
            await worker.swapper.stop()

    asyncio.run(whole())


def test_while_nothing_changes_no_route_is_looked_at(worker):
    become_quiet, looked = quiet_worker(worker)

    async def scenario():
        await become_quiet()
        for offset in range(100, 200, 10):
            worker.lanes.at = worker.lanes.committed = offset
            worker.look()

        assert not looked

    run(scenario, worker)


def test_what_comes_on_the_log_is_done_as_before(worker):
    become_quiet, looked = quiet_worker(worker)

    async def scenario():
        await become_quiet()
        worker.story.at_once("red", plan(3))
        await worker.loaded_all()
        worker.look()
        worker.look()

        assert looked
        assert worker.loaded == {2, 3}

    run(scenario, worker)


def test_a_lane_that_goes_and_comes_is_looked_at(worker):
    become_quiet, looked = quiet_worker(worker)

    async def scenario():
        await become_quiet()
        worker.swapper.lanes_changed()
        worker.look()

        assert looked

    run(scenario, worker)


def test_a_swap_is_counted_once_and_a_first_beginning_is_none(worker):
    counted = []
    worker.swapper.on_change = lambda seconds: counted.append(seconds) if seconds is not None else None

    async def scenario():
        await worker.claim()
        worker.story.at_once("red", plan(1))
        await worker.settle()
        assert not counted

        worker.story.at_once("red", plan(2))
        await worker.loaded_all()
        for _ in range(3):
            worker.look()

        assert len(counted) == 1

    run(scenario, worker)


@pytest.mark.parametrize("key", ["red", "r*", "*", "new"])
def test_routing_forgets_exactly_what_a_change_of_a_route_concerns(key):
    story = Story(4)
    story.claim()
    for name, version in (("red", 1), ("white", 2), ("r*", 3)):
        story.at_once(name, plan(version), {0: 0})
    routing = Routing(GROUP)
    routing.follow(story.catalogue)
    for data_type in (*DATA_TYPES, "new"):
        routing.stretches((TOPIC, 0), data_type, 10, 20)

    story.at_once(key, plan(4), {0: 5})
    routing.follow(story.catalogue)

    fresh = Routing(GROUP)
    fresh.follow(story.catalogue)
    for data_type in (*DATA_TYPES, "new"):
        found = [(each.start, each.plan and each.plan.change) for each in routing.stretches(KEY, data_type, 10, 20)]
        told = [(each.start, each.plan and each.plan.change) for each in fresh.stretches(KEY, data_type, 10, 20)]
        assert found == told
