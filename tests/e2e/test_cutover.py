"""Exact cut-overs end to end: real workers, real replicas of the control API, and every result held to the timeline."""

from __future__ import annotations

import signal
from collections import defaultdict

import pytest
from control_plane import ControlPlane, by_partition, canary, obeys, one, start_workers, twice
from deployment import GRAPH, make_deployment, wine_values
from patience import until
from sending import Sending

from model_store.core.changes import ChangeState
from model_store.core.commands import ChangeRoute, ProposeChange
from model_store.core.plans import PRIMARY, Arm, Plan, Target
from sluice.stack.ports import free_port


@pytest.fixture
def plane(deployment):
    """A control plane of a test's own, for what is killed and stopped."""
    deployment.settings["delivery"] = "exactly_once"
    made = ControlPlane(deployment)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def running(kafka, tmp_path_factory):
    """Two workers and two replicas that all go on; three versions of one model. Each test has a route of its own."""
    deployment = make_deployment(kafka, tmp_path_factory.mktemp("running"), free_port, 4)
    deployment.settings["delivery"] = "exactly_once"
    made = ControlPlane(deployment)
    try:
        begin(made, versions=3)
        yield made
    finally:
        made.stop()
        deployment.stop_all()


def begin(plane, workers=2, replicas=2, versions=2):
    plane.start(replicas)
    for _ in range(versions):
        plane.publish(GRAPH, mode="none")
    return start_workers(plane.deployment, workers)


def serve(plane, key="wine", version=1, **members):
    """Give a new route a version, and wait until records are scored by it."""
    change = plane.change(one(version, mode="immediate", **members), key=key)
    assert plane.operation(change, wait=60)["state"] == "succeeded"


def flow(sending, records=2_000):
    """Let so many more records flow."""
    at = sending.sent
    until(lambda: sending.sent >= at + records, 60, "records flow")


def versions(rows):
    return {row.model_version for _, row in rows}


# ---------------------------------------------------------------------- all goes well


def test_publishing_under_load_changes_every_partition_at_its_promised_offset(running):
    key = "published"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending)
        published = running.publish(GRAPH, data_type=key)
        change = running.committed(published["control_offset"])
        flow(sending)
    rows = running.read_results(sending.sent, key)

    new = int(published["version"])
    assert len(rows) == sending.sent
    assert twice(rows) == []
    assert versions(rows) == {1, new}
    assert {lane.partition for lane in change.promises} == {0, 1, 2, 3}
    obeys(rows, change, 1, new)
    assert running.disagreements(rows) == []
    operation = running.operation(change.id)
    assert (operation["kind"], operation["state"], operation["phase"]) == ("publish", "succeeded", "committed")
    assert {cut["partition"]: cut["cut"] for cut in operation["cuts"]} == {
        lane.partition: promise.cut for lane, promise in change.promises.items()
    }


def test_the_api_says_of_every_record_which_version_scored_it(running):
    key = "told"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending, 800)
        change = running.committed(running.change(canary(1, 2, 50), key=key))
        flow(sending, 800)
    rows = running.read_results(sending.sent, key)

    near = {p: promise.cut for lane, promise in change.promises.items() for p in [lane.partition]}
    asked = [(k, row) for k, row in rows if abs(row.offset - near[row.partition]) < 5] + rows[:: len(rows) // 20]
    for entity, row in asked:
        told = running.decided(row, entity.decode())
        assert (told["version"], told["control_offset"]) == (str(row.model_version), row.control_offset)
        assert told["arm"] in (row.arm, "primary" if not row.arm else row.arm)
    assert {row.model_version for _, row in asked} == {1, 2}


def test_an_idle_stream_is_cut_without_a_record(running):
    key = "idle"
    serve(running, key)
    ends = running.deployment.end_offsets(running.deployment.source)

    change = running.committed(running.change(one(2), key=key))
    running.deployment.send(wine_values(key)[:800])
    rows = running.read_results(800, key)

    assert {promise.cut - ends[lane.partition] < 1_000 for lane, promise in change.promises.items()} == {True}
    obeys(rows, change, 1, 2)
    assert running.disagreements(rows) == []


def test_a_partition_that_is_far_behind_is_scored_to_its_cut_by_the_old_version(running):
    key = "behind"
    serve(running, key)
    values = wine_values(key)
    ends = running.deployment.end_offsets(running.deployment.source)
    count = 20
    for _ in range(count):
        running.deployment.send(values, partition=0)

    change = running.committed(running.change(one(2), key=key))
    running.deployment.send(values[:400])
    rows = running.read_results(count * len(values) + 400, key)

    cut = {lane.partition: promise.cut for lane, promise in change.promises.items()}[0]
    assert cut >= ends[0] + count * len(values)
    assert twice(rows) == []
    obeys(rows, change, 1, 2)


def test_a_worker_that_joins_under_way_scores_as_the_others_do(running):
    key = "joined"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending)
        late = running.deployment.start_worker(wait=False, worker_id="late")
        changes = []
        for version in (2, 1, 3):
            changes.append(running.committed(running.change(one(version), key=key), 90))
        until(late.is_ready, 60, "the late one is ready")
        running.log.until(lambda: "late" in running.holders().values(), 60, "it has partitions")
        changes.append(running.committed(running.change(one(1), key=key)))
        flow(sending)
    rows = running.read_results(sending.sent, key)

    assert len(rows) == sending.sent
    assert twice(rows) == []
    assert running.disagreements(rows) == []
    assert "late" in {promise.worker for promise in changes[-1].promises.values()}
    assert "late" in {row.worker for _, row in rows}
    late.stop()


