"""Hundreds of cut-overs while workers are killed: every single result obeys the timeline that the control log adds up to."""

from __future__ import annotations

import random
import signal
import time
from collections import defaultdict

import pytest
from control_plane import ControlPlane, canary, one, quantiles, start_workers, twice
from deployment import GRAPH, make_deployment
from patience import until
from sending import Sending

from model_store.core.changes import ChangeState
from sluice.stack.ports import free_port

PARTITIONS = 6
ASKED_ABOUT = 100_000


@pytest.fixture
def plane(kafka, tmp_path):
    deployment = make_deployment(kafka, tmp_path, free_port, PARTITIONS)
    deployment.settings["max_batch"] = 200
    made = ControlPlane(deployment)
    try:
        yield made
    finally:
        made.stop()
        deployment.stop_all()


def begin(plane, delivery):
    """Three workers that serve version 1 of two; worker id -> its process."""
    plane.deployment.settings["delivery"] = delivery
    plane.start(2)
    for _ in range(2):
        plane.publish(GRAPH, mode="none")
    workers = start_workers(plane.deployment, 3)
    assert plane.operation(plane.change(one(1, mode="immediate")), wait=60)["state"] == "succeeded"
    return {f"w{i + 1}": worker for i, worker in enumerate(workers)}


def some_plan(chance, number):
    """Each is unlike the one before it."""
    version = 1 + number % 2
    return canary(version, 3 - version, chance.choice((5, 30, 50))) if number % 5 == 4 else one(version)


def kill_and_restart(plane, workers, chance):
    """At a moment that nobody chose."""
    time.sleep(chance.uniform(0, 0.15))
    victim = chance.choice(sorted(workers))
    workers[victim].kill()
    workers[victim] = plane.deployment.start_worker(wait=False, worker_id=victim)


def tell(plane, undisturbed):
    """Print how long changes took, for whoever runs the tests with `-s`."""
    phases = [plane.phases_ms(change) for change in undisturbed]
    print(f"\nall changes, {quantiles(plane.took_ms())}")
    for name, each in zip(
        ("until all were ready", "until proposed", "until committed"), zip(*phases, strict=True), strict=True
    ):
        print(f"with all workers well, {name}, {quantiles(sorted(each))}")
    print(f"with all workers well, {quantiles(sorted(sum(each) for each in phases))}")


@pytest.mark.slow
def test_two_hundred_cut_overs_with_killed_workers_leave_no_result_that_disobeys(plane):
    chance = random.Random(20_26)
    workers = begin(plane, "exactly_once")

    undisturbed = []
    with Sending(plane.deployment, 0.15) as sending:
        for number in range(1, 201):
            are_well = all(worker.answers_ready() for worker in workers.values())
            change = plane.change(some_plan(chance, number))
            if number % 10 == 0:
                kill_and_restart(plane, workers, chance)
            found = plane.committed(change, 120)
            if are_well and number % 10 != 0:
                undisturbed.append(found)
        until(lambda: sending.sent >= ASKED_ABOUT, 120, "enough records flow")
    rows = plane.read_results(sending.sent, seconds=180)

    tell(plane, undisturbed)
    assert len(rows) == sending.sent, "records were lost or scored twice"
    assert twice(rows) == []
    assert plane.unlike_the_intervals(rows) == []
    assert plane.disagreements(chance.sample(rows, ASKED_ABOUT)) == []
    assert len({row.control_offset for _, row in rows}) > 150, "too few records flowed between changes"
    assert plane.deployment.end_offsets(plane.deployment.dead_letters, 1) == [0]


@pytest.mark.slow
def test_at_least_once_only_a_worker_that_lost_its_partitions_disobeys_and_its_results_say_so(plane):
    chance = random.Random(20_27)
    workers = begin(plane, "at_least_once")
    zombie = workers.pop("w3")

    with Sending(plane.deployment, 0.05) as sending:
        for number in range(1, 31):
            change = plane.change(some_plan(chance, number))
            if number == 12:
                zombie.process.send_signal(signal.SIGSTOP)  # its partitions move; only then can the change be made
            elif number == 20:
                zombie.process.send_signal(signal.SIGCONT)
            elif number % 8 == 0:
                kill_and_restart(plane, workers, chance)
            found = plane.over(change, 120)
            assert found.state is ChangeState.COMMITTED, found.ended_why
        until(lambda: zombie.has_ended() or zombie.answers_ready(), 60, "it is back, or has ended")
    rows = plane.read_all(sending.sent)

    of_record = defaultdict(list)
    for key, row in rows:
        of_record[row.partition, row.offset].append((key, row))
    disobeyed = (
        [pair for pair in rows if plane.unlike_the_intervals([pair])] if plane.unlike_the_intervals(rows) else []
    )
    assert len(of_record) == sending.sent, "records were lost"
    print(f"{len(rows) - sending.sent} duplicates, {len(disobeyed)} of them by a plan that was over")
    assert {row.worker for _, row in disobeyed} <= {"w3"}
    for _, row in disobeyed:
        others = [pair for pair in of_record[row.partition, row.offset] if not plane.unlike_the_intervals([pair])]
        assert others, "a record has no result that obeys"
        assert all(row.control_offset < better.control_offset for _, better in others)
