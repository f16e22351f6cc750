import json
from dataclasses import replace

from driving_world import World, lane

from control_api.core.driving import retirements
from control_api.core.guards import Fail, Pass, Wait
from model_store.core.changes import ChangeState
from model_store.core.commands import (
    AbortChange,
    Approve,
    ChangeRoute,
    ClaimJob,
    ProposeChange,
    ReportJob,
    RequestJob,
    SetAlias,
    SetPolicy,
    SetStage,
    SteerRollout,
    Step,
)
from model_store.core.guards import Guard
from model_store.core.jobs_state import JobState
from model_store.core.plans import PRIMARY, Arm, Plan, Target
from model_store.core.rollouts import RolloutState

GUARDS = (Guard("error_rate", 0.1),)


def serving_world() -> World:
    """Two workers with a partition each, `tree` v1 serving `wine`, v2 registered."""
    world = World()
    world.start("w1", 0)
    world.start("w2", 1)
    world.version()
    world.serve(1)
    world.version()
    return world


def changing_world() -> tuple[World, int]:
    """The same, with an exact change to v2 under way."""
    world = serving_world()
    return world, world.serve(2, mode="exact").offset


def test_nothing_is_written_where_nothing_is_under_way() -> None:
    assert World().wanted() == []
    assert serving_world().wanted() == []


def test_a_change_is_proposed_with_all_lanes_when_every_worker_is_ready() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    assert world.wanted() == []

    world.ready("w2", change)

    (command,) = world.drive()
    assert command.body == ProposeChange(change, (lane(0), lane(1)))


def test_a_worker_that_started_anew_has_to_be_ready_again() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.ready("w2", change)

    world.start("w2", 1, epoch="e2")

    assert world.wanted() == []
    world.ready("w2", change, epoch="e2")
    assert len(world.wanted()) == 1


def test_a_change_waits_while_the_group_rebalances() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.ready("w2", change)
    world.is_settled = False

    assert world.wanted() == []


def test_a_change_waits_while_a_partition_has_no_owner() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.ready("w2", change)
    world.partitions["wine-in"] = 3

    assert world.wanted() == []
    world.wait(120)
    (command,) = world.drive()
    assert command.reason == "no worker has been given partition 2 of wine-in within 120 s"


def test_a_change_waits_while_it_is_not_known_who_lives_or_how_many_partitions_there_are() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.ready("w2", change)

    world.is_current = False
    assert world.wanted() == []
    world.is_current = True
    world.partitions.clear()
    assert world.wanted() == []


def test_a_worker_that_is_gone_is_not_waited_for() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.stop("w2")
    world.held["w1"] = (("wine-in", 0), ("wine-in", 1))

    (command,) = world.wanted()

    assert isinstance(command.body, ProposeChange)


def test_a_member_that_the_log_does_not_know_yet_is_waited_for() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.ready("w2", change)
    world.held["w3"] = ()

    assert world.wanted() == []
    world.wait(120)
    assert world.wanted()[0].reason == "w3 has not loaded it within 120 s"


def test_an_abort_names_who_was_not_ready() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.wait(119)
    assert world.wanted() == []

    world.wait(1)

    (command,) = world.drive()
    assert command.body == AbortChange(change)
    assert command.reason == "w2 has not loaded it within 120 s"
    assert world.change(change).ended_why == command.reason


def test_a_change_without_a_worker_waits_for_one_until_its_deadline() -> None:
    world = World()
    world.version()
    change = world.serve(1, mode="exact").offset
    assert world.wanted() == []

    world.wait(60)
    late = world.copy()
    late.start("w1", 0, 1)
    late.ready("w1", change)
    assert isinstance(late.wanted()[0].body, ProposeChange)

    world.wait(60)
    assert world.wanted()[0].reason == "no worker has come within 120 s"


def test_an_abort_of_a_proposed_change_names_the_lanes_without_a_promise() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.ready("w2", change)
    world.drive()
    world.promise("w1", change)
    assert world.wanted() == []

    world.wait(120)

    (command,) = world.drive()
    assert command.reason == "no promise came for partition 1 of wine-in (w2) within 120 s"
    assert world.change(change).state is ChangeState.ABORTED


def test_a_lane_whose_owner_died_is_taken_over_by_another_worker() -> None:
    world, change = changing_world()
    world.ready("w1", change)
    world.ready("w2", change)
    world.drive()
    world.promise("w1", change)
    world.stop("w2")
    world.held["w1"] = (("wine-in", 1),)
    world.claim("w1")
    assert world.wanted() == []

    world.promise("w1", change)

    assert world.change(change).state is ChangeState.COMMITTED


