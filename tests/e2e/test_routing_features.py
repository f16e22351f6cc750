"""What a plan can say, end to end: each record is scored by whom the plan names, for the reason that it gives.

The models are linear and add a number of their own to the prediction, so that not only what a result says of itself but
also its value tells which of them made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from control_plane import PRIMARY, ControlPlane, Told, expected_of, obeys, one, start_workers, told
from deployment import GRAPH, make_deployment, until, wine_values
from linear_models import linear_predictions, write_variant
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from sending import Sending

from model_store.core.lanes import Lane
from model_store.core.timeline import Choice, decision
from sluice.demo.wine import ARTIFACTS, FEATURES, make_wines
from sluice.stack.ports import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

PLAIN, TEN, TWENTY, PICKY, PICKY_TOO, TEN_AGAIN, NEARLY, FOREST, TENSORFLOW = range(1, 10)
"""Versions of the model `wine`."""

ADDED = {PLAIN: 0.0, TEN: 10.0, TWENTY: 20.0, PICKY: 30.0, PICKY_TOO: 40.0, TEN_AGAIN: 10.0, NEARLY: 0.001}
MOST_ALCOHOL = {PICKY: 10.9, PICKY_TOO: 11.6}
WINES = [dict(zip(FEATURES, row, strict=True)) for row in make_wines().matrix.tolist()]
PREDICTIONS = linear_predictions()

Wine = Mapping[str, float]
Rows = list[tuple[bytes, ScoreResult]]


@pytest.fixture(scope="module")
def running(kafka, redis_url, tmp_path_factory):
    """Two workers and two replicas; each test has routes of its own."""
    folder = tmp_path_factory.mktemp("running")
    deployment = make_deployment(kafka, folder, free_port, 4)
    deployment.settings |= {"delivery": "exactly_once", "redis_url": redis_url}
    plane = ControlPlane(deployment)
    try:
        plane.start(2)
        for version, added in ADDED.items():
            published = plane.publish(write_variant(folder, added, MOST_ALCOHOL.get(version)), mode="none")
            assert published["version"] == str(version)
        plane.publish(ARTIFACTS / "wine_forest.pmml", mode="none")
        plane.publish(GRAPH, mode="none")
        start_workers(deployment, 2)
        yield plane
    finally:
        plane.stop()
        deployment.stop_all()


def serve(plane: ControlPlane, key: str, version: int = PLAIN, **members) -> None:
    """Give a new route a version, and wait until records are scored by it."""
    change = plane.change(one(version, mode="immediate", **members), key=key)
    assert plane.operation(change, wait=60)["state"] == "succeeded"


def flow(sending: Sending, records: int = 1_200) -> None:
    """Let so many more records flow."""
    at = sending.sent
    until(lambda: sending.sent >= at + records, 60, "records flow")


def arm(version: int, name: str | None = None, weight: float = 100) -> dict[str, object]:
    return {"model": "wine", "version": str(version), "weight": weight, **({"name": name} if name else {})}


def version(number: int) -> dict[str, str]:
    return {"model": "wine", "version": str(number)}


def bottle(key: bytes) -> int:
    """Of a record's key."""
    return int(key[1:])


def refuses(model_version: int, key: bytes) -> bool:
    return WINES[bottle(key)]["alcohol"] > MOST_ALCOHOL.get(model_version, 99.0)


def foretold(key: bytes, model_version: int) -> float:
    return float(PREDICTIONS[bottle(key)]) + ADDED[model_version]


@dataclass(frozen=True)
class Rules:
    """What the test itself makes of a plan's rules.

    Attributes:
        of_change: Change that gave a plan with rules -> what they say, in the plan's order, and the name of their arm.
    """

    of_change: Mapping[int, list[tuple[Callable[[Wine], bool], str]]] = field(default_factory=dict)

    def arm(self, change: int, key: bytes) -> str | None:
        wine = WINES[bottle(key)]
        return next((name for holds, name in self.of_change.get(change, ()) if holds(wine)), None)


def choice_of(plane: ControlPlane, row: ScoreResult | DeadLetter, key: bytes) -> Choice:
    lane = Lane(plane.deployment.group, row.topic, row.partition)
    found = decision(plane.log.catalogue, lane, row.offset, row.data_type, key)
    assert found is not None
    return found


