"""The registry over HTTP: models, versions, aliases, approvals, policy, search, and what holds for all writes."""

from __future__ import annotations

import re
import threading
import uuid
from typing import Any

import httpx
import pytest
from api_processes import PMML, Replica, ThreadReplica
from conftest import Place

pytestmark = pytest.mark.kafka

MODELS = "/api/v1/registered-models"


def unique(prefix: str = "m") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def registered(replica: Replica, versions: int = 1, **fields: Any) -> str:
    """A model with so many versions that no route has."""
    name = unique()
    for _ in range(versions):
        answer = replica.publish(name, mode="none", **fields)
        assert answer.status_code == 201, answer.text
    return name


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def test_a_model_is_registered_once_and_described_by_whoever_saw_it_last(shared: Replica) -> None:
    name = unique()
    made = shared.client.post(MODELS, json={"name": name, "owner": "cellar", "tags": {"team": "a", "tier": "1"}})

    again = shared.client.post(MODELS, json={"name": name})
    patch = {"description": "which wine", "tags": {"tier": ""}}
    changed = shared.client.patch(f"{MODELS}/{name}", json=patch, headers={"If-Match": made.headers["etag"]})
    late = shared.client.patch(f"{MODELS}/{name}", json={"owner": "x"}, headers={"If-Match": made.headers["etag"]})

    assert (made.status_code, made.headers["location"]) == (201, f"{MODELS}/{name}")
    assert made.json()["version_count"] == 0
    assert problem(again) == (409, "conflict")
    assert (changed.json()["description"], changed.json()["tags"]) == ("which wine", {"team": "a"})
    assert problem(late) == (412, "stale")
    assert late.json()["current"] == changed.json()


def test_a_dry_run_answers_what_would_be_and_changes_nothing(shared: Replica) -> None:
    name = unique()

    answer = shared.client.post(MODELS, params={"dry_run": True}, json={"name": name, "owner": "cellar"})

    assert (answer.status_code, answer.headers["x-dry-run"]) == (200, "true")
    assert answer.json()["owner"] == "cellar"
    assert shared.client.get(f"{MODELS}/{name}").status_code == 404


def test_a_version_that_is_only_registered_serves_nothing_and_comes_back_byte_for_byte(shared: Replica) -> None:
    name, data_type = unique(), unique("type")

    answer = shared.publish(name, mode="none", data_type=data_type, references='{"run_id": "r-7", "code": "git:abc"}')

    assert (answer.status_code, answer.headers["location"]) == (201, f"{MODELS}/{name}/versions/1")
    assert answer.json()["operation"] is None
    version = shared.get(f"{MODELS}/{name}/versions/1")
    assert version["references"] == {"code": "git:abc", "run_id": "r-7"}
    assert (version["stage"], version["routes"], version["is_serving"]) == ("active", [], False)
    assert shared.client.get(f"{MODELS}/{name}/versions/1/artifact").content == PMML
    assert shared.client.get(f"/api/v1/deployments/{data_type}").status_code == 404
    assert shared.get(f"/api/v1/operations/op-{answer.json()['control_offset']}")["message"] == "registered"


def test_an_alias_needs_the_revision_that_it_was_decided_on(shared: Replica) -> None:
    name = registered(shared, versions=2)
    path = f"{MODELS}/{name}/aliases/champion"

    without = shared.client.put(path, json={"version": "1"})
    created = shared.client.put(path, json={"version": "1"}, headers={"If-None-Match": "*"})
    twice = shared.client.put(path, json={"version": "2"}, headers={"If-None-Match": "*"})
    moved = shared.client.put(path, json={"version": "2"}, headers={"If-Match": created.headers["etag"]})
    late = shared.client.put(path, json={"version": "1"}, headers={"If-Match": created.headers["etag"]})

    assert problem(without) == (428, "precondition-required")
    assert (created.status_code, created.json()["version"]) == (200, "1")
    assert problem(twice) == (412, "stale")
    assert moved.json()["version"] == "2"
    assert problem(late) == (412, "stale")
    assert late.json()["current"]["version"] == "2"
    assert shared.get(f"{MODELS}/{name}")["aliases"] == {"champion": "2"}
    assert shared.get(f"{MODELS}/{name}/versions/2")["aliases"] == ["champion"]