def test_a_route_follows_its_alias() -> None:
    world = serving_world()
    world.say(SetAlias("tree", "champion", 1))
    world.serve(1, alias="champion")
    assert world.wanted() == []

    world.say(SetAlias("tree", "champion", 2))

    (command,) = world.drive()
    assert isinstance(command.body, ChangeRoute)
    assert command.body.mode == "exact"
    assert command.reason == "alias champion of tree moved to version 2"
    assert world.wanted() == []
    world.cut_over()
    assert world.serving() == {"tree v2": 10_000}
    assert world.wanted() == []


def test_an_alias_is_not_followed_again_after_an_attempt_was_aborted() -> None:
    world = serving_world()
    world.say(SetAlias("tree", "champion", 1))
    world.serve(1, alias="champion")
    world.say(SetAlias("tree", "champion", 2))
    world.drive()
    (change,) = world.catalogue.open_changes
    world.ready("w1", change, problem="damaged")
    assert world.wanted() == []
    world.wait(3600)
    assert world.wanted() == []

    world.version()
    world.say(SetAlias("tree", "champion", 3))

    assert world.drive()[0].reason == "alias champion of tree moved to version 3"


def test_an_alias_is_followed_again_after_the_route_was_changed() -> None:
    world = serving_world()
    world.say(SetAlias("tree", "champion", 1))
    world.serve(1, alias="champion")
    world.say(SetAlias("tree", "champion", 2))
    world.drive()
    world.ready("w1", *world.catalogue.open_changes, problem="damaged")
    assert world.wanted() == []

    world.serve(1, alias="champion")

    assert len(world.wanted()) == 1


def test_all_targets_of_a_plan_follow_their_aliases_and_the_slots_stay() -> None:
    world = serving_world()
    world.say(SetAlias("tree", "champion", 1))
    world.say(SetAlias("tree", "challenger", 1))
    arms = (Arm(PRIMARY, Target("tree", 1, "champion"), 7000), Arm("b", Target("tree", 1, "challenger"), 3000))
    plan = Plan(arms, dark=(Target("tree", 1, "challenger"),), fallback=Target("tree", 1))
    world.say(ChangeRoute("wine", plan, "immediate"))
    before = world.route().plan
    world.say(SetAlias("tree", "challenger", 2))

    world.drive()
    world.cut_over()

    after = world.route().plan
    assert before is not None
    assert after is not None
    assert [arm.target.version for arm in after.arms] == [1, 2]
    assert [target.version for target in after.dark] == [2]
    assert after.fallback == Target("tree", 1)
    assert after.slots == before.slots


def test_an_alias_is_followed_at_once_where_no_worker_lives() -> None:
    world = World()
    world.version()
    world.say(SetAlias("tree", "champion", 1))
    world.serve(1, alias="champion")
    world.version()
    world.say(SetAlias("tree", "champion", 2))

    world.drive()

    assert world.serving() == {"tree v2": 10_000}


def test_an_alias_is_not_followed_to_a_version_that_may_not_serve_until_it_may() -> None:
    world = serving_world()
    world.say(SetAlias("tree", "champion", 1))
    world.serve(1, alias="champion")
    world.say(SetPolicy("tree", approvals=1))
    world.say(SetAlias("tree", "champion", 2))
    assert world.wanted() == []

    world.say(Approve("tree", 2, True))

    assert len(world.wanted()) == 1


def test_a_rollout_goes_dark_then_to_a_share_then_to_all_and_is_completed() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(0, 10), Step(100, 20), Step(10_000, 30)])

    world.drive()
    world.cut_over()
    assert world.serving() == {"tree v1": 10_000}
    assert world.route().plan is not None
    assert world.route().plan.dark == (Target("tree", 2),)
    assert world.wanted() == []

    world.wait(10)
    world.drive()
    world.cut_over()
    assert world.serving() == {"tree v1": 9_900, "tree v2": 100}
    world.wait(19)
    assert world.wanted() == []

    world.wait(1)
    world.drive()
    world.cut_over()
    assert world.serving() == {"tree v2": 10_000}
    assert world.wanted() == []

    world.wait(30)
    (command,) = world.drive()
    assert isinstance(command.body, SteerRollout)
    assert command.body.action == "complete"
    assert world.rollout(rollout).state is RolloutState.SUCCEEDED
    assert world.route().rollout is None
    assert world.wanted() == []


