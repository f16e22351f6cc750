"""Models that change while records flow: nothing lost, nothing twice, every result by exactly one version."""

import pytest
from deployment import GRAPH, LINEAR, TREE, wine_values
from modelserving.v1.control_pb2 import ModelReport
from patience import until
from sending import Sending, assert_once

from sluice.demo.wine import ARTIFACTS

SWAPS = 100


def test_a_hundred_swaps_under_load_lose_and_repeat_nothing(deployment):
    first = deployment.publish(LINEAR)
    worker = deployment.start_worker()
    deployment.wait_for_report(first, ModelReport.STATE_LIVE)
    models = [TREE, LINEAR]

    with Sending(deployment, pause_seconds=0.02) as sending:
        for i in range(SWAPS):
            offset = deployment.publish(models[i % 2])
            if i % 10 == 9:
                deployment.wait_for_report(offset, ModelReport.STATE_LIVE)
    results = deployment.read_results_of(sending.sent, 120)

    assert_once(deployment, results, sending.sent)
    last_version = SWAPS + 1
    assert {row.model_version for row in results} <= set(range(1, last_version + 1))
    assert all(row.control_offset >= 0 and len(row.sha256) == 32 for row in results)
    live = [row for row in deployment.reports() if row.state == ModelReport.STATE_LIVE]
    retired = [row for row in deployment.reports() if row.state == ModelReport.STATE_RETIRED]
    assert len(live) + len(retired) == last_version
    assert worker.stop() == 0
    for partition in range(4):
        first = {row.offset: row.model_version for row in reversed(results) if row.partition == partition}
        versions = [first[offset] for offset in sorted(first)]
        assert versions == sorted(versions), "a version scored a record after a newer one did"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda: (ARTIFACTS / "wine_damaged.pmml").read_bytes(), "damaged"),
        (
            lambda: LINEAR.read_bytes().replace(
                b"<PMML", b'<!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]><PMML', 1
            ),
            "hostile",
        ),
        (lambda: b"<PMML version='4.4' xmlns='http://www.dmg.org/PMML-4_4'></PMML>", "unsupported"),
        (lambda: LINEAR.read_bytes().replace(b"alcohol", b"proof"), "signature"),
    ],
    ids=["damaged", "hostile", "empty", "other inputs"],
)
def test_a_model_that_is_refused_leaves_the_old_one_serving_also_after_a_restart(deployment, damage, problem):
    good = deployment.publish(LINEAR)
    worker = deployment.start_worker()
    deployment.wait_for_report(good, ModelReport.STATE_LIVE)

    bad = deployment.publish(damage(), modeltype=2)

    report = deployment.wait_for_report(bad, ModelReport.STATE_REFUSED)[0]
    assert report.problem == problem, report.reason
    assert len(report.reason) > 20
    deployment.send(wine_values()[:40])
    assert {row.model_version for row in deployment.read_results(40)} == {1}
    worker.stop()
    deployment.start_worker()
    deployment.send(wine_values()[:40])
    assert {row.model_version for row in deployment.read_results(80)} == {1}


def test_a_descriptor_whose_bytes_contradict_its_type_changes_nothing(deployment):
    good = deployment.publish(LINEAR)
    deployment.start_worker()
    deployment.wait_for_report(good, ModelReport.STATE_LIVE)
    deployment.publish(LINEAR.read_bytes(), modeltype=0)
    after = deployment.publish(TREE)
    deployment.wait_for_report(after, ModelReport.STATE_LIVE)
    deployment.send(wine_values()[:8])

    assert {row.model_version for row in deployment.read_results(8)} == {2}


def test_a_model_for_one_data_type_leaves_the_others_alone(deployment):
    first, second = deployment.publish(LINEAR), deployment.publish(TREE, data_type="sparkling", name="fizz")
    deployment.start_worker()
    third = deployment.publish(GRAPH, data_type="sparkling", name="fizz")
    deployment.wait_for_report(third, ModelReport.STATE_LIVE)
    mixed = [value for pair in zip(wine_values()[:40], wine_values("sparkling")[:40], strict=True) for value in pair]
    deployment.send(mixed, key=b"one", partition=0)

    results = deployment.read_results(80)

    assert {(row.data_type, row.model, row.control_offset) for row in results} == {
        ("wine", "wine", first),
        ("sparkling", "fizz", third),
    }
    assert second < third
    assert [row.offset for row in results] == list(range(80)), "results of one key keep the order of their records"


def test_a_worker_that_starts_late_serves_what_the_log_says(deployment):
    deployment.publish(LINEAR)
    last = deployment.publish(TREE)
    deployment.start_worker()
    deployment.send(wine_values()[:8])

    assert {row.control_offset for row in deployment.read_results(8)} == {last}


def test_garbage_on_the_control_log_stops_nobody(deployment):
    deployment.send_control(b"\xff\xff not a descriptor")
    deployment.send_control(b"")
    offset = deployment.publish(LINEAR)
    worker = deployment.start_worker()
    deployment.send_control(b"\x00" * 100)
    deployment.wait_for_report(offset, ModelReport.STATE_LIVE)
    deployment.send(wine_values()[:8])

    assert len(deployment.read_results(8)) == 8
    assert until(worker.is_ready, 5, "the worker is well")