def test_an_immediate_change_is_made_by_each_worker_and_told(running):
    key = "immediate"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending)
        change = running.change(one(2, mode="immediate"), key=key)
        assert running.operation(change, wait=60)["state"] == "succeeded"
        flow(sending)
    rows = running.read_results(sending.sent, key)

    assert twice(rows) == []
    assert versions(rows) == {1, 2}
    assert running.disagreements(rows) == []
    for partition in by_partition(rows).values():
        found = [row.model_version for row in partition]
        assert found == sorted(found)


def test_no_entity_mixes_versions_and_a_larger_weight_only_moves_entities_to_its_arm(running):
    key = "canary"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        changes = []
        for percent in (5, 20, 60):
            flow(sending, 800)
            changes.append(running.committed(running.change(canary(1, 2, percent), key=key)))
        flow(sending, 1_200)
    rows = running.read_results(sending.sent, key)

    assert running.disagreements(rows) == []
    on_canary, on_primary = [], []
    for change in changes:
        seen = defaultdict(set)
        for entity, row in rows:
            if row.control_offset == change.id:
                seen[entity].add((row.model_version, row.arm))
        assert all(len(found) == 1 for found in seen.values())
        assert {found for each in seen.values() for found in each} == {(1, ""), (2, "canary")}
        on_canary.append({entity for entity, found in seen.items() if found == {(2, "canary")}})
        on_primary.append({entity for entity, found in seen.items() if found == {(1, "")}})
    # Not every entity has a record under every change.
    assert on_canary[0].isdisjoint(on_primary[1] | on_primary[2])
    assert on_canary[1].isdisjoint(on_primary[2])
    assert len(on_canary[0]) < len(on_canary[1]) < len(on_canary[2])
    assert 0.4 < len(on_canary[2]) / 400 < 0.8


def test_dark_results_are_in_the_dark_topic_only(running):
    key = "dark"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending, 800)
        change = running.committed(running.change(one(1, dark=[{"model": "wine", "version": "2"}]), key=key))
        flow(sending, 800)
    rows = running.read_results(sending.sent, key)

    lit = {(row.partition, row.offset) for _, row in rows if row.control_offset == change.id}
    dark = running.read_results(len(lit), key, is_dark=True)
    assert versions(rows) == {1}
    assert {(row.partition, row.offset) for _, row in dark} == lit
    assert {(row.model_version, row.control_offset) for _, row in dark} == {(2, change.id)}
    assert running.disagreements(rows) == []


def test_rolling_back_is_an_exact_change_to_what_served_before(running):
    key = "back"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending, 800)
        forth = running.committed(running.change(one(2), key=key))
        flow(sending, 800)
        back = running.committed(running.roll_back(key))
        flow(sending, 800)
    rows = running.read_results(sending.sent, key)

    assert running.disagreements(rows) == []
    assert {(row.control_offset, row.model_version) for _, row in rows} >= {(forth.id, 2), (back.id, 1)}
    obeys([(k, row) for k, row in rows if row.control_offset in (forth.id, back.id)], back, 2, 1)


# ---------------------------------------------------------------------- things go wrong


def prepared(plane, key="wine"):
    """A change to version 2 that no replica drives, and that every worker is ready for."""
    plan = Plan((Arm(PRIMARY, Target("wine", 2)),))
    change = plane.order(ChangeRoute(key, plan, deadline_ms=300_000))
    members = set(plane.holders().values())
    plane.log.until(lambda: members <= set(plane.log.change(change).ready), 60, "all are ready")
    return change


