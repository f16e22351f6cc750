"""Routes over HTTP: plans, exact changes told by workers, immediate ones, rollback, and who decided which record."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from api_processes import Replica, TalkingWorker
from confluent_kafka import Producer
from conftest import Place
from patience import until

from model_store.core.plans import Plan
from model_store.core.slots import arm_at, slot_of

pytestmark = pytest.mark.kafka

ROUTE = "/api/v1/deployments/wine"


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def registered(replica: Replica, versions: int = 2, model: str = "tree") -> None:
    for _ in range(versions):
        answer = replica.publish(model, mode="none")
        assert answer.status_code == 201, answer.text


def put(replica: Replica, body: dict[str, Any], key: str = "wine", **params: Any) -> httpx.Response:
    """Give the route a plan, decided on how it is now."""
    path = f"/api/v1/deployments/{key}"
    etag = replica.client.get(path).headers.get("etag")
    headers = {"If-Match": etag} if etag else {"If-None-Match": "*"}
    return replica.client.put(path, json=body, headers=headers, params=params)


def arms(**weights: float) -> dict[str, Any]:
    """A plan that shares the records between versions of `tree`: v1=90, v2=10."""
    return {
        "arms": [
            {"name": name, "model": "tree", "version": name[1:], "weight": weight} for name, weight in weights.items()
        ]
    }


def op(answer: httpx.Response) -> int:
    assert answer.status_code == 202, answer.text
    found: int = answer.json()["control_offset"]
    return found


def operation(replica: Replica, change: int, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = replica.get(f"/api/v1/operations/op-{change}", **params)
    return found


def in_phase(replica: Replica, change: int, phase: str) -> dict[str, Any]:
    found: dict[str, Any] = until(lambda: (o := operation(replica, change))["phase"] == phase and o)
    return found


def make_exact(replica: Replica, worker: TalkingWorker, claim: str, change: int, cut: int) -> None:
    """What a worker says for an exact change of both partitions."""
    worker.ready(change)
    in_phase(replica, change, "proposed")
    done = worker.promise(change, claim, 0, 1, cut=cut)
    assert operation(replica, change, min_control_offset=done)["state"] == "succeeded"


def test_a_plan_is_answered_as_it_was_given_and_names_itself(place: Place) -> None:
    replica = place.replica()
    registered(replica)
    replica.publish("net", mode="none")
    body = {
        "arms": [
            {"name": "main", "model": "tree", "version": "1", "weight": 87.5},
            {"name": "canary", "model": "tree", "version": "2", "weight": 12.5},
        ],
        "pins": {"customer-7": "canary"},
        "rules": [{"when": "alcohol > 12.5", "arm": "canary"}],
        "dark": [{"model": "net", "version": "1"}],
        "fallback": {"model": "tree", "version": "1"},
        "reason": "a first try",
    }

    dry = put(replica, body, dry_run=True)
    answer = put(replica, body)
    route = replica.get(ROUTE)

    assert dry.json()["plan"] == route["plan"]
    assert (dry.json()["before"], dry.json()["moved"], dry.json()["revision"]) == (None, 100.0, -1)
    assert [(a["name"], a["version"], a["weight"]) for a in route["plan"]["arms"]] == [
        ("main", "1", 87.5), ("canary", "2", 12.5)
    ]  # fmt: skip
    assert route["plan"]["pins"] == {"customer-7": "canary"}
    assert route["plan"]["dark"] == [{"model": "net", "version": "1", "alias": None}]
    assert answer.json()["mode"] == "immediate", "no worker lives"
    assert (route["entries"][0]["reason"], route["entries"][0]["actor"]) == ("a first try", "api")
    assert [v["version"] for v in replica.get("/api/v1/registered-models/net/versions")["model_versions"]] == ["1"]
    assert replica.get("/api/v1/registered-models/net/versions/1")["routes"] == ["wine"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (arms(v1=60, v2=60), 422, "plan-invalid"),
        (arms(v1=99.999, v2=0.001), 422, "plan-invalid"),
        ({"arms": [{"model": "tree", "version": "1"}, {"model": "tree", "version": "2"}]}, 422, "plan-invalid"),
        ({**arms(v1=100), "pins": {"e": "nobody"}}, 422, "plan-invalid"),
        ({**arms(v1=100), "rules": [{"when": "alcohol >", "arm": "v1"}]}, 422, "plan-invalid"),
        (arms(v9=100), 404, "not-found"),
        ({"arms": [{"model": "tree", "alias": "champion"}]}, 404, "not-found"),
        ({"arms": []}, 422, "invalid-request"),
        ({**arms(v1=100), "arm": 1}, 422, "invalid-request"),
    ],
)
def test_a_plan_that_makes_no_sense_changes_nothing(place: Place, body: Any, status: int, kind: str) -> None:
    replica = place.replica()
    registered(replica)

    answer = put(replica, body)

    assert problem(answer) == (status, kind)
    assert replica.client.get(ROUTE).status_code == 404


def test_a_route_is_changed_only_on_the_revision_that_it_was_decided_on(place: Place) -> None:
    first, second = place.replica(), place.replica()
    registered(first)
    op(put(first, arms(v1=100)))
    etag = first.client.get(ROUTE).headers["etag"]

    without = first.client.put(ROUTE, json=arms(v2=100))
    won = first.client.put(ROUTE, json=arms(v2=100), headers={"If-Match": etag})
    lost = second.client.put(ROUTE, json=arms(v1=50, v2=50), headers={"If-Match": etag})
    created = second.client.put(ROUTE, json=arms(v1=100), headers={"If-None-Match": "*"})

    assert problem(without) == (428, "precondition-required")
    assert won.status_code == 202
    assert problem(lost) == problem(created) == (412, "stale")
    assert lost.json()["current"]["plan"]["arms"][0]["version"] == "2"
    assert lost.json()["revision"] == lost.json()["current"]["revision"]


def test_an_exact_change_says_what_it_waits_for_and_ends_with_its_cuts(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    claim = worker.claim(0, 1)
    registered(replica)

    change = op(put(replica, arms(v1=100)))
    prepared = operation(replica, change)
    worker.ready(change)
    proposed = in_phase(replica, change, "proposed")
    half = operation(replica, change, min_control_offset=worker.promise(change, claim, 0, cut=40))
    done = operation(replica, change, min_control_offset=worker.promise(change, claim, 1, cut=17))

    assert (prepared["kind"], prepared["state"], prepared["phase"]) == ("change", "running", "prepared")
    assert prepared["message"] == "waits for w1 to load"
    assert prepared["deadline"] is not None
    assert (proposed["ready"], proposed["done"], proposed["total"]) == (["w1"], 0, 2)
    assert half["message"] == f"waits for promises of {place.data_topic}/1 (w1)"
    assert (done["state"], done["phase"], done["message"]) == ("succeeded", "committed", "exact at 2 partitions")
    assert [(c["partition"], c["owner"], c["cut"]) for c in done["cuts"]] == [(0, "w1", 40), (1, "w1", 17)]
    entry = replica.get(ROUTE)["entries"][0]
    assert (entry["exact"], entry["control_offset"]) == (True, change)
    assert [(c["partition"], c["cut"]) for c in entry["cuts"]] == [(0, 40), (1, 17)]


def test_publishing_is_exact_where_a_worker_lives(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    claim = worker.claim(0, 1)

    answer = replica.publish(mode="exact")
    make_exact(replica, worker, claim, op(answer), 12)

    assert answer.json()["mode"] == "exact"
    done = operation(replica, op(answer))
    assert (done["kind"], done["model"], done["version"]) == ("publish", "tree", "1")
    assert replica.get(ROUTE)["serving"]["version"] == "1"
    assert replica.get("/api/v1/registered-models/tree/versions/1")["is_serving"]


def test_publishing_exactly_where_no_worker_lives_is_immediate_and_says_so(place: Place) -> None:
    replica = place.replica()

    answer = replica.publish(mode="exact")

    assert answer.json()["mode"] == "immediate"
    assert replica.get(ROUTE)["newest"]["version"] == "1"


def test_a_worker_that_refuses_ends_the_change_and_the_old_plan_serves_on(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    claim = worker.claim(0, 1)
    registered(replica)
    make_exact(replica, worker, claim, op(put(replica, arms(v1=100))), 5)

    change = op(put(replica, arms(v2=100)))
    ended = operation(replica, change, min_control_offset=worker.ready(change, "damaged", "the root is cut off"))

    assert (ended["state"], ended["phase"]) == ("failed", "aborted")
    assert ended["message"] == "worker w1: the root is cut off"
    route = replica.get(ROUTE)
    assert (route["plan"]["arms"][0]["version"], route["change"]) == ("1", None)


def test_a_change_under_way_is_shown_blocks_another_and_can_be_aborted(place: Place) -> None:
    replica = place.replica()
    place.worker(replica).claim(0, 1)
    registered(replica)
    change = op(put(replica, arms(v1=100)))

    second = put(replica, arms(v2=100))
    under_way = replica.get(ROUTE)
    aborted = replica.client.delete(f"/api/v1/operations/op-{change}", params={"reason": "not today"})
    again = replica.client.delete(f"/api/v1/operations/op-{change}")

    assert problem(second) == (409, "conflict")
    assert (under_way["plan"], under_way["change"]["id"]) == (None, f"op-{change}")
    assert (aborted.status_code, aborted.json()["state"], aborted.json()["message"]) == (202, "failed", "not today")
    assert problem(again) == (409, "conflict")
    assert replica.get("/api/v1/deployments")["deployments"] == []


def test_an_immediate_change_is_done_when_each_worker_has_said_where_it_changed(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    claim = worker.claim(0, 1)
    registered(replica)

    change = op(put(replica, {**arms(v1=100), "mode": "immediate"}))
    before = operation(replica, change)
    after = operation(replica, change, min_control_offset=worker.applied(change, "wine", claim, 0, 1, since=30))

    assert (before["state"], before["message"]) == ("running", "worker w1 has not answered yet")
    assert (after["state"], after["message"]) == ("succeeded", "live on 1 of 1 workers")
    assert [(c["partition"], c["cut"]) for c in after["cuts"]] == [(0, 30), (1, 30)]


def test_previous_goes_down_the_stack_and_not_to_and_fro(place: Place) -> None:
    replica = place.replica()
    registered(replica, versions=3)
    for plan in (arms(v1=100), arms(v2=100), arms(v3=100)):
        op(put(replica, plan))

    def serving() -> str:
        version: str = replica.get(ROUTE)["plan"]["arms"][0]["version"]
        return version

    served = []
    for _ in range(2):
        op(replica.client.post(f"{ROUTE}:rollback", json={"reason": "it drifts"}))
        served.append(serving())
    nothing = replica.client.post(f"{ROUTE}:rollback")
    op(replica.client.post(f"{ROUTE}:rollback", json={"to": {"model": "tree", "version": "3"}}))

    assert served == ["2", "1"]
    assert problem(nothing) == (409, "conflict")
    assert serving() == "3"
    entries = replica.get(ROUTE, max_entries=3)
    assert [e["reason"] for e in entries["entries"]] == ["rolled back", "it drifts", "it drifts"]
    assert entries["more_entries"]


def test_a_rollback_drops_an_alias_that_names_another_version_by_now(place: Place) -> None:
    replica = place.replica()
    registered(replica)
    alias = "/api/v1/registered-models/tree/aliases/champion"
    replica.client.put(alias, json={"version": "1"}, headers={"If-None-Match": "*"})
    op(put(replica, {"arms": [{"model": "tree", "alias": "champion"}]}))
    replica.client.put(alias, json={"version": "2"}, headers={"If-Match": "*"})
    until(lambda: replica.get(ROUTE)["plan"]["arms"][0]["version"] == "2")

    op(replica.client.post(f"{ROUTE}:rollback"))

    arm = replica.get(ROUTE)["plan"]["arms"][0]
    assert (arm["version"], arm["alias"]) == ("1", None)


def test_a_route_that_is_taken_away_serves_nothing_and_is_remembered(place: Place) -> None:
    replica = place.replica()
    registered(replica)
    op(put(replica, arms(v1=100), "wine-*"))
    then = replica.get("/api/v1/deployments/wine-*")["entries"][0]["at"]

    gone = replica.client.delete("/api/v1/deployments/wine-*", headers={"If-Match": "*"})

    assert gone.status_code == 202
    assert replica.get("/api/v1/deployments/wine-*")["plan"] is None
    assert replica.get("/api/v1/deployments")["deployments"] == []
    was = replica.get("/api/v1/deployments/wine-*", as_of=then)
    assert was["plan"]["arms"][0]["version"] == "1"


def test_a_decision_is_told_from_the_log_for_every_offset_and_entity(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    claim = worker.claim(0, 1)
    registered(replica)
    replica.client.post(
        "/api/v1/registered-models/tree/versions/1/approvals",
        json={"approved": True},
        headers={"X-Sluice-Actor": "ada"},
    )
    make_exact(replica, worker, claim, op(put(replica, arms(v1=100))), 0)
    change = op(put(replica, {**arms(v1=70, v2=30), "pins": {"vip": "v2"}, "reason": "canary"}))
    make_exact(replica, worker, claim, change, 50)

    def decide(offset: int, **params: Any) -> dict[str, Any]:
        found = replica.get("/api/v1/decisions", topic=place.data_topic, partition=0, offset=offset, **params)
        assert len(found["decisions"]) == 1
        decision: dict[str, Any] = found["decisions"][0]
        return decision

    before, unknown, pinned = decide(49, entity="e1"), decide(50), decide(50, entity="vip")
    assert (before["version"], before["reason"], before["approved_by"]) == ("1", "primary", ["ada"])
    assert (before["since_offset"], before["exact"], before["group"]) == (0, True, place.group)
    assert (unknown["version"], unknown["control_offset"], unknown["change_reason"]) == (None, change, "canary")
    assert (pinned["version"], pinned["reason"], pinned["data_type"]) == ("2", "pin", "wine")
    plan = _plan_of(replica)
    for number in range(200):
        entity = f"customer-{number}"
        expected = arm_at(plan.slots, slot_of(plan.salt, entity.encode()))
        assert decide(51, entity=entity)["arm"] == expected


def test_a_decision_reads_the_records_key_where_it_is_still_there(place: Place) -> None:
    replica = place.replica()
    worker = place.worker(replica)
    claim = worker.claim(0, 1)
    registered(replica)
    make_exact(replica, worker, claim, op(put(replica, {**arms(v1=100, v2=0), "pins": {"vip": "v2"}})), 0)
    producer = Producer({"bootstrap.servers": place.kafka})
    producer.produce(place.data_topic, b"{}", b"vip", partition=1)
    producer.produce(place.data_topic, b"{}", None, partition=1)
    producer.flush(10)

    answers = [
        replica.get("/api/v1/decisions", topic=place.data_topic, partition=1, offset=offset) for offset in range(3)
    ]

    assert [(a["record"], a["entity"]) for a in answers] == [("read", "vip"), ("read", ""), ("gone", None)]
    assert [a["decisions"][0]["version"] for a in answers] == ["2", "1", None]
    assert replica.get("/api/v1/decisions", topic=uuid.uuid4().hex, partition=0, offset=0)["decisions"] == []


def _plan_of(replica: Any) -> Plan:
    catalogue = replica.server.config.app.state.parts.follower.state
    plan: Plan = catalogue.routes["wine"].plan
    return plan
