from serving_story import Adder, Story, live_model

from serving.live import LiveModels

STORY = Story(versions=2)
FIRST, SECOND = STORY.offset_of[1], STORY.offset_of[2]


def test_a_version_is_leased_by_the_offset_that_made_it():
    live = LiveModels(lambda _: None)
    live.add(live_model(STORY, 1))
    live.add(live_model(STORY, 2))

    assert [live.lease(offset).version for offset in (FIRST, SECOND)] == [1, 2]
    assert live.lease(FIRST + 100) is None


def test_a_snapshot_does_not_change_under_a_reader():
    live = LiveModels(lambda _: None)
    live.add(live_model(STORY, 1))
    before = live.by_version
    live.add(live_model(STORY, 2))
    live.remove(FIRST)

    assert list(before) == [FIRST]
    assert list(live.by_version) == [SECOND]


def test_a_model_that_is_removed_is_closed_after_its_last_batch():
    closed = []
    live = LiveModels(closed.append)
    model = live_model(STORY, 1)
    live.add(model)
    leases = [live.lease(FIRST), live.lease(FIRST)]
    live.remove(FIRST)
    live.give_back(leases[0])
    assert closed == []

    live.give_back(leases[1])

    assert closed == [model]


def test_a_model_without_batches_is_closed_at_once_and_once():
    closed = []
    live = LiveModels(closed.append)
    live.add(live_model(STORY, 1))

    assert live.remove(FIRST) is closed[0]
    assert live.remove(FIRST) is None
    assert len(closed) == 1


def test_a_removed_model_is_leased_no_more_though_batches_still_hold_it():
    live = LiveModels(lambda _: None)
    live.add(live_model(STORY, 1))
    held = live.lease(FIRST)
    live.remove(FIRST)

    assert live.lease(FIRST) is None
    assert held.leases == 1


def test_a_version_that_is_loaded_again_is_another_model():
    closed = []
    live = LiveModels(closed.append)
    live.add(live_model(STORY, 1, Adder(1)))
    old = live.lease(FIRST)
    live.remove(FIRST)
    live.add(live_model(STORY, 1, Adder(1)))
    new = live.lease(FIRST)
    live.give_back(old)

    assert closed == [old]
    assert new is not old
    assert not new.is_removed
