"""Publishing over HTTP, on a real Kafka and a real Redis."""

from __future__ import annotations

import hashlib
import threading
import uuid
from typing import Any

import httpx
import pytest
from api_processes import PMML, Replica

pytestmark = pytest.mark.kafka

MODELS = "/api/v1/registered-models"


def unique(prefix: str = "m") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def test_a_published_file_is_listed_with_its_version_and_comes_back_byte_for_byte(shared: Replica) -> None:
    name = unique()

    answer = shared.publish(name, description="a tree")

    assert answer.status_code == 202
    body = answer.json()
    assert (body["version"], body["type"], body["artifact_bytes"]) == ("1", "PMML", len(PMML))
    assert body["sha256"] == hashlib.sha256(PMML).hexdigest()
    assert answer.headers["location"] == f"/api/v1/operations/{body['operation']}"
    assert answer.headers["x-control-offset"] == str(body["control_offset"])
    assert "retry-after" in answer.headers
    assert shared.get(f"{MODELS}/{name}")["description"] == "a tree"
    assert shared.get(f"{MODELS}/{name}/versions/1")["status"] == "PENDING_REGISTRATION"
    assert shared.client.get(f"{MODELS}/{name}/versions/latest/artifact").content == PMML


def test_versions_count_by_name_and_pages_walk_them_newest_first(shared: Replica) -> None:
    name = unique()
    for _ in range(3):
        shared.publish(name)

    first = shared.get(f"{MODELS}/{name}/versions", max_results=2)
    second = shared.get(f"{MODELS}/{name}/versions", max_results=2, page_token=first["next_page_token"])

    assert [v["version"] for v in first["model_versions"]] == ["3", "2"]
    assert [v["version"] for v in second["model_versions"]] == ["1"]
    assert second["next_page_token"] is None


def test_a_page_token_is_refused_with_other_filters(shared: Replica) -> None:
    for _ in range(2):
        shared.publish(unique("page"))
    token = shared.get(MODELS, max_results=1, name_contains="page")["next_page_token"]

    answer = shared.client.get(MODELS, params={"max_results": 1, "page_token": token})

    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/page-token"


def test_a_location_needs_its_digest_and_its_type(shared: Replica) -> None:
    name, sha256 = unique(), "ab" * 32
    path = f"{MODELS}/{name}/versions"
    whole = {"data_type": "wine", "type": "pmml", "source": "https://models.example.org/m.pmml", "sha256": sha256}

    without_digest = shared.client.post(path, json={k: v for k, v in whole.items() if k != "sha256"})
    without_type = shared.client.post(path, json={k: v for k, v in whole.items() if k != "type"})
    answer = shared.client.post(path, json=whole)

    assert (without_digest.status_code, without_type.status_code) == (422, 422)
    assert answer.status_code == 202
    version = shared.get(f"{path}/1")
    assert (version["type"], version["source"], version["sha256"]) == ("PMML", whole["source"], sha256)
    assert shared.client.get(f"{path}/1/artifact").status_code == 409


def test_content_that_contradicts_its_type_is_refused_with_both_named_and_publishes_nothing(shared: Replica) -> None:
    name = unique()

    answer = shared.publish(name, type="tensorflow")

    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/problems/content-contradicts-type"
    assert "TENSORFLOW" in problem["detail"]
    assert "PMML" in problem["detail"]
    assert shared.client.get(f"{MODELS}/{name}").status_code == 404


@pytest.mark.parametrize(
    ("data", "fields"), [(b"nonsense", {}), (PMML, {"sha256": "00" * 32}), (b"", {}), (b"", {"type": "pmml"})]
)
def test_a_file_that_is_nothing_known_or_not_what_was_announced_is_refused(
    shared: Replica, data: bytes, fields: dict[str, str]
) -> None:
    name = unique()

    answer = shared.publish(name, data, **fields)

    assert answer.status_code == 422
    assert shared.client.get(f"{MODELS}/{name}").status_code == 404


def test_a_dry_run_answers_the_plan_and_writes_nothing(shared: Replica) -> None:
    name = unique()
    path = f"{MODELS}/{name}/versions"

    answer = shared.client.post(path, params={"dry_run": "true"}, data={"data_type": "x"}, files={"file": ("m", PMML)})

    assert answer.status_code == 200
    assert (answer.json()["version"], answer.json()["type"]) == ("1", "PMML")
    assert shared.client.get(f"{MODELS}/{name}").status_code == 404


