"""Replicas that drive exact changes and rollouts, with workers that keep the protocol, on a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from driver_worker import DutifulWorker, LogView

from model_store.core.changes import ChangeState
from model_store.core.commands import (
    AbortChange,
    ChangeRoute,
    ClaimJob,
    ProposeChange,
    RegisterVersion,
    RequestJob,
    SetAlias,
    StartRollout,
    SteerRollout,
    Step,
)
from model_store.core.descriptor import Descriptor
from model_store.core.guards import Guard
from model_store.core.jobs_state import JobState
from model_store.core.plans import PRIMARY, Arm, Plan, Target
from model_store.core.rollouts import RolloutState
from model_store.core.stats import Series, Tally, observe_batch
from model_store.core.stats_windows import slots_at
from model_store.stats_store import RedisStatistics, Sheet

pytestmark = pytest.mark.kafka

StartWorker = Callable[[str], DutifulWorker]


@pytest.fixture
def log(place: Any) -> Iterator[LogView]:
    """The control log of the place."""
    view = LogView(place.kafka, place.control_topic)
    yield view
    view.stop()


@pytest.fixture
def worker(place: Any) -> Iterator[StartWorker]:
    """Starts workers."""
    started: list[DutifulWorker] = []

    def start(name: str) -> DutifulWorker:
        started.append(DutifulWorker(place.kafka, place.control_topic, place.data_topic, place.group, name))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def plan(version: int, alias: str = "") -> Plan:
    """One version for all records."""
    return Plan((Arm(PRIMARY, Target("tree", version, alias)),))


def begin(log: LogView, versions: int = 2, key: str = "wine") -> None:
    """Register versions; the first serves."""
    for _ in range(versions):
        outcome = log.say(RegisterVersion(Descriptor("tree", "wine", "PMML", location="/m")))
        assert outcome.is_accepted, outcome
    assert log.say(ChangeRoute(key, plan(1), "immediate")).is_accepted


def cut_over(log: LogView, version: int, deadline_ms: int = 20_000, key: str = "wine") -> int:
    """Ask for an exact change; its id."""
    outcome = log.say(ChangeRoute(key, plan(version), "exact", deadline_ms))
    assert outcome.is_accepted, outcome
    return outcome.offset


def serving(log: LogView, key: str = "wine") -> dict[str, int]:
    """Version of each arm -> its weight."""
    found = log.catalogue.routes[key].plan
    return {str(arm.target): arm.weight for arm in found.arms} if found is not None else {}


def test_a_change_is_committed_with_a_cut_in_every_partition(place: Any, log: LogView, worker: StartWorker) -> None:
    place.replica()
    worker("w1")
    worker("w2")
    begin(log)

    change = log.over(cut_over(log, 2))

    assert change.state is ChangeState.COMMITTED
    assert sorted((lane.group, lane.topic, lane.partition) for lane in change.promises) == [
        (place.group, place.data_topic, 0),
        (place.group, place.data_topic, 1),
    ]
    assert {promise.worker for promise in change.promises.values()} == {"w1", "w2"}
    assert serving(log) == {"tree v2": 10_000}


def test_a_change_that_a_worker_does_not_load_is_aborted_at_its_deadline(
    place: Any, log: LogView, worker: StartWorker
) -> None:
    place.replica()
    worker("w1")
    worker("w2").is_ready = False
    begin(log)

    change = log.over(cut_over(log, 2, deadline_ms=1_500))

    assert change.state is ChangeState.ABORTED
    assert change.ended_why == "w2 has not loaded it within 1.5 s"
    assert serving(log) == {"tree v1": 10_000}


def test_another_replica_finishes_what_a_killed_one_began(place: Any, log: LogView, worker: StartWorker) -> None:
    first = place.process()
    slow = worker("w1")
    slow.is_ready = False
    begin(log)
    change = cut_over(log, 2)
    first.process.kill()
    first.process.wait(10)
    place.replica()

    slow.load()

    assert log.over(change).state is ChangeState.COMMITTED


def test_replicas_that_drive_at_the_same_time_do_nothing_twice(place: Any, log: LogView, worker: StartWorker) -> None:
    for _ in range(3):
        place.replica()
    worker("w1")
    keys = [f"wine-{number}" for number in range(5)]
    begin(log, key=keys[0])
    for key in keys[1:]:
        log.say(ChangeRoute(key, plan(1), "immediate"))

    changes = [cut_over(log, 2, key=key) for key in keys]

    assert [log.over(change).state for change in changes] == [ChangeState.COMMITTED] * 5
    proposed = [body.change for body in log.accepted_of_replicas() if isinstance(body, ProposeChange)]
    assert sorted(proposed) == changes
    assert not [body for body in log.accepted_of_replicas() if isinstance(body, AbortChange)]
    assert [len(log.catalogue.routes[key].entries) for key in keys] == [2] * 5


def test_a_route_follows_its_alias_exactly(place: Any, log: LogView, worker: StartWorker) -> None:
    place.replica()
    worker("w1")
    begin(log)
    log.say(SetAlias("tree", "champion", 1))
    log.say(ChangeRoute("wine", plan(1, "champion"), "immediate"))

    log.say(SetAlias("tree", "champion", 2))

    log.until(lambda: serving(log) == {"tree v2": 10_000})
    entry = log.catalogue.routes["wine"].current
    assert entry is not None
    assert (entry.is_exact, entry.actor) == (True, "sluice")
    assert entry.reason == "alias champion of tree moved to version 2"


def test_a_rollout_goes_dark_then_to_a_share_then_to_all_without_anybody(
    place: Any, log: LogView, worker: StartWorker
) -> None:
    place.replica()
    place.replica()
    worker("w1")
    begin(log)

    steps = (Step(0, 0.3), Step(100, 0.3), Step(10_000, 0.3))
    rollout = log.say(StartRollout("wine", Target("tree", 2), steps)).offset

    found = log.until(lambda: (r := log.catalogue.rollouts.get(rollout)) and not r.state.is_open and r)
    assert found.state is RolloutState.SUCCEEDED
    assert [told.reason for told in found.story if told.action == "step"] == [
        "step 1 of 3", "step 2 of 3", "step 3 of 3",
    ]  # fmt: skip
    assert serving(log) == {"tree v2": 10_000}
    assert len([body for body in log.accepted_of_replicas() if isinstance(body, SteerRollout)]) == 1


def test_a_guard_that_fails_takes_the_route_back_and_leaves_its_evidence(
    place: Any, log: LogView, worker: StartWorker
) -> None:
    place.replica(redis_url=place.redis_url)
    worker("w1")
    begin(log)
    version = log.catalogue.models["tree"].versions[2]
    store, key = RedisStatistics(place.redis_url), f"wine-{place.group}"
    log.say(ChangeRoute(key, plan(1), "immediate"))
    guard = Guard("error_rate", 0.05, minimum_records=100, breaches=2)
    steps = (Step(5000, 600), Step(10_000, 600))
    rollout = log.say(StartRollout(key, Target("tree", version.version), steps, (guard,))).offset
    log.until(lambda: serving(log, key) == {"tree v1": 5000, "tree v2": 5000})

    ill, well = Tally(), Tally()

    def has_ended() -> bool:
        now_ms = int(time.time() * 1000)
        ill.observe(observe_batch(200, 100, 0.01, now_ms))
        well.observe(observe_batch(200, 0, 0.01, now_ms))
        sheet = Sheet({Series("tree", 2, key): ill.frozen(), Series("tree", 1, key): well.frozen()}, {})
        store.write(f"w1-{place.group}", "e1", now_ms, sheet, dict.fromkeys(slots_at(now_ms), sheet))
        found = log.catalogue.rollouts.get(rollout)
        return found is not None and not found.state.is_open

    log.until(has_ended, 30)
    store.close()

    found = log.catalogue.rollouts.get(rollout)
    assert found is not None
    assert found.state is RolloutState.ROLLED_BACK
    assert serving(log, key) == {"tree v1": 10_000}
    (decided,) = [told for told in found.story if told.action == "rollback"]
    assert decided.actor == "sluice"
    assert "error_rate: tree v2 failed on" in decided.reason
    evidence = json.loads(decided.evidence)
    assert evidence["verdict"] == "fail"
    assert evidence["candidate"]["errors"] * 2 == evidence["candidate"]["records"]
    assert evidence["guards"][0]["streak"] == 2


def test_a_job_goes_back_to_the_queue_when_its_worker_is_started_anew(
    place: Any, log: LogView, worker: StartWorker
) -> None:
    place.replica()
    worker("w1")
    job = log.say(RequestJob("backtest", "{}")).offset
    log.say(ClaimJob(job, "w1", "an-earlier-start"))

    log.until(lambda: (found := log.catalogue.jobs.get(job)) is not None and found.state is JobState.QUEUED)