def expected(plane: ControlPlane, row: ScoreResult | DeadLetter, key: bytes, rules: Rules) -> Told | str:
    """What the result of a record has to say; a sentence where there can be none."""
    choice = choice_of(plane, row, key)
    plan = choice.entry.plan
    assert plan is not None
    assert choice.arm is not None
    chosen = rules.arm(choice.entry.change, key)
    selected = plan.arm(chosen) if chosen is not None else choice.arm
    assert selected is not None
    reason = "rule" if chosen is not None else reason_without_rules(choice, key)
    if not refuses(selected.target.version, key):
        return expected_of(choice.entry, selected, reason)
    if plan.fallback is None or refuses(plan.fallback.version, key):
        return f"nobody scores it, version {(plan.fallback or selected.target).version} the last"
    return plan.fallback.version, choice.entry.change, PRIMARY, "fallback"


def reason_without_rules(choice: Choice, key: bytes) -> str:
    """A choice under a plan with rules leaves it open whether one matches."""
    assert choice.entry.plan is not None
    assert choice.arm is not None
    if key.decode() in choice.entry.plan.pins:
        return "pin"
    return PRIMARY if choice.arm.name == PRIMARY else "arm"


def disobedient(plane: ControlPlane, rows: Rows, letters: list[DeadLetter], rules: Rules | None = None) -> list[str]:
    """Results and dead letters that are not what the plan of their record says, the values of predictions included."""
    found = []
    for key, row in rows:
        wanted = expected(plane, row, key, rules or Rules())
        if told(row) != wanted:
            found.append(f"{row.partition}/{row.offset} by {row.worker}: {told(row)}, expected {wanted}")
        elif abs(row.prediction - foretold(key, row.model_version)) > 1e-6:
            found.append(f"{row.partition}/{row.offset}: {row.prediction} is not by version {row.model_version}")
    for letter in letters:
        wanted = expected(plane, letter, letter.key, rules or Rules())
        if wanted != f"nobody scores it, version {letter.model_version} the last":
            found.append(f"{letter.partition}/{letter.offset} is a dead letter: {letter.reason}; expected {wanted}")
    return found


def each_once(rows: Rows, letters: list[DeadLetter], records: int) -> bool:
    """Each of so many records has one result, or is one dead letter."""
    places = Counter((row.partition, row.offset) for _, row in rows)
    places += Counter((letter.partition, letter.offset) for letter in letters)
    return len(places) == records and set(places.values()) == {1}


# ---------------------------------------------------------------------- plans


def test_every_record_is_scored_by_whom_rules_pins_weights_and_the_fallback_name(running):
    key = "choosing"
    serve(running, key)
    plan = {
        "arms": [arm(PICKY, PRIMARY, 60), arm(TEN, "challenger", 40), arm(TWENTY, "strong", 0)],
        "rules": [
            {"when": "alcohol > 11.2 && ph < 3.3", "arm": "strong"},
            {"when": "sulphates < 0.5", "arm": "challenger"},
        ],
        "pins": {"k7": "strong", "k8": "challenger", "k9": PRIMARY, "k10": "strong"},
        "dark": [version(TENSORFLOW), version(NEARLY)],
        "fallback": version(PICKY_TOO),
    }
    with Sending(running.deployment, 0.1, key) as sending:
        flow(sending, 800)
        change = running.committed(running.change(plan, key=key))
        flow(sending)
    rows, letters = running.outcomes(key, sending.sent)
    dark = [
        (record.key(), ScoreResult.FromString(record.value()))
        for record in running.deployment.read_to_end(f"{running.deployment.results}.dark")
    ]

    rules = Rules(
        {
            change.id: [
                (lambda wine: wine["alcohol"] > 11.2 and wine["ph"] < 3.3, "strong"),
                (lambda wine: wine["sulphates"] < 0.5, "challenger"),
            ]
        }
    )
    assert each_once(rows, letters, sending.sent)
    assert disobedient(running, rows, letters, rules) == []
    reasons = Counter(told(row)[3] for _, row in rows if row.control_offset == change.id)
    assert set(reasons) == {"primary", "arm", "pin", "rule", "fallback"}
    assert letters
    assert {(letter.stage, letter.model_version) for letter in letters} == {(DeadLetter.STAGE_SCORE, PICKY_TOO)}
    cuts = {lane.partition: promise.cut for lane, promise in change.promises.items()}
    after = {(row.partition, row.offset) for _, row in rows} | {(row.partition, row.offset) for row in letters}
    after = {(partition, offset) for partition, offset in after if offset >= cuts[partition]}
    for number in (TENSORFLOW, NEARLY):
        watched = [(row.partition, row.offset) for _, row in dark if row.model_version == number]
        assert sorted(watched) == sorted(after), f"version {number} has not scored each record once"
    assert {(row.reason, row.control_offset, row.data_type) for _, row in dark} == {
        (ScoreResult.REASON_DARK, change.id, key)
    }
    assert all(abs(row.prediction - foretold(k, NEARLY)) < 1e-6 for k, row in dark if row.model_version == NEARLY)


