"""The Python client and the control plane: the registry, routes, rollouts and time travel, over a real API and Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_processes import PMML
from confluent_kafka import Producer
from driver_worker import DutifulWorker
from patience import until

from sluice import (
    ABSENT,
    ApiError,
    Arm,
    Client,
    ConflictError,
    InvalidPlanError,
    OperationFailedError,
    Plan,
    PolicyError,
    RolloutStep,
    StaleError,
    Target,
)
from sluice.client.jobs import OffsetRange, PassIf

pytestmark = pytest.mark.kafka


@pytest.fixture
def client(place: Any) -> Iterator[Client]:
    """A client of one replica, without workers: a change of a route is immediate."""
    with Client(place.replica().url, actor="anna") as made:
        yield made


@pytest.fixture
def worker(place: Any) -> Iterator[Any]:
    """Starts workers that keep the protocol."""
    started: list[DutifulWorker] = []

    def start(name: str = "w1") -> DutifulWorker:
        started.append(DutifulWorker(place.kafka, place.control_topic, place.data_topic, place.group, name))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def register(client: Client, count: int = 1, name: str = "tree") -> None:
    """Versions that nothing is routed to."""
    for _ in range(count):
        assert client.publish(PMML, for_="wine", name=name, mode="none").operation is None


def plan(version: str, *more: Arm) -> Plan:
    """A primary with what the others leave."""
    return Plan(arms=(Arm(model="tree", version=version, weight=100 - sum(arm.weight for arm in more)), *more))


def test_what_is_said_of_a_model_can_be_changed_and_searched(client: Client) -> None:
    client.create_model("tree", owner="cellar", tags={"team": "a"}, reason="a new one")
    register(client)

    changed = client.update_model("tree", tags={"team": "b"}, revision=client.model("tree").revision)
    client.set_policy("tree", approvals=2, revision=changed.revision)

    (found,) = client.models("tags.team = 'b' AND owner = 'cellar'")
    assert (found.name, found.policy.approvals, found.latest_version) == ("tree", 2, "1")
    assert client.models("tags.team = 'a'") == []


def test_a_version_says_where_it_comes_from_and_can_be_retired_and_deleted(client: Client) -> None:
    client.publish(PMML, for_="wine", name="tree", mode="none", references={"run_id": "r-1", "code": "git:ab12"})
    version = client.version("tree", "latest")

    tagged = client.update_version("tree", 1, tags={"stage": "test"}, revision=version.revision)
    retired = client.set_stage("tree", 1, "retired", revision=tagged.revision, reason="too old")
    client.delete_version("tree", 1, revision=retired.revision)

    assert version.references == {"run_id": "r-1", "code": "git:ab12"}
    assert (tagged.tags, retired.stage, retired.stage_reason) == ({"stage": "test"}, "retired", "too old")
    assert client.versions("tree") == []


def test_of_two_who_decided_on_the_same_revision_the_second_is_told_how_it_is_now(client: Client) -> None:
    register(client, 3)
    client.set_alias("tree", "champion", 1, revision=ABSENT)
    seen = client.alias("tree", "champion")

    client.set_alias("tree", "champion", 2, revision=seen.revision, reason="better")
    with pytest.raises(StaleError) as caught:
        client.set_alias("tree", "champion", 3, revision=seen.revision)

    assert caught.value.current is not None
    assert caught.value.current["version"] == "2"
    assert caught.value.revision == client.alias("tree", "champion").revision


def test_a_dry_run_writes_nothing(client: Client) -> None:
    register(client, 2)
    dry = client.set_alias("tree", "champion", 1, revision=ABSENT, dry_run=True)
    planned = client.plan_route("wine", plan("1", Arm("canary", "tree", "2", weight=25)))
    published = client.plan_publication(PMML, "wine", "tree", {"mode": "immediate"})

    assert (dry.version, planned.mode, planned.moved, published.version) == ("1", "immediate", 100.0, "3")
    assert planned.before is None
    assert planned.plan is not None
    assert [arm.weight for arm in planned.plan.arms] == [75.0, 25.0]
    assert client.routes() == []
    assert client.model("tree").aliases == {}


def test_a_route_keeps_its_plan_its_timeline_and_its_past(client: Client) -> None:
    register(client, 2)
    client.put_route("wine", plan("1"), revision=ABSENT, reason="first")
    between = client.route("wine").entries[0].at
    canary = plan("1", Arm("canary", "tree", "2", weight=25))
    client.put_route("wine", canary, revision=client.route("wine").revision, reason="try it")

    now, then = client.route("wine"), client.route("wine", as_of=between.isoformat())

    assert now.plan is not None
    assert [(arm.name, arm.version, arm.weight) for arm in now.plan.arms] == [
        ("primary", "1", 75.0),
        ("canary", "2", 25.0),
    ]
    assert [(entry.reason, entry.actor) for entry in now.entries] == [("try it", "anna"), ("first", "anna")]
    assert then.plan is not None
    assert [arm.version for arm in then.plan.arms] == ["1"]


def test_a_rollback_brings_back_what_served_before(client: Client) -> None:
    register(client, 2)
    client.put_route("wine", plan("1"), revision=ABSENT)
    client.put_route("wine", plan("2"), revision=client.route("wine").revision)

    planned = client.plan_rollback("wine")
    client.rollback("wine", reason="it is worse")

    found = client.route("wine").plan
    assert found is not None
    assert planned.plan == found
    assert found.arms[0].version == "1"


def test_a_route_that_is_taken_away_serves_nothing(client: Client) -> None:
    register(client)
    client.put_route("wine", plan("1"), revision=ABSENT)

    assert client.plan_route_removal("wine").plan is None
    client.delete_route("wine", revision=client.route("wine").revision, reason="not needed")

    assert client.routes() == []


def test_refusals_are_errors_of_their_kind(client: Client) -> None:
    register(client)
    client.set_policy("tree", approvals=1)
    with pytest.raises(PolicyError, match="approv"):
        client.put_route("wine", plan("1"), revision=ABSENT)
    with pytest.raises(InvalidPlanError, match="weights"):
        client.put_route("wine", Plan(arms=(Arm("a", "tree", "1", weight=50),)), revision=ABSENT)
    with pytest.raises(ApiError) as missing:
        client.put_route("wine", plan("7"), revision=ABSENT)

    client.approve("tree", 1, reason="looks fine")
    client.put_route("wine", plan("1"), revision=ABSENT)
    with pytest.raises(ConflictError, match="wine"):
        client.delete_version("tree", 1)

    assert missing.value.status == 404
    assert client.approvals("tree", 1).approved_by == ("anna",)


def test_an_exact_change_is_followed_from_ready_workers_to_promised_cuts(
    place: Any, client: Client, worker: Any
) -> None:
    register(client, 2)
    client.put_route("wine", plan("1"), revision=ABSENT)
    worker("w1")
    seen: list[tuple[str | None, tuple[str, ...], int]] = []

    asked = client.put_route("wine", plan("2"), revision=client.route("wine").revision)
    done = client.wait(
        asked.id, 30, lambda it: seen.append((it.phase, it.ready, sum(cut.cut is not None for cut in it.cuts)))
    )

    assert (done.kind, done.mode, done.phase, done.ready) == ("change", "exact", "committed", ("w1",))
    assert [(cut.topic, cut.partition, cut.owner, cut.cut) for cut in done.cuts] == [
        (place.data_topic, 0, "w1", 100),
        (place.data_topic, 1, "w1", 100),
    ]
    assert seen[-1] == ("committed", ("w1",), 2)
    assert client.decisions(place.data_topic, 1, 99, data_type="wine").decisions == ()  # nobody was there to score it
    (decision,) = client.decisions(place.data_topic, 1, 100, data_type="wine").decisions
    assert (decision.version, decision.exact, decision.actor) == ("2", True, "anna")


def test_a_change_that_is_aborted_is_an_error_to_whoever_waits(client: Client, worker: Any) -> None:
    register(client, 2)
    client.put_route("wine", plan("1"), revision=ABSENT)
    worker("w1").is_ready = False
    asked = client.put_route("wine", plan("2"), revision=client.route("wine").revision)

    aborted = client.abort_operation(asked.id, reason="not tonight")

    assert aborted.phase == "aborted"
    with pytest.raises(OperationFailedError, match="not tonight"):
        client.wait(asked.id, 10)
    found = client.route("wine")
    assert found.plan is not None
    assert (found.plan.arms[0].version, found.change) == ("1", None)


def test_a_rollout_is_started_paused_and_aborted(client: Client, worker: Any) -> None:
    register(client, 2)
    client.put_route("wine", plan("1"), revision=ABSENT)
    worker("w1")
    steps = [RolloutStep(weight=10, bake_seconds=600), RolloutStep(weight=100)]

    begun = client.start_rollout("wine", Target(model="tree", version="2"), steps=steps, guards=[], reason="go")
    until(lambda: client.rollout("wine", begun.id).step == 1)
    paused = client.steer_rollout("wine", begun.id, "pause", revision=client.rollout("wine", begun.id).revision)
    aborted = client.steer_rollout("wine", begun.id, "abort", revision=paused.revision, reason="enough")

    assert (begun.state, paused.state) == ("running", "paused")
    assert aborted.state in ("reverting", "aborted")
    assert [told.action for told in aborted.story][:1] == ["started"]
    assert client.rollouts("wine")[0].id == begun.id


def test_a_read_sees_what_was_written_through_another_replica(place: Any) -> None:
    first, second = place.replica(), place.replica()
    with Client(first.url) as writer, Client(second.url) as reader:
        register(writer)
        reader._written = writer._written

        assert [model.name for model in reader.models()] == ["tree"]


def test_a_backtest_is_asked_for_listed_and_given_up(client: Client, worker: Any) -> None:
    register(client, 2)
    worker("w1")
    candidate, records = Target(model="tree", version="2"), [OffsetRange(0, 0, 100)]

    dry = client.start_backtest("wine", candidate, records, pass_if=PassIf(max_error_rate=0.1), dry_run=True)
    assert client.backtests() == []
    asked = client.start_backtest("wine", candidate, records, baseline=Target(model="tree", version="1"), reason="try")
    cancelled = client.cancel_backtest(asked.id, reason="enough")

    assert (dry.state, dry.about) == ("queued", asked.about)
    assert (asked.kind, asked.stream, asked.actor, asked.reason) == ("backtest", "wine", "anna", "try")
    assert asked.job["ranges"] == [{"partition": 0, "from": 0, "to": 100}]
    assert (cancelled.state, client.backtest(asked.id).state) == ("cancelled", "cancelled")
    assert [job.id for job in client.backtests(state="cancelled")] == [asked.id]
    with pytest.raises(OperationFailedError, match="cancelled"):
        client.wait(asked.operation, 10)


def test_a_correction_names_the_records_that_the_bad_version_scored(place: Any, client: Client, worker: Any) -> None:
    register(client, 2)
    worker("w1")
    client.wait(client.put_route("wine", plan("2"), revision=ABSENT).id, 30)
    producer = Producer({"bootstrap.servers": place.kafka})
    for _ in range(103):
        producer.produce(place.data_topic, b"record", partition=0)
    assert producer.flush(15) == 0
    bad, good = Target(model="tree", version="2"), Target(model="tree", version="1")

    dry = client.start_correction("wine", bad, good=good, dry_run=True)
    assert client.corrections() == []
    asked = client.start_correction("wine", bad, good=good, records_per_second=100, reason="it was wrong")
    client.cancel_correction(asked.id)

    assert dry.job["ranges"] == [{"partition": 0, "from": 100, "to": 103}]
    assert (asked.kind, asked.job["records_per_second"], asked.reason) == ("correction", 100, "it was wrong")
    assert client.correction(asked.id).state == "cancelled"
    with pytest.raises(ApiError, match="serves it still"):
        client.start_correction("wine", bad)