@pytest.mark.parametrize("alias", ["3", "latest", "v2", "Big", "a b"])
def test_a_name_that_means_a_version_by_itself_is_no_alias(shared: Replica, alias: str) -> None:
    name = registered(shared)

    answer = shared.client.put(f"{MODELS}/{name}/aliases/{alias}", json={"version": "1"}, headers={"If-Match": "*"})

    assert problem(answer) == (422, "invalid-request")


def test_what_something_points_to_is_not_deleted_and_its_number_is_never_given_again(shared: Replica) -> None:
    name = registered(shared, versions=2)
    alias, version = f"{MODELS}/{name}/aliases/champion", f"{MODELS}/{name}/versions/2"
    shared.client.put(alias, json={"version": "2"}, headers={"If-None-Match": "*"})

    kept = shared.client.delete(version)
    shared.client.delete(alias, headers={"If-Match": "*"})
    gone = shared.client.delete(version, params={"reason": "wrong data"})
    shared.publish(name, mode="none")

    assert problem(kept) == (409, "conflict")
    assert "champion" in kept.json()["detail"]
    assert (gone.status_code, gone.json()["stage"], gone.json()["stage_reason"]) == (200, "deleted", "wrong data")
    assert shared.client.get(version).status_code == 404
    assert [v["version"] for v in shared.get(f"{MODELS}/{name}/versions")["model_versions"]] == ["3", "1"]


def test_a_version_that_a_route_has_is_neither_retired_nor_deleted(shared: Replica) -> None:
    name, data_type = unique(), unique("type")
    shared.publish(name, data_type=data_type)

    retired = shared.client.patch(f"{MODELS}/{name}/versions/1", json={"stage": "retired"})
    deleted = shared.client.delete(f"{MODELS}/{name}")

    assert problem(retired) == problem(deleted) == (409, "conflict")
    assert data_type in deleted.json()["detail"]


def test_a_deleted_model_is_shown_no_more(shared: Replica) -> None:
    name = registered(shared)

    stale = shared.client.delete(f"{MODELS}/{name}", headers={"If-Match": '"0"'})
    gone = shared.client.delete(f"{MODELS}/{name}")

    assert problem(stale) == (412, "stale")
    assert gone.status_code == 200
    assert shared.client.get(f"{MODELS}/{name}").status_code == 404
    assert name not in [m["name"] for m in shared.get(MODELS, filter=f"name = '{name}'")["registered_models"]]


def test_a_policy_keeps_a_version_from_serving_until_enough_people_approved(shared: Replica) -> None:
    name, data_type = unique(), unique("type")
    shared.publish(name, mode="none", data_type=data_type)
    shared.client.put(f"{MODELS}/{name}/policy", json={"approvals": 2})
    plan = {"arms": [{"model": name, "version": "1"}]}
    route, approvals = f"/api/v1/deployments/{data_type}", f"{MODELS}/{name}/versions/1/approvals"
    create = {"If-None-Match": "*"}

    def approve(actor: str, approved: bool = True) -> httpx.Response:
        body = {"approved": approved, "reason": "looked at it"}
        return shared.client.post(approvals, json=body, headers={"X-Sluice-Actor": actor})

    published = shared.publish(name, data_type=data_type)
    before = shared.client.put(route, json=plan, headers=create)
    approve("ada")
    refused = approve("bob", approved=False)
    still = shared.client.put(route, json=plan, headers=create)
    given = approve("bob")
    after = shared.client.put(route, json=plan, headers=create)

    assert problem(published) == problem(before) == problem(still) == (409, "policy-not-met")
    assert shared.get(f"{MODELS}/{name}")["version_count"] == 1
    assert (refused.status_code, refused.json()["approved_by"]) == (201, [])
    assert (given.json()["approved_by"], given.json()["needed"]) == (["ada", "bob"], 2)
    assert after.status_code == 202, after.text


def test_lists_are_searched_in_mlflows_grammar_and_paged_in_the_order_asked_for(shared: Replica) -> None:
    prefix = unique("search")
    for number, team in enumerate("abaab"):
        body = {"name": f"{prefix}-{number}", "tags": {"team": team}, "owner": f"o{number % 2}"}
        shared.client.post(MODELS, json=body)
    wanted = {"filter": f"name LIKE '{prefix}%' AND tags.team = 'a'", "order_by": "owner DESC, name ASC"}

    first = shared.get(MODELS, max_results=2, **wanted)
    second = shared.get(MODELS, max_results=2, page_token=first["next_page_token"], **wanted)

    found = [m["name"].removeprefix(f"{prefix}-") for page in (first, second) for m in page["registered_models"]]
    assert found == ["3", "0", "2"]
    assert second["next_page_token"] is None


