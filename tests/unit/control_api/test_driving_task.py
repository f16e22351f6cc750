import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from driving_world import World
from structlog.testing import capture_logs

from control_api.core.guards import Streaks, evaluate
from control_api.core.judging import BEFORE_SECONDS, Judged, judge, verdicts_of, watched, windows
from control_api.driver import Driver
from control_api.errors import KAFKA_DOWN, ApiError
from control_api.parts import Parts
from control_api.ports import Membership
from model_store.core.commands import ChangeRoute, SteerRollout, Step
from model_store.core.guards import Guard
from model_store.core.plans import Plan
from model_store.core.stats import Series, Statistics
from model_store.stats_store import WorkerStatistics


class StillFollower:
    """A fold that stands still: what is written never comes back."""

    is_caught_up = True
    failure = None

    def __init__(self, world: World) -> None:
        self._world = world
        self.waits = 0

    @property
    def state(self) -> Any:
        return self._world.catalogue

    @property
    def applied_offset(self) -> int:
        return self._world.catalogue.offset

    async def wait_change(self, timeout_seconds: float) -> bool:
        self.waits += 1
        await asyncio.sleep(0)
        return False


class WorldGroups:
    """Who lives in a world, and how often that was asked for anew."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.fresh = 0

    async def membership(self, groups: Sequence[str], *, fresh: bool = False) -> Membership:
        self.fresh += fresh
        return self._world.around().membership

    async def partitions(self, topics: Sequence[str]) -> Mapping[str, int]:
        return {topic: self._world.partitions.get(topic, 0) for topic in topics}


class Broker:
    """A publisher that fails for a while."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.values: list[bytes] = []

    async def publish(self, key: bytes, value: bytes, headers: Mapping[str, bytes]) -> int:
        if self.failures:
            self.failures -= 1
            raise ApiError(KAFKA_DOWN, "no broker answers")
        self.values.append(value)
        return len(self.values)


class NoStore:
    """A statistics store that is down."""

    async def window(self, seconds: int) -> Sequence[WorkerStatistics]:
        raise ApiError(KAFKA_DOWN, "no store answers")


def parts_of(world: World, broker: Broker) -> Parts:
    """The parts that a driver uses."""
    unused: Any = None
    return Parts(
        settings=unused, metrics=unused, follower=StillFollower(world), log_reader=unused, publisher=broker,
        groups=WorldGroups(world), topics=unused, replays=unused, statistics=NoStore(), happenings=unused, streams=unused,
    )  # type: ignore[arg-type]  # fmt: skip


def drive(parts: Parts, waits: int) -> None:
    """Run a driver until it has waited so often for the log to change."""

    async def until() -> None:
        task = asyncio.create_task(Driver(parts).run())
        follower: Any = parts.follower
        while follower.waits < waits:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(until())


def ready_world() -> World:
    """A change that every worker is ready for."""
    world = World()
    world.start("w1", 0, 1)
    world.version()
    change = world.serve(1, mode="exact").offset
    world.ready("w1", change)
    return world


def baking(weight: int = 5000) -> tuple[World, int]:
    """A rollout that bakes its first step."""
    world = World()
    world.start("w1", 0, 1)
    world.version()
    world.serve(1)
    world.version()
    rollout = world.roll_out(2, [Step(weight, 60), Step(10_000, 60)], (Guard("error_rate", 0.1, minimum_records=10),))
    world.drive()
    world.cut_over()
    return world, rollout


def test_a_command_that_is_on_its_way_is_not_written_again() -> None:
    broker = Broker()

    drive(parts_of(ready_world(), broker), 20)

    assert len(broker.values) == 1


def test_a_driver_that_cannot_write_tries_again_and_says_so_once() -> None:
    broker = Broker(failures=5)

    with capture_logs() as events:
        drive(parts_of(ready_world(), broker), 10)

    assert len(broker.values) == 1
    told = [event["event"] for event in events if event["event"].startswith("driver.")]
    assert told == ["driver.held_up", "driver.wrote", "driver.goes_on"]


