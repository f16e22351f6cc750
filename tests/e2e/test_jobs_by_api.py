"""Back-tests and corrections that the API is asked for and workers do, beside the stream and whoever dies meanwhile."""

from __future__ import annotations

from collections import Counter

import pytest
from control_plane import ControlPlane, start_workers
from deployment import make_deployment, wine_values
from linear_models import linear_predictions, write_variant
from modelserving.v1.records_pb2 import ScoreResult
from patience import until

from sluice.stack.ports import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PREDICTIONS = linear_predictions()


@pytest.fixture(scope="module")
def running(kafka, tmp_path_factory):
    """Two workers and two replicas; each test has a model and a route of its own. The last test leaves one worker."""
    deployment = make_deployment(kafka, tmp_path_factory.mktemp("running"), free_port, 4)
    deployment.settings["delivery"] = "exactly_once"
    plane = ControlPlane(deployment)
    try:
        plane.start(2)
        start_workers(deployment, 2)
        yield plane
    finally:
        plane.stop()
        deployment.stop_all()


def publish(plane: ControlPlane, name: str, *added: float) -> None:
    """Versions 1, 2, ... of a model, each of which adds a number to the linear model's predictions."""
    for number, each in enumerate(added, 1):
        published = plane.publish(write_variant(plane.deployment.folder, each), mode="none", name=name)
        assert published["version"] == str(number)


def plan(name: str, version: int, **members) -> dict[str, object]:
    return {"arms": [{"model": name, "version": str(version)}], **members}


def serve(plane: ControlPlane, key: str) -> None:
    """Give a new route version 1 of the model of its name, and wait until records are scored by it."""
    change = plane.change(plan(key, 1, mode="immediate"), key=key)
    assert plane.operation(change, wait=60)["state"] == "succeeded"


def ask(plane: ControlPlane, kind: str, body: dict[str, object]) -> str:
    """Ask one replica for a job; its id."""
    response = plane.replicas[0].client.post(f"/{kind}", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def job(plane: ControlPlane, kind: str, id: str) -> dict:
    """What the other replica says of a job."""
    response = plane.replicas[1].client.get(f"/{kind}/{id}")
    return dict(response.json()) if response.status_code == 200 else {"state": "unknown"}


def ended(plane: ControlPlane, kind: str, id: str) -> dict:
    def over() -> dict | None:
        found = job(plane, kind, id)
        return found if found["state"] not in ("unknown", "queued", "running") else None

    return dict(until(over, 90, f"job {id} is over: {job(plane, kind, id)}"))


def test_a_version_serves_only_after_a_worker_has_found_that_it_passes(running):
    key = "judged"
    publish(running, key, 0.0, 0.0, 0.25)
    serve(running, key)
    records = 2 * len(PREDICTIONS)
    for _ in range(2):
        running.deployment.send(wine_values(key))
    running.outcomes(key, records)
    client = running.replicas[0].client
    policy = {"needs_backtest": True, "backtest_records": 1_000, "backtest_disagreement": 0.01}
    assert client.put(f"/registered-models/{key}/policy", json=policy).status_code == 200

    def refused(version: int) -> str:
        response = client.put(f"/deployments/{key}", json=plan(key, version), headers={"If-Match": "*"})
        assert response.status_code == 409, response.text
        return str(response.json()["type"])

    def judged(version: int) -> dict:
        conditions = {"max_disagreement": 0.01, "max_error_rate": 0.0, "min_records": 1_000}
        span = {"from_time": "2020-01-01T00:00:00Z", "to_time": "2100-01-01T00:00:00Z"}
        candidate = {"model": key, "version": str(version)}
        body = {"stream": "wine", "data_type": key, "candidate": candidate, "pass_if": conditions, **span}
        return ended(running, "backtests", ask(running, "backtests", {**body, "records_per_second": 50_000}))

    assert "policy" in refused(2)
    running.committed(running.change(plan(key, 1, dark=[{"model": key, "version": "2"}]), key=key))
    other = judged(3)
    assert "policy" in refused(3)
    assert "policy" in refused(2)
    same = judged(2)
    running.committed(running.change(plan(key, 2), key=key))
    assert "policy" in refused(3)
    running.deployment.send(wine_values(key))
    rows, letters = running.outcomes(key, records + len(PREDICTIONS))

    assert (other["state"], other["verdict"]) == ("succeeded", "failed")
    assert "100" in other["message"], "all records differ"
    assert (same["state"], same["verdict"], same["worker"][:1]) == ("succeeded", "passed", "w")
    assert same["report"]["identical"] == same["report"]["paired"] == same["report"]["records"] == records
    assert same["report"]["baseline_versions"] == {f"{key} v1": records}
    assert Counter(row.model_version for _, row in rows) == {1: records, 2: len(PREDICTIONS)}
    assert letters == []
    assert running.operation(int(same["id"]))["state"] == "succeeded"


def test_a_correction_is_finished_by_another_worker_and_no_record_is_corrected_twice(running):
    key = "corrected"
    publish(running, key, 0.0, 10.0)
    serve(running, key)
    count = len(PREDICTIONS)
    running.deployment.send(wine_values(key))
    bad = running.committed(running.change(plan(key, 2), key=key)).id
    for _ in range(3):
        running.deployment.send(wine_values(key))
    good = running.committed(running.roll_back(key)).id
    running.deployment.send(wine_values(key))
    live, letters = running.outcomes(key, 5 * count)
    affected = {(row.partition, row.offset): k for k, row in live if row.model_version == 2}
    assert letters == []
    assert len(affected) == len([row for _, row in live if row.control_offset == bad]) == 3 * count

    def corrections() -> list[tuple[bytes, ScoreResult]]:
        rows, _ = running.outcomes(key, 5 * count)
        return [(k, row) for k, row in rows if row.HasField("supersedes")]

    asked = {"key": key, "bad": {"model": key, "version": "2"}, "records_per_second": 1_000}
    id = ask(running, "corrections", asked)
    until(lambda: len(corrections()) > 300, 60, "it corrects")
    first = job(running, "corrections", id)
    running.deployment.workers[int(first["worker"][1:]) - 1].kill()
    half = len(corrections())
    found = ended(running, "corrections", id)
    running.deployment.send(wine_values(key))
    rows, letters = running.outcomes(key, 9 * count)

    assert (first["state"], found["state"]) == ("running", "succeeded")
    assert {first["worker"], found["worker"]} == {"w1", "w2"}
    assert half < len(affected)
    report = found["report"]
    assert report["affected"] == len(affected)
    assert half <= report["corrected_before"] < len(affected)
    assert report["corrected"] + report["corrected_before"] == len(affected)
    corrected = [(k, row) for k, row in rows if row.HasField("supersedes")]
    assert {(row.partition, row.offset): k for k, row in corrected} == affected
    assert len(corrected) == len(affected)
    assert {(row.model_version, row.reason) for _, row in corrected} == {(1, ScoreResult.REASON_CORRECTED)}
    assert all(abs(row.prediction - PREDICTIONS[int(k[1:])]) < 1e-6 for k, row in corrected)
    told = {
        (s.correction, s.model, s.model_version, s.control_offset) for s in (row.supersedes for _, row in corrected)
    }
    assert told == {(found["job"]["id"], key, 2, bad)}
    served = [row for _, row in rows if not row.HasField("supersedes")]
    assert len(served) == len({(row.partition, row.offset) for row in served}) == 6 * count
    assert {row.model_version for row in served if row.control_offset == good} == {1}
    assert letters == []