def test_versions_are_searched_by_what_was_said_of_them(shared: Replica) -> None:
    name = registered(shared, versions=3)
    shared.client.patch(f"{MODELS}/{name}/versions/2", json={"tags": {"quality": "good"}, "description": "better"})

    def search(filter: str) -> list[str]:
        found = shared.get(f"{MODELS}/{name}/versions", filter=filter)["model_versions"]
        return [version["version"] for version in found]

    assert search("tags.quality = 'good'") == ["2"]
    assert search("version_number > 1 AND tags.quality IS NULL") == ["3"]
    assert search("description ILIKE '%BETTER%'") == ["2"]


@pytest.mark.parametrize("query", [{"filter": "nam = 'x'"}, {"filter": "name ="}, {"order_by": "nothing"}])
def test_a_search_that_is_none_is_told_what_there_is(shared: Replica, query: dict[str, str]) -> None:
    answer = shared.client.get(MODELS, params=query)

    assert problem(answer) == (422, "invalid-request")
    assert re.search("name|expected", answer.json()["errors"][0]["detail"])


def test_a_registry_can_be_asked_how_it_was(shared: Replica) -> None:
    name = registered(shared)
    then = shared.get(f"{MODELS}/{name}/versions/1")["since"]
    shared.publish(name, mode="none")
    shared.client.put(f"{MODELS}/{name}/aliases/champion", json={"version": "2"}, headers={"If-None-Match": "*"})

    was = shared.get(f"{MODELS}/{name}", as_of=then)
    now = shared.get(f"{MODELS}/{name}")
    never = shared.client.get(f"{MODELS}/{name}", params={"as_of": "2001-01-01T00:00:00Z"})
    nonsense = shared.client.get(f"{MODELS}/{name}", params={"as_of": "yesterday"})

    assert (was["latest_version"], was["aliases"]) == ("1", {})
    assert (now["latest_version"], now["aliases"]) == ("2", {"champion": "2"})
    assert never.status_code == 404
    assert problem(nonsense) == (422, "invalid-request")


def test_of_writers_at_two_replicas_with_one_revision_exactly_one_wins(place: Place) -> None:
    replicas = [place.replica(), place.replica()]
    name = registered(replicas[0])
    for _ in range(10):
        offset = replicas[0].get(f"{MODELS}/{name}")["revision"]
        etag = replicas[1].client.get(f"{MODELS}/{name}", params={"min_control_offset": offset}).headers["etag"]

        answers = _owners_at_once(replicas, name, etag)

        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
        winner = next(answer for answer in answers if answer.status_code == 200).json()["owner"]
        for loser in (answer for answer in answers if answer.status_code == 412):
            assert loser.json()["current"]["owner"] == winner


def test_the_log_recognises_a_repeated_command_on_another_replica_where_no_redis_does(place: Place) -> None:
    first, second = place.replica(), place.replica()
    name = registered(first)
    key = {"Idempotency-Key": "one-act", "X-Sluice-Actor": "ada"}
    path = f"{MODELS}/{name}/versions/1/approvals"
    given = first.client.post(path, json={"approved": True}, headers=key)
    offset = {"min_control_offset": given.headers["x-control-offset"]}

    again = second.client.post(path, params=offset, json={"approved": True}, headers=key)
    other = second.client.post(path, params=offset, json={"approved": False}, headers=key)

    assert (again.status_code, again.json()) == (201, given.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert problem(other) == (422, "idempotency-key-reused")


def _owners_at_once(replicas: list[ThreadReplica], name: str, etag: str) -> list[httpx.Response]:
    """Four writers who all saw the same revision, two at each replica."""
    answers: list[httpx.Response] = []
    gate = threading.Barrier(4)

    def write(writer: int) -> None:
        gate.wait()
        client = replicas[writer % 2].client
        body = {"owner": uuid.uuid4().hex}
        answers.append(client.patch(f"{MODELS}/{name}", json=body, headers={"If-Match": etag}))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
