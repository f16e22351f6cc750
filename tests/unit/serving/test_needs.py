import pytest
from serving_story import GROUP, TOPIC, Story, plan, target

from serving.needs import Needs
from serving.routing import Routing

KEY = (TOPIC, 0)


class Told:
    """A story and what a worker needs by it; `hopeless` are versions that it cannot load."""

    def __init__(self):
        self.story = Story(versions=5)
        self.story.claim(0)
        self.hopeless = set()
        self.routing = Routing(GROUP)
        self.needs = Needs(self.routing, lambda offset: self._number(offset) in self.hopeless)

    def _number(self, offset):
        return next(number for number, at in self.story.offset_of.items() if at == offset)

    def of(self, committed=0, key="wine", token=0):
        self.routing.follow(self.story.catalogue)
        return self.needs.of_routes([self.story.catalogue.routes[key]], {KEY: committed}, token)[key]

    def versions(self, committed=0, token=0):
        return [self._number(offset) for offset in self.of(committed, token=token).versions]

    def wanted(self):
        entry = self.of().wanted
        return entry.plan.primary.target.version if entry is not None else None


@pytest.fixture
def told():
    return Told()


def test_a_plan_needs_its_arms_its_dark_versions_and_its_fallback(told):
    told.story.cut_over("wine", plan(1, 2, dark=(target(3),), fallback=target(4)), {0: 0})

    assert told.versions() == [1, 2, 3, 4]


def test_an_older_plan_is_needed_while_records_below_its_end_may_come_again(told):
    told.story.cut_over("wine", plan(1), {0: 0})
    told.story.cut_over("wine", plan(2), {0: 100})

    assert told.versions(committed=99) == [2, 1]
    assert told.versions(committed=100) == [2]


def test_a_worker_without_partitions_needs_what_serves_now(told):
    told.story.cut_over("wine", plan(1), {0: 0})
    told.story.cut_over("wine", plan(2), {0: 100})
    told.routing.follow(told.story.catalogue)

    needs = told.needs.of_routes(told.story.catalogue.routes.values(), {}, 0)["wine"]

    assert needs.versions == (told.story.offset_of[2],)
    assert needs.is_settled


def test_an_announced_version_that_cannot_be_loaded_is_passed_over_and_tried_again(told):
    told.story.at_once("wine", plan(1), {0: 0})
    told.story.at_once("wine", plan(2))
    told.hopeless = {2}

    assert told.wanted() == 1
    assert told.versions() == [1, 2]
    assert not told.of().is_settled


def test_an_exact_change_is_never_passed_over(told):
    told.story.at_once("wine", plan(1), {0: 0})
    told.story.cut_over("wine", plan(2), {0: 10})
    told.hopeless = {2}

    assert told.wanted() == 2


def test_a_plan_is_passed_over_if_one_of_its_versions_is_hopeless(told):
    told.story.at_once("wine", plan(1), {0: 0})
    told.story.at_once("wine", plan(3, 2))
    told.hopeless = {2}

    assert told.wanted() == 1


def test_where_nothing_can_be_loaded_nothing_is_wanted(told):
    told.story.at_once("wine", plan(1))
    told.hopeless = {1}

    assert told.wanted() is None


def test_a_route_that_was_taken_away_needs_nothing_but_the_past(told):
    told.story.cut_over("wine", plan(1), {0: 0})
    told.story.cut_over("wine", None, {0: 50})

    assert told.versions(committed=10) == [1]
    assert told.versions(committed=50) == []
    assert told.of(committed=50).wanted.plan is None


def test_needs_are_found_anew_when_lanes_or_loads_change(told):
    told.story.at_once("wine", plan(1), {0: 0})
    told.story.at_once("wine", plan(2), {0: 0})
    settled = told.of(token=1)
    told.hopeless = {2}

    assert told.of(token=1) is settled
    assert told.of(token=2).wanted.plan.primary.target.version == 1
    assert set(told.versions(token=2)) == {1, 2}


def test_needs_are_found_anew_while_an_older_plan_is_still_needed(told):
    told.story.cut_over("wine", plan(1), {0: 0})
    told.story.cut_over("wine", plan(2), {0: 100})

    assert [told.versions(committed) for committed in (0, 50, 99, 100)] == [[2, 1], [2, 1], [2, 1], [2]]