def serving_without_api(plane, workers=2):
    """Workers that serve version 1 of two, and no replica that would drive a change."""
    for _ in range(2):
        plane.deployment.publish(GRAPH)
    plane.order(ChangeRoute("wine", Plan((Arm(PRIMARY, Target("wine", 1)),)), "immediate"))
    started = start_workers(plane.deployment, workers)
    plane.log.until(lambda: len(set(plane.holders().values())) == workers, 60, "all hold partitions")
    return started


@pytest.mark.parametrize("fate", ["is killed and started again", "is stopped and its partitions move"])
def test_a_worker_that_fails_before_it_promises_delays_a_change_and_breaks_nothing(deployment, plane, fate):
    _, other = serving_without_api(plane)
    with Sending(deployment, 0.15) as sending:
        flow(sending)
        change = prepared(plane)
        other.process.send_signal(signal.SIGSTOP)
        plane.order(ProposeChange(change, plane.lanes()))
        plane.log.until(lambda: len(plane.log.change(change).promises) == 2, 30, "the one that lives has promised")
        half = plane.log.change(change)
        flow(sending)
        if fate == "is killed and started again":
            other.kill()
            deployment.start_worker(worker_id="w2")
        found = plane.committed(change)
        flow(sending)
        if fate == "is stopped and its partitions move":
            other.process.send_signal(signal.SIGCONT)
            until(lambda: other.has_ended() or other.answers_ready(), 60, "it is back, or has ended")
        flow(sending)
    rows = plane.read_results(sending.sent)

    assert half.state is ChangeState.PROPOSED
    assert {promise.worker for promise in half.promises.values()} == {"w1"}
    assert len(found.promises) == 4
    assert len(rows) == sending.sent
    assert twice(rows) == []
    assert versions(rows) == {1, 2}
    obeys(rows, found, 1, 2)
    assert plane.disagreements(rows) == []


def test_a_partition_that_moves_between_promise_and_commit_keeps_its_cut(deployment, plane):
    first, _other = serving_without_api(plane)
    with Sending(deployment, 0.15) as sending:
        flow(sending)
        change = prepared(plane)
        _other.process.send_signal(signal.SIGSTOP)
        plane.order(ProposeChange(change, plane.lanes()))
        plane.log.until(lambda: len(plane.log.change(change).promises) == 2, 30, "the one that lives has promised")
        half = plane.log.change(change)
        first.kill()
        _other.process.send_signal(signal.SIGCONT)
        found = plane.committed(change)
        flow(sending)
    rows = plane.read_results(sending.sent)

    assert {lane: found.promises[lane] for lane in half.promises} == dict(half.promises)
    assert twice(rows) == []
    obeys(rows, found, 1, 2)
    assert plane.disagreements(rows) == []
    moved = [row for _, row in rows if row.partition in {lane.partition for lane in half.promises}]
    assert {row.worker for row in moved if row.control_offset == change} == {"w2"}


def test_a_change_that_a_stopped_worker_does_not_take_is_given_up_at_its_deadline(deployment, plane):
    _, other = begin(plane)
    serve(plane)
    with Sending(deployment, 0.15) as sending:
        flow(sending)
        other.process.send_signal(signal.SIGSTOP)
        change = plane.change(one(2, deadline_seconds=2))
        found = plane.over(change)
        operation = plane.operation(change)
        other.process.send_signal(signal.SIGCONT)
        flow(sending)
        again = plane.committed(plane.change(one(2)))
        flow(sending)
    rows = plane.read_results(sending.sent)

    assert found.state is ChangeState.ABORTED
    assert (operation["state"], operation["phase"]) == ("failed", "aborted")
    assert "w2 has not loaded it within 2 s" in operation["message"]
    assert twice(rows) == []
    assert {row.control_offset for _, row in rows if row.model_version == 2} == {again.id}
    obeys(rows, again, 1, 2)


def test_another_replica_finishes_what_the_one_that_was_asked_began(deployment, plane):
    _, other = begin(plane)
    serve(plane)
    asked, left = plane.replicas
    with Sending(deployment, 0.15) as sending:
        flow(sending)
        other.process.send_signal(signal.SIGSTOP)
        change = plane.change(one(2), by=asked)
        asked.kill()
        before = left.client.get(f"/operations/op-{change}").json()
        other.process.send_signal(signal.SIGCONT)
        found = plane.committed(change)
        flow(sending)
    rows = plane.read_results(sending.sent)

    assert (before["state"], before["phase"]) == ("running", "prepared")
    assert left.client.get(f"/operations/op-{change}").json()["state"] == "succeeded"
    assert twice(rows) == []
    obeys(rows, found, 1, 2)
