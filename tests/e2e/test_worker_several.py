"""Several workers: partitions that move, and both placements."""

import pytest
from deployment import LINEAR, TREE, wine_values
from modelserving.v1.control_pb2 import ModelReport
from patience import until
from sending import Sending, assert_once

from serving.core.placement import partition_of

TYPES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


def live_models(worker):
    return {
        line.split('data_type="')[1].split('"')[0]
        for line in worker.metrics().splitlines()
        if "sluice_model_live" in line and "data_type=" in line
    }


@pytest.mark.slow
def test_a_worker_that_joins_takes_partitions_and_one_that_leaves_gives_them_back(deployment):
    deployment.publish(LINEAR)
    first = deployment.start_worker(worker_id="first")

    with Sending(deployment, pause_seconds=0.1) as sending:
        until(lambda: sending.sent > 800, 60, "records flow")
        second = deployment.start_worker(worker_id="second")
        joined = sending.sent
        until(lambda: sending.sent > joined + 2_000, 60, "records flow on")
        assert second.stop() == 0
        left = sending.sent
        until(lambda: sending.sent > left + 2_000, 60, "records flow on")
    results = deployment.read_results_of(sending.sent, 120)

    assert_once(deployment, results, sending.sent)
    assert {row.worker for row in results} == {"first", "second"}
    assert first.stop() == 0


@pytest.mark.slow
def test_keyed_placement_loads_each_model_where_its_records_are(deployment):
    deployment.settings["placement"] = "keyed"
    offsets = {name: deployment.publish(LINEAR, data_type=name, name=name) for name in TYPES}
    first = deployment.start_worker(worker_id="first")
    assert live_models(first) == set(TYPES)

    second = deployment.start_worker(worker_id="second")

    def are_split() -> bool:
        ones, others = live_models(first), live_models(second)
        # What one worker gave up the other may still load: its records wait for that.
        return bool(ones and others) and not ones & others and ones | others == set(TYPES)

    until(are_split, 60, "models are split, and all of them live")
    for name in TYPES:
        deployment.send(wine_values(name)[:10], key=name.encode(), partition=partition_of(name, 4))
    results = deployment.read_results(10 * len(TYPES))
    homes = {name: {row.worker for row in results if row.data_type == name} for name in TYPES}
    assert homes == {name: {"first" if name in live_models(first) else "second"} for name in TYPES}
    second.stop()
    until(lambda: live_models(first) == set(TYPES), 60, "the one that stays serves all")
    swapped = deployment.publish(TREE, data_type="alpha", name="alpha")
    deployment.wait_for_report(swapped, ModelReport.STATE_LIVE)
    assert swapped > max(offsets.values())


def test_with_broadcast_every_worker_reports_every_model(deployment):
    deployment.start_worker(worker_id="first")
    deployment.start_worker(worker_id="second")

    offset = deployment.publish(LINEAR)

    reports = deployment.wait_for_report(offset, ModelReport.STATE_LIVE, workers=2)
    assert {row.worker for row in reports} == {"first", "second"}


def test_several_processes_are_one_command(deployment):
    import signal
    import subprocess
    import sys

    deployment.publish(LINEAR)
    command = [sys.executable, "-m", "serving", "--config", str(deployment.write_settings()), "--processes", "2"]
    log = deployment.folder / "parent.log"
    with log.open("wb") as out:
        parent = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        until(lambda: len({start.worker for start in deployment.starts()}) == 2, 90, "both processes started")
        deployment.send(wine_values()[:400])
        deployment.read_results(400)
    finally:
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(60) == 0, log.read_text()[-2_000:]
