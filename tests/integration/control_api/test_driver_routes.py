"""Rollouts and jobs over REST, with workers that keep the protocol, on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from api_processes import Replica
from confluent_kafka import Producer
from driver_worker import DutifulWorker, LogView
from patience import until

from model_store.core.commands import ChangeRoute, ClaimJob, RegisterVersion, ReportJob, SetPolicy
from model_store.core.descriptor import Descriptor
from model_store.core.jobs import Backtest, Correction, OffsetRange, VersionAt, VersionName
from model_store.core.jobs_verdict import PassIf, read_job_spec
from model_store.core.plans import PRIMARY, Arm, Plan, Target

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


def plan(version: int) -> Plan:
    """One version for all records."""
    return Plan((Arm(PRIMARY, Target("tree", version)),))


def begin(log: LogView) -> list[int]:
    """Two versions, the first of which serves; their control offsets."""
    versions = [log.say(RegisterVersion(Descriptor("tree", "wine", "PMML", location="/m"))).offset for _ in range(2)]
    assert log.say(ChangeRoute("wine", plan(1), "immediate")).is_accepted
    return versions


def caught_up(replica: Replica, log: LogView) -> None:
    """The replica has read what the view has."""
    replica.get("/api/v1/deployments/wine/rollouts", min_control_offset=log.catalogue.offset)


def problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The body of an answer that must be this problem."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    assert body["type"] == f"/problems/{slug}"
    return body


ROLLOUT = {
    "model": "tree",
    "version": "2",
    "steps": [
        {"weight": 0, "bake_seconds": 0.1}, {"weight": 0.29, "bake_seconds": 600}, {"weight": 100, "bake_seconds": 0.1},
    ],
    "guards": [],
    "reason": "it is better",
}  # fmt: skip
WINE = "/api/v1/deployments/wine/rollouts"


def test_a_rollout_is_started_seen_steered_and_over(place: Any, log: LogView, worker: StartWorker) -> None:
    replica = place.replica()
    worker("w1")
    begin(log)
    caught_up(replica, log)

    started = replica.client.post(WINE, json=ROLLOUT, headers={"X-Sluice-Actor": "anna"})

    assert started.status_code == 202, started.text
    rollout = started.json()
    assert started.headers["Location"] == f"/api/v1/operations/{rollout['operation']}"
    assert (rollout["actor"], rollout["reason"], rollout["state"]) == ("anna", "it is better", "running")
    path = f"{WINE}/{rollout['id']}"
    until(lambda: replica.get(path)["step"] == 2)
    found = replica.client.get(path)
    assert found.json()["steps"][1] == {"weight": 0.29, "bake_seconds": 600.0}
    assert found.json()["next"].startswith("bakes until ")
    assert found.json()["next"].endswith("then step 3 of 3")

    problem(replica.client.post(f"{path}:pause"), 428, "precondition-required")
    paused = replica.client.post(f"{path}:pause", json={"reason": "lunch"}, headers={"If-Match": found.headers["ETag"]})
    assert paused.status_code == 200, paused.text
    assert paused.json()["next"] == "waits for somebody to resume, promote or abort it: lunch"
    stale = replica.client.post(f"{path}:resume", headers={"If-Match": found.headers["ETag"]})
    assert problem(stale, 412, "stale")["current"]["state"] == "paused"
    wrong = replica.client.post(f"{path}:rewind", headers={"If-Match": "*"})
    problem(wrong, 422, "invalid-request")

    promoted = replica.client.post(f"{path}:promote", headers={"If-Match": paused.headers["ETag"]})

    assert promoted.status_code == 200, promoted.text
    over = until(lambda: (r := replica.get(path))["state"] == "succeeded" and r)
    assert over["next"] == ""
    assert [told["action"] for told in over["story"]] == [
        "started", "step", "step", "pause", "promote", "step", "complete",
    ]  # fmt: skip
    assert replica.get(WINE)["rollouts"] == [over]
    assert replica.get(f"/api/v1/operations/{over['operation']}")["state"] == "succeeded"


def test_a_rollout_that_is_aborted_goes_back(place: Any, log: LogView, worker: StartWorker) -> None:
    replica = place.replica()
    worker("w1")
    begin(log)
    caught_up(replica, log)
    rollout = replica.client.post(WINE, json={**ROLLOUT, "steps": [{"weight": 50}, {"weight": 100}]}).json()
    until(lambda: replica.get(f"{WINE}/{rollout['id']}")["step"] == 1)

    replica.client.post(f"{WINE}/{rollout['id']}:abort", headers={"If-Match": "*"}).raise_for_status()

    until(lambda: replica.get(f"{WINE}/{rollout['id']}")["state"] == "aborted")
    assert log.until(lambda: log.catalogue.routes["wine"].plan) == log.catalogue.routes["wine"].entries[0].plan


def test_a_rollout_that_makes_no_sense_is_refused(place: Any, log: LogView) -> None:
    replica = place.replica()
    begin(log)
    log.say(SetPolicy("tree", approvals=1))
    caught_up(replica, log)

    def start(**changes: Any) -> httpx.Response:
        return replica.client.post(WINE, json={**ROLLOUT, **changes})

    problem(start(model="oak"), 404, "not-found")
    problem(start(version="7"), 404, "not-found")
    problem(start(version=None, alias="champion"), 404, "not-found")
    problem(start(alias="champion"), 422, "invalid-request")
    problem(start(steps=[{"weight": 50}]), 422, "plan-invalid")
    problem(start(steps=[{"weight": 0.001}, {"weight": 100}]), 422, "invalid-request")
    problem(start(guards=[{"signal": "psi", "limit": 1, "relative": True}]), 422, "invalid-request")
    problem(start(), 409, "policy-not-met")
    problem(replica.client.get(f"{WINE}/7"), 404, "not-found")


def test_a_rollout_says_who_it_waits_for(place: Any, log: LogView, worker: StartWorker) -> None:
    replica = place.replica()
    worker("w1").is_ready = False
    begin(log)
    caught_up(replica, log)
    rollout = replica.client.post(WINE, json=ROLLOUT).json()

    # Before the worker's group has joined and settled, it waits for that, too.
    found = until(
        lambda: (r := replica.get(f"{WINE}/{rollout['id']}"))["next"].endswith(": w1 has not loaded it") and r
    )

    assert found["next"] == f"change {found['change']} waits: w1 has not loaded it"


BACKTEST = {
    "stream": "wine",
    "data_type": "wine",
    "candidate": {"model": "tree", "version": "2"},
    "ranges": [{"partition": 0, "from": 10, "to": 20}],
    "pass_if": {"max_disagreement": 0.1, "min_records": 5},
}


def test_a_back_test_waits_for_a_worker_and_shows_its_report(place: Any, log: LogView) -> None:
    replica = place.replica()
    versions = begin(log)
    caught_up(replica, log)

    asked = replica.client.post("/api/v1/backtests", json=BACKTEST, headers={"Idempotency-Key": "one"})

    assert asked.status_code == 202, asked.text
    job = asked.json()
    assert (job["state"], job["message"]) == ("queued", "no worker lives; it is done when one comes")
    known = log.until(lambda: log.catalogue.jobs.get(int(job["id"])))
    spec, pass_if = read_job_spec(known.spec)
    assert isinstance(spec, Backtest)
    assert (spec.ranges, spec.candidate) == ((OffsetRange(0, 10, 20),), VersionAt("tree", 2, versions[1]))
    assert pass_if == PassIf(0.1, None, 5)
    again = replica.client.post("/api/v1/backtests", json=BACKTEST, headers={"Idempotency-Key": "one"})
    assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (job["id"], "true")

    log.say(ClaimJob(known.id, "w1", "e1"))
    report = {"records": 10, "paired": 10}
    log.say(ReportJob(known.id, "succeeded", "w1", "e1", "passed", json.dumps(report)))
    caught_up(replica, log)

    found = replica.get(f"/api/v1/backtests/{job['id']}")
    assert (found["state"], found["verdict"], found["report"]) == ("succeeded", "passed", report)
    assert [each["id"] for each in replica.get("/api/v1/backtests", state="succeeded")["jobs"]] == [job["id"]]
    assert replica.get("/api/v1/backtests", state="queued")["jobs"] == []
    problem(replica.client.get(f"/api/v1/corrections/{job['id']}"), 404, "not-found")


def test_a_job_can_be_cancelled_once(place: Any, log: LogView) -> None:
    replica = place.replica()
    begin(log)
    caught_up(replica, log)
    times = {"from_time": "2026-03-01T12:00:00Z", "to_time": "2026-03-01T13:00:00+00:00"}
    body = {
        **{k: v for k, v in BACKTEST.items() if k != "ranges"},
        **times,
        "baseline": {"model": "tree", "version": "1"},
    }
    job = replica.client.post("/api/v1/backtests", json=body).raise_for_status().json()
    assert job["job"]["ranges"] == {"from_ms": 1772366400000, "to_ms": 1772370000000}

    cancelled = replica.client.delete(f"/api/v1/backtests/{job['id']}", params={"reason": "a mistake"})

    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    problem(replica.client.delete(f"/api/v1/backtests/{job['id']}"), 409, "conflict")


def test_a_back_test_that_makes_no_sense_is_refused(place: Any, log: LogView, worker: StartWorker) -> None:
    replica = place.replica()
    worker("w1")
    begin(log)
    caught_up(replica, log)

    def ask(**changes: Any) -> httpx.Response:
        return replica.client.post("/api/v1/backtests", json={**BACKTEST, **changes})

    assert "workers have: wine" in problem(ask(stream="beer"), 422, "invalid-request")["detail"]
    problem(ask(candidate={"model": "tree", "version": "9"}), 404, "not-found")
    problem(ask(ranges=None), 422, "invalid-request")
    problem(ask(from_time="2026-03-01T12:00:00Z"), 422, "invalid-request")
    problem(ask(ranges=[{"partition": 0, "from": 5, "to": 5}]), 422, "invalid-request")
    problem(ask(pass_if={"max_disagreement": 2}), 422, "invalid-request")


def test_a_correction_covers_what_the_bad_version_scored_and_nothing_else(
    place: Any, log: LogView, worker: StartWorker
) -> None:
    replica = place.replica()
    worker("w1")
    versions = begin(log)
    for version in (2, 1):
        change = log.say(ChangeRoute("wine", plan(version)))
        assert change.is_accepted, change
        log.over(change.offset)
    caught_up(replica, log)
    body = {"key": "wine", "bad": {"model": "tree", "version": "2"}, "reason": "it saw no colours"}

    # The worker promises every cut at 100: v2 scored nothing.
    nothing = problem(replica.client.post("/api/v1/corrections", json=body), 422, "invalid-request")
    assert "no record of stream wine that tree v2 scored" in nothing["detail"]

    same = replica.client.post("/api/v1/corrections", json={**body, "bad": {"model": "tree", "version": "1"}})
    assert "tree v1 is what would replace it" in problem(same, 422, "invalid-request")["detail"]

    producer = Producer({"bootstrap.servers": place.kafka})
    for _ in range(150):
        producer.produce(place.data_topic, b"{}", partition=0)
    producer.flush(10)
    change = log.say(ChangeRoute("wine", plan(2)))
    log.over(change.offset)
    caught_up(replica, log)
    body["good"] = {"model": "tree", "version": "1"}  # type: ignore[assignment]

    job = replica.client.post("/api/v1/corrections", json=body).raise_for_status().json()

    known = log.until(lambda: log.catalogue.jobs.get(int(job["id"])))
    spec, _ = read_job_spec(known.spec)
    assert isinstance(spec, Correction)
    assert spec.ranges == (OffsetRange(0, 100, 150),)
    assert (spec.bad, spec.good) == (VersionName("tree", 2), VersionAt("tree", 1, versions[0]))
    assert (spec.data_type, spec.stream, known.reason) == ("wine", "wine", "it saw no colours")
    assert job["message"] == "waits for a worker that takes it"
    assert replica.get(f"/api/v1/operations/{job['operation']}")["kind"] == "correction"