def test_the_brokers_are_asked_anew_who_lives_before_a_change_is_proposed_and_only_then() -> None:
    world = ready_world()
    parts = parts_of(world, Broker())
    groups: Any = parts.groups
    drive(parts, 2)
    assert groups.fresh >= 1

    waiting = World()
    waiting.start("w1", 0, 1)
    waiting.version()
    waiting.serve(1, mode="exact")
    parts = parts_of(waiting, Broker())
    groups = parts.groups
    drive(parts, 5)
    assert groups.fresh == 0


def test_a_store_that_is_down_holds_up_guards_and_nothing_else() -> None:
    world, _ = baking()
    world.say(ChangeRoute("beer", Plan(world.route().plan.arms), "exact"))  # type: ignore[union-attr]  # it serves
    world.ready("w1", world.catalogue.offset)
    broker = Broker()

    with capture_logs() as events:
        drive(parts_of(world, broker), 20)

    assert len(broker.values) == 1
    assert [event["event"] for event in events if event["event"].startswith("guards.")] == ["guards.held_up"]


def test_guards_are_watched_while_a_step_bakes_and_while_it_is_paused() -> None:
    world, rollout = baking()
    assert [each.id for each in watched(world.catalogue)] == [rollout]

    world.say(SteerRollout(rollout, "pause"))
    assert [each.id for each in watched(world.catalogue)] == [rollout]

    world.say(SteerRollout(rollout, "abort"))
    assert watched(world.catalogue) == []


def test_the_window_begins_with_the_step_and_earlier_for_a_baseline_that_scores_no_more() -> None:
    world, rollout = baking()
    assert windows(world.rollout(rollout), world.rollout(rollout).since_ms + 2_500) == (3, 3)

    world, rollout = baking(10_000)
    assert windows(world.rollout(rollout), world.rollout(rollout).since_ms + 2_500) == (3, 3 + BEFORE_SECONDS)
    assert windows(world.rollout(rollout), world.rollout(rollout).since_ms + 10**9) == (86_400, 86_400)


def seen(records: int, errors: int, last_ms: int, version: int = 2, data_type: str = "wine") -> WorkerStatistics:
    """One worker's statistics of a version."""
    observed = Statistics(records, errors, last_ms=last_ms, first_ms=last_ms)
    return WorkerStatistics("w1", "e1", last_ms, {Series("tree", version, data_type): observed}, {})


def test_the_statistics_of_all_workers_count_and_those_of_other_routes_do_not() -> None:
    world, rollout = baking()
    candidate = [seen(60, 6, 5), seen(40, 4, 6), seen(1000, 1000, 5, data_type="beer"), seen(1000, 1000, 5, version=3)]

    judged = judge(world.rollout(rollout), candidate, [], None, 1_000)

    assert judged.evaluation.findings[0].candidate_records == 100
    assert judged.evaluation.findings[0].value == 0.1


def test_breaches_in_a_row_are_counted_within_a_step_only() -> None:
    world, rollout = baking()
    found = world.rollout(rollout)
    first = judge(found, [seen(100, 90, 5)], [], None, 1_000)
    second = judge(found, [seen(200, 180, 6)], [], first, 2_000)
    assert second.evaluation.findings[0].streak == 2

    world.say(SteerRollout(rollout, "pause"))
    world.say(SteerRollout(rollout, "resume"))

    third = judge(world.rollout(rollout), [seen(300, 270, 7)], [], second, 3_000)
    assert third.evaluation.findings[0].streak == 1


def test_an_evaluation_counts_while_it_is_fresh_and_of_the_step_that_its_rollout_is_at() -> None:
    world, rollout = baking()
    found = world.rollout(rollout)
    evaluation = evaluate((), Statistics(), Statistics(), Streaks(), at_ms=0, window_seconds=1)
    judged = {rollout: Judged(found.step, found.since_ms, 1_000, evaluation)}

    assert verdicts_of(judged, world.catalogue, 6_000, 5_000) == {rollout: evaluation}
    assert verdicts_of(judged, world.catalogue, 6_001, 5_000) == {}
    earlier = {rollout: Judged(found.step, found.since_ms - 1, 1_000, evaluation)}
    assert verdicts_of(earlier, world.catalogue, 1_000, 5_000) == {}