def test_a_model_over_the_inline_limit_is_refused_with_both_sizes(shared: Replica) -> None:
    too_large = PMML + b" " * (16 * 1024 * 1024)

    answer = shared.publish(unique(), too_large)

    assert answer.status_code == 413
    problem = answer.json()
    assert str(len(too_large)) in problem["detail"]
    assert str(16 * 1024 * 1024) in problem["detail"]
    assert problem["limit_bytes"] == 16 * 1024 * 1024


def test_an_endless_upload_is_cut_off_at_the_limit(shared: Replica) -> None:
    def endless() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="m"\r\n\r\n'
        for _ in range(30):
            yield bytes(1024 * 1024)

    answer = shared.client.post(
        f"{MODELS}/{unique()}/versions", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_largest_inline_model_goes_through_whole(shared: Replica) -> None:
    name = unique()
    largest = PMML + b" " * (16 * 1024 * 1024 - len(PMML))

    answer = shared.publish(name, largest)

    assert answer.status_code == 202
    assert shared.client.get(f"{MODELS}/{name}/versions/1/artifact").content == largest


def test_the_same_idempotency_key_publishes_once_and_answers_the_same(shared: Replica) -> None:
    name, key = unique(), {"Idempotency-Key": uuid.uuid4().hex}

    first = shared.publish(name, headers=key)
    again = shared.publish(name, headers=key)

    assert again.status_code == 202
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert shared.get(f"{MODELS}/{name}")["version_count"] == 1


def test_an_idempotency_key_with_another_body_is_refused(shared: Replica) -> None:
    name, key = unique(), {"Idempotency-Key": uuid.uuid4().hex}
    shared.publish(name, headers=key)

    answer = shared.publish(name, headers=key, description="another")

    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/idempotency-key-reused"


def test_requests_with_one_key_at_the_same_time_publish_once(shared: Replica) -> None:
    name, key = unique(), {"Idempotency-Key": uuid.uuid4().hex}
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(shared.publish(name, headers=key))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} <= {202, 409}
    assert 202 in {answer.status_code for answer in answers}
    assert shared.get(f"{MODELS}/{name}")["version_count"] == 1


def test_an_unchanged_answer_costs_no_bytes(shared: Replica) -> None:
    name = unique()
    shared.publish(name)
    first = shared.client.get(f"{MODELS}/{name}")

    same = shared.client.get(f"{MODELS}/{name}", headers={"If-None-Match": first.headers["etag"]})
    shared.publish(name)
    changed = shared.client.get(f"{MODELS}/{name}", headers={"If-None-Match": first.headers["etag"]})

    assert (same.status_code, same.content) == (304, b"")
    assert changed.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", f"{MODELS}/nothing", 404),
        ("DELETE", "/api/v1/workers", 405),
        ("GET", f"{MODELS}?limit=3", 422),
        ("GET", f"{MODELS}?max_results=0", 422),
        ("GET", f"{MODELS}?page_token=zzz", 400),
        ("GET", "/api/v1/stats?window=3d", 422),
        ("GET", "/api/v1/stats?window=99h", 422),
        ("GET", "/api/v1/operations/op-99999", 404),
        ("GET", "/api/v1/operations/nonsense", 404),
        ("GET", "/api/v1/streams/nothing/results", 404),
        ("GET", "/api/v1/dead-letters?follow=true&after=nonsense", 400),
        ("GET", "/problems/nothing", 404),
        ("POST", f"{MODELS}/m/versions", 415),
        ("POST", f"{MODELS}/Not A Name/versions", 415),
    ],
)
def test_every_error_is_a_problem(shared: Replica, method: str, path: str, status: int) -> None:
    answer = shared.client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["trace_id"] == answer.headers["x-request-id"]
    assert shared.client.get(problem["type"]).status_code == 200


def test_unknown_members_and_unreadable_bodies_are_refused(shared: Replica) -> None:
    path = f"{MODELS}/m/versions"
    json_type = {"Content-Type": "application/json"}

    unknown = shared.client.post(path, json={"data_type": "wine", "datatype": "wine"})
    unreadable = shared.client.post(path, content=b"{", headers=json_type)
    not_multipart = shared.client.post(path, content=b"x", headers={"Content-Type": "multipart/form-data"})
    misplaced = shared.publish("m", wat="1")

    assert [a.status_code for a in (unknown, unreadable, not_multipart, misplaced)] == [422, 400, 400, 422]
    assert {each["pointer"] for each in unknown.json()["errors"]} == {"/body/datatype"}
    assert all(a.headers["content-type"] == "application/problem+json" for a in (unreadable, not_multipart, misplaced))


def test_a_request_keeps_its_ids(shared: Replica) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-Id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}

    answer = shared.client.get("/nowhere", headers=headers)

    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.json()["trace_id"] == trace