def test_a_rollout_goes_on_only_when_its_guards_pass() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(0, 10), Step(10_000, 10)], GUARDS)
    world.drive()
    world.cut_over()
    world.wait(100)

    assert world.wanted() == []
    assert world.wanted({rollout: Wait(("too few records",))}) == []
    (command,) = world.wanted({rollout: Pass()})
    assert isinstance(command.body, ChangeRoute)
    assert command.body.step == 1


def test_a_guard_that_fails_rolls_back_before_the_step_has_baked() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(5000, 1000), Step(10_000, 10)], GUARDS)
    world.drive()
    world.cut_over()
    assert world.serving() == {"tree v1": 5000, "tree v2": 5000}

    failed = Fail(("error_rate: tree v2 failed on 70 of 100 records",), {"verdict": "fail", "errors": 70})
    (command,) = world.drive({rollout: failed})

    assert isinstance(command.body, SteerRollout)
    assert command.body.action == "rollback"
    assert command.reason == failed.why[0]
    assert json.loads(world.rollout(rollout).story[-1].evidence) == {"verdict": "fail", "errors": 70}
    world.drive()
    world.cut_over()
    assert world.serving() == {"tree v1": 10_000}
    assert world.rollout(rollout).state is RolloutState.ROLLED_BACK
    assert world.wanted() == []


def test_a_promoted_rollout_goes_to_its_last_step_at_once() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(0, 1000), Step(100, 1000), Step(10_000, 10)])
    world.drive()
    world.cut_over()

    world.say(SteerRollout(rollout, "promote"))
    world.drive()
    world.cut_over()

    assert world.serving() == {"tree v2": 10_000}


def test_a_paused_rollout_stays_where_it_is() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(0, 10), Step(10_000, 10)])
    world.drive()
    world.cut_over()
    world.say(SteerRollout(rollout, "pause"))
    world.wait(1000)

    assert world.wanted({rollout: Pass()}) == []

    world.say(SteerRollout(rollout, "resume"))
    assert world.wanted() == []
    world.wait(10)
    assert len(world.wanted()) == 1


def test_a_paused_rollout_goes_back_when_a_guard_fails() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(5_000, 10), Step(10_000, 10)], GUARDS)
    world.drive()
    world.cut_over()
    world.say(SteerRollout(rollout, "pause"))

    (command,) = world.drive({rollout: Fail(("psi: it drifts",), {"verdict": "fail"})})

    assert isinstance(command.body, SteerRollout)
    assert command.body.action == "rollback"
    assert world.rollout(rollout).state is RolloutState.REVERTING


def test_a_step_that_was_aborted_waits_for_a_person() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(10_000, 10)])
    world.drive()
    (change,) = world.catalogue.open_changes
    world.ready("w1", change, problem="damaged")
    assert world.rollout(rollout).state is RolloutState.PAUSED
    world.wait(1000)
    assert world.wanted() == []

    world.say(SteerRollout(rollout, "resume"))

    (command,) = world.drive()
    assert isinstance(command.body, ChangeRoute)


def test_a_candidate_that_may_run_dark_but_not_serve_pauses_its_rollout_and_goes_on_when_it_may() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(0, 1), Step(10_000, 10)])
    world.drive()
    world.cut_over()
    world.say(SetPolicy("tree", approvals=1))
    world.wait(1)

    (command,) = world.drive()

    assert isinstance(command.body, SteerRollout)
    assert command.body.action == "pause"
    assert "needs 1 approvals before it may serve" in command.reason
    world.say(Approve("tree", 2, True))
    world.say(SteerRollout(rollout, "resume"))
    world.wait(1)
    world.drive()
    world.cut_over()
    assert world.serving() == {"tree v2": 10_000}


def test_a_way_back_that_was_aborted_is_tried_again_after_a_growing_pause() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(5000, 10), Step(10_000, 10)])
    world.drive()
    world.cut_over()
    world.say(SteerRollout(rollout, "abort"))

    for pause in (1, 2, 4):
        world.drive()
        (change,) = world.catalogue.open_changes
        world.ready("w1", change, problem="unavailable")
        world.wait(pause - 0.1)
        assert world.wanted() == []
        world.wait(0.1)
    world.drive()
    world.cut_over()

    assert world.serving() == {"tree v1": 10_000}
    assert world.rollout(rollout).state is RolloutState.ABORTED


