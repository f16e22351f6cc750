"""Writes of the control plane as they are sent, and refusals as they are read, without a network."""

from __future__ import annotations

import asyncio
import inspect
import json

import httpx
import pytest

import sluice
from sluice.client import job_calls, registry_calls, route_calls
from sluice.client.calls import Call
from sluice.client.conditions import ABSENT, ANY
from sluice.client.errors import (
    ApiError,
    ConflictError,
    InvalidPlanError,
    ModelRefusedError,
    OperationFailedError,
    PolicyError,
    RefusedError,
    StaleError,
)
from sluice.client.jobs import OffsetRange, PassIf, TimeRange
from sluice.client.plans import Arm, Plan, Rule, Speculation, Target
from sluice.client.routing import Guard, RolloutStep


def answering(respond) -> sluice.Client:
    return sluice.Client("http://api.test", transport=httpx.MockTransport(respond))


def an_operation(**said):
    known = {"id": "op-1", "state": "running", "control_offset": 1, "created_at": "2026-03-01T00:00:00Z"}
    return httpx.Response(200, json=known | said)


@pytest.mark.parametrize(
    ("revision", "headers"),
    [(42, {"If-Match": '"42"'}), (0, {"If-Match": '"0"'}), (ABSENT, {"If-None-Match": "*"}), (ANY, {"If-Match": "*"})],
)
def test_the_revision_that_was_read_is_what_the_write_is_conditional_on(revision, headers):
    assert registry_calls.set_alias("tree", "champion", 3, revision=revision).headers == headers


def test_a_write_that_needs_no_revision_has_no_condition():
    assert registry_calls.update_model("tree", owner="a").headers == {}


def test_a_reason_is_in_the_body_or_where_there_is_none_in_the_query():
    with_body = registry_calls.update_model("tree", owner="a", reason="because")
    without = registry_calls.delete_model("tree", reason="because")

    assert (with_body.body, with_body.params) == ({"owner": "a", "reason": "because"}, {})
    assert (without.body, without.params) == (None, {"reason": "because"})


def test_what_is_not_named_is_not_sent_and_an_empty_text_is():
    assert registry_calls.update_model("tree", description="", tags={}).body == {"description": "", "tags": {}}


def test_a_plan_is_sent_without_what_is_empty_and_by_alias_where_there_is_one():
    plan = Plan(
        arms=(Arm(model="tree", version="3", alias="champion", weight=90), Arm("b", "net", "4", weight=10)),
        pins={"e": "b"},
        rules=(Rule("a > 1", "b"),),
        dark=(Target(model="old", version="1"),),
        fallback=Target(model="safe", version="2"),
        speculation=Speculation("vote", 80),
        digest="d1",
    )

    assert plan.body() == {
        "arms": [
            {"name": "primary", "model": "tree", "alias": "champion", "weight": 90},
            {"name": "b", "model": "net", "version": "4", "weight": 10},
        ],
        "pins": {"e": "b"},
        "rules": [{"when": "a > 1", "arm": "b"}],
        "dark": [{"model": "old", "version": "1"}],
        "fallback": {"model": "safe", "version": "2"},
        "speculation": {"decider": "vote", "timeout_ms": 80},
    }


def test_a_change_of_a_route_and_its_plan_send_the_same_and_differ_in_what_is_written():
    plan = Plan(arms=(Arm(model="tree", version="3"),))

    put = route_calls.put_route("wine-*", plan, revision=7, reason="because", deadline_seconds=30)
    dry = route_calls.plan_route("wine-*", plan)

    assert (put.method, put.path) == (dry.method, dry.path) == ("PUT", "/api/v1/deployments/wine-%2A")
    assert put.body == dry.body | {"deadline_seconds": 30, "reason": "because"}
    assert (put.params, dict(dry.params)) == ({}, {"dry_run": "true"})
    assert dry.headers == {}


