"""Whole workers under faults: killed, stopped, moved, cut off from the broker and from Redis."""

import contextlib
import os
import signal
import time

import psutil
import pytest
from deployment import GRAPH, LINEAR, TREE, make_deployment, wine_values
from modelserving.v1.control_pb2 import ModelReport
from patience import until
from sending import Sending, assert_once, coordinates

from sluice.stack.ports import free_port

COMMIT_SECONDS = 0.1


def pmml_children(worker):
    """The child processes that hold the Java machine; there may be none while one is being replaced."""
    found = []
    for child in psutil.Process(worker.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("pmml" in part for part in child.cmdline()):
                found.append(child)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_killing_workers_under_load_loses_nothing(deployment, delivery):
    deployment.settings["delivery"] = delivery
    deployment.publish(GRAPH)
    workers = [deployment.start_worker(), deployment.start_worker()]

    kills = 4
    with Sending(deployment, pause_seconds=0.2) as sending:
        for i in range(kills):
            until(lambda: sum(deployment.end_offsets(deployment.results)) > 0, 60, "results come")
            victim = workers[i % 2]
            victim.kill()
            workers[i % 2] = deployment.start_worker()
    results = deployment.read_results_of(sending.sent, 120)

    found = coordinates(results)
    assert len(set(found)) == sending.sent, "records were lost"
    if delivery == "exactly_once":
        assert len(found) == sending.sent, "records were scored twice"
    else:
        # What a killed worker had written since its last commit. A worker that catches up writes up to 100,000 a second.
        assert len(found) - sending.sent <= kills * 100_000 * COMMIT_SECONDS


@pytest.mark.slow
def test_a_worker_that_was_stopped_for_long_repeats_nothing_when_exactly_once(deployment):
    deployment.settings["delivery"] = "exactly_once"
    deployment.publish(GRAPH)
    zombie, other = deployment.start_worker(), deployment.start_worker()

    with Sending(deployment, pause_seconds=0.2) as sending:
        until(lambda: sending.sent > 2_000, 60, "records flow")
        zombie.process.send_signal(signal.SIGSTOP)
        moved = sending.sent
        until(
            lambda: sending.sent > moved + 10_000 and not _is_behind(deployment, sending.sent - 4_000),
            120,
            "the other took over",
        )
        zombie.process.send_signal(signal.SIGCONT)
        # Its transaction is refused. If the coordinator had ended it already, the worker ends too, to be started again.
        until(lambda: zombie.has_ended() or zombie.answers_ready(), 60, "the zombie is back, or has ended")
        resumed = sending.sent
        until(lambda: sending.sent > resumed + 4_000, 60, "records flow on")
    results = deployment.read_results_of(sending.sent, 120)

    assert len(results) == len(set(coordinates(results))) == sending.sent
    assert other.process.poll() is None


def _is_behind(deployment, count):
    return sum(deployment.end_offsets(deployment.results)) < count


@pytest.mark.slow
def test_killing_the_pmml_child_under_load_loses_and_repeats_nothing(deployment):
    deployment.settings["engines"] = {"fast_pmml": "off"}
    deployment.publish(TREE)
    worker = deployment.start_worker()

    with Sending(deployment, pause_seconds=0.02) as sending:
        for _ in range(3):
            before = sending.sent
            until(lambda before=before: sending.sent > before + 2_000, 60, "records flow")
            for child in pmml_children(worker):
                child.kill()
    results = deployment.read_results_of(sending.sent, 120)

    assert_once(deployment, results, sending.sent)
    assert sum(deployment.end_offsets(deployment.dead_letters, 1)) == 0
    assert worker.process.poll() is None


@pytest.mark.slow
def test_a_pmml_child_that_hangs_is_replaced_and_no_record_is_lost(deployment):
    deployment.settings |= {"engines": {"fast_pmml": "off"}, "limits": {"score_seconds": 2.0}}
    deployment.publish(TREE)
    worker = deployment.start_worker()
    deployment.send(wine_values()[:40])
    deployment.read_results(40)

    for child in pmml_children(worker):
        os.kill(child.pid, signal.SIGSTOP)
    deployment.send(wine_values()[:400])

    results = deployment.read_results_of(440, 120)
    assert len(set(coordinates(results))) == 440
    assert sum(deployment.end_offsets(deployment.dead_letters, 1)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_broker_that_is_killed_and_back_costs_nothing(kafka_restartable, tmp_path, delivery):
    deployment = make_deployment(kafka_restartable, tmp_path, free_port, 4)
    deployment.settings["delivery"] = delivery
    try:
        first = deployment.publish(GRAPH)
        worker = deployment.start_worker()
        deployment.wait_for_report(first, ModelReport.STATE_LIVE)
        deployment.send(wine_values()[:1_000])
        deployment.read_results(1_000)
        with Sending(deployment, pause_seconds=0.1) as sending:
            until(lambda: sending.sent > 800, 60, "records flow")
            kafka_restartable.kill()
            time.sleep(2.0)  # the outage itself: longer than every retry, shorter than every session
            kafka_restartable.start()
            back = sending.sent
            until(lambda: sending.sent > back + 1_200, 90, "records flow again")
        total = sending.sent + 1_000
        results = deployment.read_results_of(total, 120)

        assert len(set(coordinates(results))) == total
        if delivery == "exactly_once":
            assert len(results) == total
        second = deployment.publish(LINEAR)
        deployment.wait_for_report(second, ModelReport.STATE_LIVE)
        assert worker.process.poll() is None
    finally:
        deployment.stop_all()


def test_scoring_goes_on_without_redis_and_statistics_catch_up(deployment, redis_server):
    deployment.settings["redis_url"] = redis_server.url
    deployment.publish(LINEAR)
    redis_server.stop()
    deployment.start_worker(worker_id="w1")
    deployment.send(wine_values()[:400])
    deployment.read_results(400)

    redis_server.start()

    from model_store.stats_store import RedisStatistics

    store = RedisStatistics(redis_server.url)
    try:
        until(lambda: _counted(store, "w1") == 400, 30, "statistics are there")
    finally:
        store.close()


def _counted(store, worker):
    totals = [row for row in store.read_totals() if row.worker == worker]
    return sum(statistics.count for row in totals for statistics in row.series.values())
