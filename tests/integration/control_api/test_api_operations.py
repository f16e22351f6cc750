"""Operations, workers, deployments and replicas, with workers that talk on a real control log."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest
from api_processes import Replica
from conftest import Place
from patience import until

from model_store.core.control_records import ModelState

pytestmark = pytest.mark.kafka


def offset_of(answer: httpx.Response) -> int:
    assert answer.status_code == 202, answer.text
    offset: int = answer.json()["control_offset"]
    return offset


def operation(replica: Replica, offset: int, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = replica.get(f"/api/v1/operations/op-{offset}", **params)
    return found


def test_an_operation_succeeds_when_each_live_worker_has_answered(place: Place) -> None:
    replica = place.replica()
    first, second = place.worker(replica, "w1"), place.worker(replica, "w2")
    offset = offset_of(replica.publish())

    after_nobody = operation(replica, offset)
    first.report(offset, 1)
    after_one = operation(replica, offset, min_control_offset=first.report(offset, 1))
    second.report(offset, 1, ModelState.ELSEWHERE)
    after_both = operation(replica, offset, wait=20)

    assert (after_nobody["state"], after_nobody["done"], after_nobody["total"]) == ("running", 0, 2)
    assert (after_one["state"], after_one["done"]) == ("running", 1)
    assert "w2" in after_one["message"]
    assert (after_both["state"], after_both["done"]) == ("succeeded", 2)
    assert {w["worker"]: w["state"] for w in after_both["workers"]} == {"w1": "live", "w2": "elsewhere"}


def test_a_wait_is_also_for_an_operation_that_is_not_here_yet(place: Place) -> None:
    replica = place.replica()
    first, second = offset_of(replica.publish()), offset_of(replica.publish())
    found: dict[str, Any] = {}
    coming = second + (second - first)
    asking = threading.Thread(target=lambda: found.update(operation(replica, coming, wait=20)))

    asking.start()
    third = offset_of(replica.publish())
    place.worker(replica).report(third, 3)
    asking.join()

    assert third == coming
    assert found["state"] == "succeeded"


def test_a_refusal_fails_the_operation_and_the_version_before_serves_on(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    good = offset_of(replica.publish(description="good"))
    worker.report(good, 1)
    bad = offset_of(replica.publish(description="bad"))

    worker.report(bad, 2, ModelState.REFUSED, "the root element is cut off")
    failed = operation(replica, bad, wait=20)

    assert failed["state"] == "failed"
    assert "the root element is cut off" in failed["message"]
    deployment = replica.get("/api/v1/deployments/wine")
    assert deployment["serving"]["version"] == "1"
    assert deployment["newest"]["version"] == "2"
    assert deployment["newest"]["status"] == "FAILED_REGISTRATION"
    assert deployment["errors"][0]["problem"] == "damaged"
    assert [(w["worker"], w["version"]) for w in deployment["workers"]] == [("w1", "1")]
    version = replica.get("/api/v1/registered-models/tree/versions/2")
    assert (version["status"], version["is_serving"]) == ("FAILED_REGISTRATION", False)


def test_while_a_version_loads_the_one_before_is_what_serves(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    loaded = worker.report(offset_of(replica.publish()), 1)
    replica.get("/api/v1/deployments/wine", min_control_offset=loaded)
    newer = offset_of(replica.publish())

    loading = replica.get("/api/v1/deployments/wine")
    live = replica.get("/api/v1/deployments/wine", min_control_offset=worker.report(newer, 2))

    assert (loading["serving"]["version"], loading["newest"]["version"]) == ("1", "2")
    assert (live["serving"]["version"], [v["version"] for v in live["stack"]]) == ("2", ["1"])
    assert live["workers"][0]["outcome"]["since"][0]["offset"] == 100


def test_a_version_says_what_it_takes_and_gives_and_where_it_is_live_since(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    offset = offset_of(replica.publish())

    reported = worker.report(offset, 1)

    version = replica.get("/api/v1/registered-models/tree/versions/1", min_control_offset=reported)
    assert (version["status"], version["is_serving"], version["engine"]) == ("READY", True, "pmml4s")
    assert version["signature"]["inputs"] == [{"name": "alcohol", "dtype": "float64", "shape": [], "categories": []}]
    assert version["workers"][0]["since"] == [{"topic": place.data_topic, "partition": 0, "offset": 100}]
    assert replica.get("/api/v1/registered-models/tree")["serving"] == ["wine"]


def test_without_a_worker_an_operation_stays_running_and_says_so(place: Place) -> None:
    replica = place.replica()
    offset = offset_of(replica.publish())

    started = time.monotonic()
    waited = operation(replica, offset, wait=1)

    assert waited["state"] == "running"
    assert "no worker lives" in waited["message"]
    assert time.monotonic() - started >= 1


def test_a_wait_ends_as_soon_as_the_last_worker_answers(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    offset = offset_of(replica.publish())
    timer = threading.Timer(0.5, worker.report, (offset, 1))

    started = time.monotonic()
    timer.start()
    done = operation(replica, offset, wait=30)

    assert done["state"] == "succeeded"
    assert time.monotonic() - started < 15


def test_a_worker_shows_what_it_holds_and_is_gone_when_it_leaves_its_group(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica, result_topic="results", dead_letter_topic="dead")
    reported = worker.report(offset_of(replica.publish()), 1)

    held = until(lambda: (w := replica.get("/api/v1/workers/w1", min_control_offset=reported))["partitions"] and w)
    worker.stop()
    gone = until(lambda: not (w := replica.get("/api/v1/workers/w1"))["is_live"] and w)

    assert [p["topic"] for p in held["partitions"]] == [place.data_topic] * 2
    assert (held["pid"], held["host"], held["started_at"]) == (4711, "host-1", "2026-03-01T12:00:00.123Z")
    assert [m["model"] for m in held["models"]] == ["tree"]
    assert gone["partitions"] == []
    assert replica.get("/api/v1/streams")["streams"][0]["result_topic"] == "results"


def test_two_replicas_agree_and_a_new_one_rebuilds_all_from_the_log(place: Place) -> None:
    first, second = place.process(), place.process()
    worker = place.worker(first)
    for number in range(1, 4):
        worker.report(
            offset_of(first.publish(f"model-{number}", data_type=f"type-{number}")),
            1,
            data_type=f"type-{number}",
            model=f"model-{number}",
        )
    last = worker.report(
        offset_of(second.publish("model-1", data_type="type-1")), 2, ModelState.REFUSED, "no", "model-1", "type-1"
    )
    third = place.replica()

    paths = (
        "registered-models",
        "registered-models/model-1/versions",
        "deployments",
        "workers",
        "streams",
        "operations/op-1",
    )
    answers = [
        {path: (replica.get(f"/api/v1/{path}", min_control_offset=last)) for path in paths}
        for replica in (first, second, third)
    ]  # fmt: skip

    assert answers[0] == answers[1] == answers[2]
    assert [d["key"] for d in answers[2]["deployments"]["deployments"]] == ["type-1", "type-2", "type-3"]


def test_a_replica_reads_what_was_written_through_another(place: Place) -> None:
    first, second = place.replica(), place.replica()

    for number in range(1, 6):
        offset = offset_of(first.publish())
        seen = second.get("/api/v1/registered-models/tree", min_control_offset=offset)
        assert seen["latest_version"] == str(number)


def test_a_read_from_the_future_is_refused_with_the_offset_that_is_there(place: Place) -> None:
    replica = place.replica(waits={"fold_seconds": 0.3})
    replica.publish()

    answer = replica.client.get("/api/v1/registered-models", params={"min_control_offset": 1000})

    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/not-caught-up"
    assert "1000" in answer.json()["detail"]
    assert "retry-after" in answer.headers


def test_the_log_itself_recognises_a_repeated_request_where_no_redis_does(place: Place) -> None:
    first, second = place.replica(), place.replica()
    key = {"Idempotency-Key": "one-act"}
    written = first.publish(headers=key)

    again = second.publish(headers=key)
    other = second.publish(headers=key, description="another")

    assert again.json() == written.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert other.status_code == 422
    assert first.get("/api/v1/registered-models/tree")["version_count"] == 1


def test_writes_need_the_token_where_one_is_set_and_reads_do_not(place: Place) -> None:
    replica = place.replica(write_token="let-me-in")

    without = replica.publish()
    wrong = replica.publish(headers={"Authorization": "Bearer let-me-out"})
    right = replica.publish(headers={"Authorization": "Bearer let-me-in"})

    assert [a.status_code for a in (without, wrong, right)] == [401, 401, 202]
    assert without.headers["www-authenticate"] == "Bearer"
    assert replica.get("/api/v1/registered-models/tree")["version_count"] == 1