def test_the_way_back_begins_at_once_when_a_step_was_under_way() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(5000, 0), Step(10_000, 10)])
    world.drive()
    world.cut_over()
    world.drive()
    assert len(world.catalogue.open_changes) == 1

    world.say(SteerRollout(rollout, "abort"))

    (command,) = world.wanted()
    assert isinstance(command.body, ChangeRoute)
    assert command.body.step == -1


def test_a_way_back_is_tried_for_ever() -> None:
    world = serving_world()
    rollout = world.roll_out(2, [Step(5000, 10), Step(10_000, 10)])
    world.drive()
    world.cut_over()
    world.say(SteerRollout(rollout, "abort"))

    for _ in range(70):
        world.wait(60)
        assert len(world.drive()) == 1
        (change,) = world.catalogue.open_changes
        world.ready("w1", change, problem="unavailable")


def test_a_job_is_taken_from_a_worker_that_started_anew() -> None:
    world = serving_world()
    job = world.say(RequestJob("backtest", "{}")).offset
    world.say(ClaimJob(job, "w1", "e1"))
    assert world.wanted() == []

    world.start("w1", 0, epoch="e2")

    (command,) = world.drive()
    assert command.body == ReportJob(job, "queued", "w1")
    found = world.catalogue.jobs.get(job)
    assert found is not None
    assert found.state is JobState.QUEUED


def test_a_job_is_taken_from_a_worker_that_is_gone_and_silent() -> None:
    world = serving_world()
    job = world.say(RequestJob("backtest", "{}")).offset
    world.say(ClaimJob(job, "w1", "e1"))
    world.stop("w1")
    assert world.wanted() == []

    world.wait(5)
    world.is_current = False
    assert world.wanted() == []
    world.is_current = True

    assert world.wanted()[0].body == ReportJob(job, "queued", "w1")


def test_a_job_that_three_workers_were_lost_with_has_failed() -> None:
    world = serving_world()
    job = world.say(RequestJob("backtest", "{}")).offset
    for epoch in ("e2", "e3", "e4"):
        known = world.catalogue.workers.get("w1")
        assert known is not None
        world.say(ClaimJob(job, "w1", known.epoch))
        world.start("w1", 0, epoch=epoch)
        world.drive()

    found = world.catalogue.jobs.get(job)
    assert found is not None
    assert found.state is JobState.FAILED
    assert json.loads(found.report)["error"] == "3 workers were lost while they had it, w1 the last"


def test_a_version_without_a_route_is_retired_when_its_policy_says_so() -> None:
    world = serving_world()
    world.say(SetPolicy("tree", retire_after_s=60))
    assert retirements(world.catalogue, world.now_ms, 5) == []

    world.wait(60)

    (command,) = retirements(world.catalogue, world.now_ms, 5)
    assert isinstance(command.body, SetStage)
    assert (command.body.version, command.body.stage) == (2, "retired")
    assert world.write(command).is_accepted
    assert retirements(world.catalogue, world.now_ms, 5) == []
    assert world.serving() == {"tree v1": 10_000}


def test_a_version_that_an_alias_names_or_that_somebody_brought_back_is_not_retired() -> None:
    world = serving_world()
    world.version()
    world.say(SetPolicy("tree", retire_after_s=60))
    world.say(SetAlias("tree", "next", 2))
    world.wait(60)
    (command,) = retirements(world.catalogue, world.now_ms, 5)
    assert world.write(command).is_accepted

    world.say(SetStage("tree", 3, "active"))

    assert retirements(world.catalogue, world.now_ms, 5) == []
    world.wait(60)
    assert len(retirements(world.catalogue, world.now_ms, 5)) == 1


def test_the_version_that_waited_longest_is_retired_first_and_few_at_a_time() -> None:
    world = serving_world()
    for _ in range(5):
        world.version()
    world.say(SetPolicy("tree", retire_after_s=60))
    world.wait(600)

    bodies = [command.body for command in retirements(world.catalogue, world.now_ms, 2)]

    assert [body.version for body in bodies if isinstance(body, SetStage)] == [2, 3]


def test_a_command_that_was_refused_once_is_not_written_again_for_the_same_state() -> None:
    world, change = changing_world()
    world.wait(120)
    (command,) = world.wanted()
    world.write(replace(command, body=AbortChange(12345)))

    assert world.wanted() == []
    assert world.change(change).state is ChangeState.PREPARED
