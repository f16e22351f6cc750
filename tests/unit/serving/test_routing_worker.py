import pytest
from serving_story import GROUP, TOPIC, Story, plan

from serving.routing import Routing

KEY = (TOPIC, 0)
OTHER = (TOPIC, 1)


@pytest.fixture
def story():
    told = Story(versions=4)
    told.claim(0)
    told.claim(1)
    return told


def routing_of(story):
    made = Routing(GROUP)
    made.follow(story.catalogue)
    return made


def found(routing, first, last, key=KEY, data_type="wine"):
    """Where each stretch begins, as far as it was asked about, and its primary version (0: none)."""
    return [
        (max(first, each.start), each.plan.arms[0].target.version if each.plan else 0)
        for each in routing.stretches(key, data_type, first, last)
    ]


def test_nothing_serves_a_data_type_without_a_route(story):
    assert found(routing_of(story), 0, 9) == [(0, 0)]


def test_a_batch_that_straddles_a_cut_has_two_plans_and_one_beside_it_has_one(story):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    story.cut_over("wine", plan(2), {0: 100, 1: 50})
    routing = routing_of(story)

    assert found(routing, 90, 109) == [(90, 1), (100, 2)]
    assert found(routing, 90, 99) == [(90, 1)]
    assert found(routing, 100, 120) == [(100, 2)]
    assert found(routing, 90, 109, OTHER) == [(90, 2)]


@pytest.mark.parametrize(("first", "last", "versions"), [(99, 99, [1]), (100, 100, [2]), (99, 100, [1, 2])])
def test_the_cut_is_the_first_offset_of_the_new_plan(story, first, last, versions):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    story.cut_over("wine", plan(2), {0: 100, 1: 100})

    assert [version for _, version in found(routing_of(story), first, last)] == versions


def test_a_batch_may_straddle_several_cuts(story):
    for version, cut in ((1, 0), (2, 10), (3, 20), (4, 30)):
        story.cut_over("wine", plan(version), {0: cut, 1: cut})

    assert found(routing_of(story), 5, 25) == [(5, 1), (10, 2), (20, 3)]


def test_a_lane_that_promised_nothing_changes_where_its_next_owner_begins(story):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    story.cut_over("wine", plan(2), {0: 100})
    routing = routing_of(story)
    before = found(routing, 60, 90, OTHER)
    story.claim(1, position=70)
    routing.follow(story.catalogue)

    assert before == [(60, 1)]
    assert found(routing, 60, 90, OTHER) == [(60, 1), (70, 2)]


def test_an_immediate_change_scores_nothing_before_the_log_says_where_it_begins(story):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    story.at_once("wine", plan(2))
    routing = routing_of(story)

    assert found(routing, 30, 60) == [(30, 1)]


def test_an_immediate_change_begins_in_each_lane_where_the_log_says(story):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    story.at_once("wine", plan(2), {0: 40})
    routing = routing_of(story)

    assert found(routing, 30, 60) == [(30, 1), (40, 2)]
    assert found(routing, 30, 60, OTHER) == [(30, 1)]


def test_a_route_of_its_own_name_goes_before_a_pattern_and_a_pattern_before_any(story):
    story.cut_over("*", plan(1), {0: 0, 1: 0})
    story.cut_over("wine-*", plan(2), {0: 0, 1: 0})
    story.cut_over("wine-red*", plan(3), {0: 0, 1: 0})
    story.cut_over("wine-red", plan(4), {0: 0, 1: 0})
    routing = routing_of(story)

    served = {
        name: found(routing, 0, 9, data_type=name)[0][1] for name in ("beer", "wine-white", "wine-rede", "wine-red")
    }
    assert served == {"beer": 1, "wine-white": 2, "wine-rede": 3, "wine-red": 4}


def test_where_a_route_is_taken_away_the_next_one_serves_from_its_cut_on(story):
    story.cut_over("*", plan(1), {0: 0, 1: 0})
    story.cut_over("wine", plan(2), {0: 10, 1: 10})
    story.cut_over("wine", None, {0: 20, 1: 20})

    assert found(routing_of(story), 0, 30) == [(0, 1), (10, 2), (20, 1)]


def test_a_change_that_is_only_proposed_scores_nothing_yet(story):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    change = story.prepare("wine", plan(2))
    story.propose(change, (0, 1))
    story.promise(change, {0: 10})

    assert found(routing_of(story), 0, 30) == [(0, 1)]


def test_a_router_sees_a_commit_only_when_it_follows(story):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    routing = routing_of(story)
    before = found(routing, 0, 30)
    story.cut_over("wine", plan(2), {0: 10, 1: 10})
    unaware = found(routing, 0, 30)

    routing.follow(story.catalogue)

    assert before == unaware == [(0, 1)]
    assert found(routing, 0, 30) == [(0, 1), (10, 2)]


def test_going_back_in_a_lane_finds_the_plans_of_then(story):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    story.cut_over("wine", plan(2), {0: 100, 1: 100})
    routing = routing_of(story)
    routing.stretches(KEY, "wine", 500, 600)

    assert found(routing, 50, 120) == [(50, 1), (100, 2)]


def test_entries_in_force_are_those_that_score_from_an_offset_on(story):
    for version, cut in ((1, 0), (2, 10), (3, 20)):
        story.cut_over("wine", plan(version), {0: cut, 1: cut})
    routing = routing_of(story)
    route = story.catalogue.routes["wine"]

    def versions(offset):
        return [entry.plan.primary.target.version for entry in routing.in_force(route, KEY, offset)]

    assert (versions(0), versions(15), versions(20)) == ([3, 2, 1], [3, 2], [3])


def test_a_plan_is_made_ready_once(story):
    story.cut_over("wine", plan(1), {0: 0, 1: 0})
    routing = routing_of(story)
    (first,) = routing.stretches(KEY, "wine", 0, 9)
    story.claim(0, 5)
    routing.follow(story.catalogue)
    (second,) = routing.stretches(KEY, "wine", 0, 9)

    assert first.plan is second.plan