def test_a_route_follows_its_alias_by_an_exact_change_of_its_own(running):
    key, alias = "following", "champion"
    client = running.replicas[0].client
    where = f"/registered-models/wine/aliases/{alias}"
    assert client.put(where, json={"version": str(PLAIN)}, headers={"If-None-Match": "*"}).status_code == 200
    followed = {"arms": [{"model": "wine", "alias": alias}], "fallback": version(TWENTY), "mode": "immediate"}
    first = running.change(followed, key=key)
    assert running.operation(first, wait=60)["state"] == "succeeded"

    with Sending(running.deployment, 0.1, key) as sending:
        flow(sending, 800)
        moved = running.replicas[1].client.put(where, json={"version": str(PICKY)}, headers={"If-Match": "*"})
        assert moved.status_code == 200, moved.text
        until(lambda: len(running.log.catalogue.routes[key].entries) == 2, 60, "the route follows")
        entry = running.log.catalogue.routes[key].current
        change = running.committed(entry.change)
        flow(sending, 800)
    rows, letters = running.outcomes(key, sending.sent)

    assert (entry.is_exact, entry.actor) == (True, "sluice")
    assert f"alias {alias} of wine moved to version {PICKY}" in entry.reason
    assert running.operation(change.id)["state"] == "succeeded"
    plan = client.get(f"/deployments/{key}").json()["plan"]
    assert (plan["arms"][0]["version"], plan["arms"][0]["alias"]) == (str(PICKY), alias)
    assert {lane.partition for lane in change.promises} == {0, 1, 2, 3}
    assert each_once(rows, letters, sending.sent)
    assert letters == []
    assert disobedient(running, rows, letters) == []
    assert {told(row)[0] for _, row in rows} == {PLAIN, PICKY, TWENTY}
    obeys([(k, row) for k, row in rows if told(row)[3] != "fallback"], change, PLAIN, PICKY)


def test_an_exact_name_goes_before_the_longer_pattern_and_that_before_the_shorter(running):
    routes = {"vin-red": PLAIN, "vin-*": TEN, "vin-white*": TWENTY, "*": NEARLY}
    for route, number in routes.items():
        serve(running, route, number)
    serves = {
        "vin-red": "vin-red",
        "vin-rose": "vin-*",
        "vin-white": "vin-white*",
        "vin-white-dry": "vin-white*",
        "ale": "*",
    }
    values = [wine_values(data_type)[:400] for data_type in serves]

    def send() -> None:
        for shift in range(len(values)):
            running.deployment.send([values[(i + shift) % len(values)][i] for i in range(400)])

    send()
    gone = running.replicas[0].client.delete("/deployments/vin-red", headers={"If-Match": "*"})
    assert gone.status_code == 202, gone.text
    change = running.committed(gone.json()["control_offset"])
    send()

    for data_type, route in serves.items():
        rows, letters = running.outcomes(data_type, 800)
        assert each_once(rows, letters, 800)
        assert disobedient(running, rows, letters) == []
        named = {row.route or data_type for _, row in rows}
        assert named == ({"vin-red", "vin-*"} if data_type == "vin-red" else {route})
    assert change.is_exact