def test_a_rollback_goes_to_what_was_before_or_to_a_version():
    assert route_calls.rollback("wine").body == {"to": "previous", "mode": "exact"}
    to_version = route_calls.rollback("wine", Target(model="tree", version="2"), mode="immediate")
    assert to_version.body == {"to": {"model": "tree", "version": "2"}, "mode": "immediate"}
    assert to_version.path == "/api/v1/deployments/wine:rollback"


def test_a_rollout_leaves_out_what_is_not_named_and_sends_no_guards_as_none():
    plain = route_calls.start_rollout("wine", Target(model="net", version="4"))
    full = route_calls.start_rollout(
        "wine", Target(model="net", alias="next"), steps=[RolloutStep(weight=100, bake_seconds=5)], guards=[]
    )
    guarded = route_calls.start_rollout(
        "wine", Target(model="net", version="4"), guards=[Guard(signal="psi", limit=0.2)]
    )

    assert plain.body == {"model": "net", "version": "4"}
    assert full.body == {
        "model": "net", "alias": "next", "steps": [{"weight": 100, "bake_seconds": 5}], "guards": [],
    }  # fmt: skip
    assert guarded.body["guards"] == [
        {"signal": "psi", "limit": 0.2, "relative": False, "minimum_records": 500, "breaches": 3, "tolerance": 0.0}
    ]


def test_a_rollout_is_steered_on_its_revision():
    call = route_calls.steer_rollout("wine", "42", "pause", revision=50, reason="look")

    assert (call.path, call.body) == ("/api/v1/deployments/wine/rollouts/42:pause", {"reason": "look"})
    assert call.headers == {"If-Match": '"50"'}


def test_a_backtest_names_its_records_by_offset_or_by_time():
    candidate = Target(model="net", version="4")

    by_offset = job_calls.start_backtest(
        "wine", candidate, [OffsetRange(0, 10, 20)], pass_if=PassIf(max_error_rate=0.1)
    )
    by_time = job_calls.start_backtest(
        "wine", candidate, TimeRange("a", "b"), baseline=Target(model="net", version="3")
    )

    assert by_offset.body["ranges"] == [{"partition": 0, "from": 10, "to": 20}]
    assert by_offset.body["baseline"] == "recorded"
    assert by_offset.body["pass_if"] == {"max_disagreement": None, "max_error_rate": 0.1, "min_records": 1}
    assert (by_time.body["from_time"], by_time.body["to_time"]) == ("a", "b")
    assert by_time.body["baseline"] == {"model": "net", "version": "3"}
    assert "pass_if" not in by_time.body


def test_a_stale_write_is_an_error_with_how_it_is_now():
    problem = {
        "type": "/problems/stale", "title": "It has changed meanwhile", "detail": "by now wine has revision 9",
        "current": {"version": "4", "revision": 9}, "revision": 9,
    }  # fmt: skip

    with answering(lambda request: httpx.Response(412, json=problem)) as client, pytest.raises(StaleError) as caught:
        client.set_alias("tree", "champion", 3, revision=7)

    assert isinstance(caught.value, ApiError)
    assert caught.value.current == {"version": "4", "revision": 9}
    assert caught.value.revision == 9


@pytest.mark.parametrize(
    ("slug", "kind"), [("conflict", ConflictError), ("policy-not-met", PolicyError), ("plan-invalid", InvalidPlanError)]
)
def test_a_refusal_is_an_error_of_its_kind(slug, kind):
    problem = {"type": f"https://api.test/problems/{slug}", "title": "No", "detail": "because"}

    with answering(lambda request: httpx.Response(409, json=problem)) as client, pytest.raises(kind) as caught:
        client.delete_version("tree", 1)

    assert isinstance(caught.value, RefusedError)


def test_another_problem_is_no_refusal():
    problem = {"type": "/problems/precondition-required", "title": "Say which revision"}

    with answering(lambda request: httpx.Response(428, json=problem)) as client, pytest.raises(ApiError) as caught:
        client.delete_route("wine", revision=1)

    assert not isinstance(caught.value, RefusedError)


def test_a_read_after_a_write_asks_for_what_was_written_and_other_reads_do_not():
    seen: list[tuple[str, str | None]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path.rpartition("/")[2], request.url.params.get("min_control_offset")))
        if request.method == "PATCH":
            return httpx.Response(200, json={"name": "tree"}, headers={"X-Control-Offset": "42"})
        return httpx.Response(
            200,
            json={"registered_models": [], "streams": [], "next_page_token": None},
            headers={"X-Control-Offset": "99"},
        )

    with answering(respond) as client:
        client.models()
        client.update_model("tree", owner="a")
        client.models()
        client.streams()

    assert seen == [("registered-models", None), ("tree", None), ("registered-models", "42"), ("streams", None)]


def test_a_write_that_was_refused_is_not_waited_for():
    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            problem = {"type": "/problems/conflict", "title": "No"}
            return httpx.Response(409, json=problem, headers={"X-Control-Offset": "42"})
        assert "min_control_offset" not in request.url.params
        return httpx.Response(200, json={"registered_models": [], "next_page_token": None})

    with answering(respond) as client:
        with pytest.raises(ConflictError):
            client.update_model("tree", owner="a")
        client.models()


def test_who_writes_and_with_which_token_is_in_every_request():
    seen: list[tuple[str | None, str | None]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers.get("X-Sluice-Actor"), request.headers.get("Authorization")))
        return httpx.Response(200, json={"name": "tree"})

    transport = httpx.MockTransport(respond)
    with sluice.Client("http://api.test", token="t", actor="anna", transport=transport) as client:
        client.model("tree")
    with answering(respond) as client:
        client.model("tree")

    assert seen == [("anna", "Bearer t"), (None, None)]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"kind": "publish", "version": "1", "workers": [{"worker": "w", "state": "refused"}]}, ModelRefusedError),
        ({"kind": "publish"}, ModelRefusedError),
        ({"kind": "publish", "version": "1", "phase": "aborted"}, OperationFailedError),
        ({"kind": "change", "version": "1", "phase": "aborted"}, OperationFailedError),
        ({"kind": "rollout"}, OperationFailedError),
    ],
)
def test_what_failed_says_whether_a_worker_refused_the_model(said, error):
    with answering(lambda request: an_operation(state="failed", message="no", **said)) as client:
        with pytest.raises(OperationFailedError, match="no") as caught:
            client.wait("op-1", 5)

    assert type(caught.value) is error


def test_both_clients_do_the_same_with_the_same_parameters():
    def methods(kind: type) -> dict[str, str]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: str(inspect.signature(method).parameters) for name, method in found if not name.startswith("_")}

    assert methods(sluice.Client) == methods(sluice.AsyncClient)


def test_each_call_of_the_control_plane_is_a_method():
    for module in (registry_calls, route_calls, job_calls):
        for name, make in inspect.getmembers(module, inspect.isfunction):
            if make.__module__ == module.__name__ and not name.startswith("_"):
                assert inspect.getdoc(getattr(sluice.Client, name)) == inspect.getdoc(make), name


def test_the_async_client_reads_what_it_wrote_as_well():
    seen: list[str | None] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.params.get("min_control_offset"))
        return httpx.Response(200, json={"name": "tree"}, headers={"X-Control-Offset": "7"})

    async def story() -> None:
        async with sluice.AsyncClient("http://api.test", transport=httpx.MockTransport(respond)) as client:
            await client.update_model("tree", owner="a")
            await client.model("tree")

    asyncio.run(story())

    assert seen == [None, "7"]


def test_every_body_can_be_sent_as_json():
    plan = Plan(arms=(Arm(model="tree", version="3"),))
    bodies: list[Call] = [
        route_calls.put_route("wine", plan, revision=1),
        registry_calls.set_policy("tree", approvals=1),
        job_calls.start_correction("wine", Target(model="tree", version="1"), good=Target(model="tree", alias="a")),
    ]

    for call in bodies:
        assert json.loads(json.dumps(call.body)) == call.body
