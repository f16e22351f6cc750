"""What a plan can say, end to end: each record is scored by whom the plan names, for the reason that it gives.

The models are linear and add a number of their own to the prediction, so that not only what a result says of itself but
also its value tells which of them made it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from control_plane import PRIMARY, ControlPlane, Told, expected_of, obeys, one, start_workers, told
from deployment import GRAPH, make_deployment, wine_values
from linear_models import linear_predictions, write_variant
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from patience import until
from sending import Sending

from model_store.core.lanes import Lane
from model_store.core.timeline import Choice, decision
from sluice.demo.wine import ARTIFACTS, FEATURES, make_wines
from sluice.stack.ports import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

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
    # A test stops the processes that have the models: they are to score all of them, and not to be replaced meanwhile.
    deployment.settings |= {"engines": {"fast_pmml": "off"}, "limits": {"score_seconds": 60}}
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


def flow(sending: Sending, records: int = 2_400) -> None:
    """Let so many more records flow: several times all keys, beyond a cut that lies ahead."""
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
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending, 800)
        change = running.committed(running.change(plan, key=key))
        flow(sending)
    rows, letters = running.outcomes(key, sending.sent)
    dark = running.deployment.follow(running.dark_topic, ScoreResult)

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

    with Sending(running.deployment, 0.15, key) as sending:
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


# ---------------------------------------------------------------------- deciders


def voting(versions: list[int], decider: str, timeout_ms: int, **members) -> dict[str, object]:
    arms = [arm(number, None, 0 if i else 100) for i, number in enumerate(versions)]
    return {"arms": arms, "speculation": {"decider": decider, "timeout_ms": timeout_ms}, **members}


def deciders(plane: ControlPlane, key: str, records: Mapping[str, int]) -> dict[str, dict]:
    """What the API says of the deciders of a route, once it has heard of so many records."""

    def told_of() -> dict[str, dict] | None:
        response = plane.replicas[0].client.get(f"/stats/deciders/{key}")
        assert response.status_code == 200, response.text
        found = {each["decider"]: each for each in response.json()["deciders"]}
        return found if {name: each["records"] for name, each in found.items()} == records else None

    return until(
        told_of, 30, f"the statistics tell of {records}: {plane.replicas[0].client.get('/stats/deciders').text}"
    )


def test_deciders_make_one_answer_of_several_and_the_statistics_account_for_every_record(running):
    key = "deciding"
    serve(running, key, fallback=version(TWENTY))
    plans = [
        voting([PLAIN, TEN, TEN_AGAIN], "vote", 20_000),
        voting([PLAIN, TEN, TEN_AGAIN], "vote", 10_000),
        voting([PLAIN, TEN], "mean", 10_000),
        voting([PICKY, TEN], "first", 10_000),
        voting([FOREST, PLAIN], "first", 1, fallback=version(TWENTY)),
        voting([PICKY, FOREST], "best_confidence", 1),
    ]
    with Sending(running.deployment, 0.15, key) as sending:
        changes = []
        for plan in plans:
            changes.append(running.committed(running.change(plan, key=key)).id)
            flow(sending)
    rows, letters = running.outcomes(key, sending.sent)

    assert each_once(rows, letters, sending.sent)
    vote, vote_again, mean, first, hasty, hopeless = changes
    by_change: dict[int, list[tuple[bytes, ScoreResult]]] = {change: [] for change in changes}
    before = min(changes)
    for k, row in rows:
        choice = choice_of(running, row, k)
        assert row.control_offset == choice.entry.change
        if row.control_offset < before:
            continue
        by_change[row.control_offset].append((k, row))
        plan = choice.entry.plan
        assert choice.reason == "decided"
        assert told(row)[3] in ("decided", "fallback")
        assert row.decider == (plan.speculation.decider if told(row)[3] == "decided" else "")
        arms = {each.target.version: "" if each is plan.primary else each.name for each in plan.arms}
        assert told(row)[3] == "fallback" or row.arm == arms[row.model_version]
    dead = Counter(choice_of(running, letter, letter.key).entry.change for letter in letters)

    def values(change: int) -> set[tuple[str, int, str]]:
        """What was decided: reason, version, and what was added to the linear model's prediction."""
        return {
            (told(row)[3], row.model_version, f"{row.prediction - PREDICTIONS[bottle(k)]:.6f}")
            for k, row in by_change[change]
        }

    assert values(vote) == values(vote_again) == {("decided", TEN, "10.000000")}
    assert values(mean) == {("decided", PLAIN, "5.000000")}
    assert values(first) <= {("decided", PICKY, "30.000000"), ("decided", TEN, "10.000000")}
    assert all(row.model_version == TEN for k, row in by_change[first] if refuses(PICKY, k))
    counts = {change: Counter(told(row)[3] for _, row in by_change[change]) for change in changes}
    assert set(dead) <= {hopeless}

    together = {
        "vote": [vote, vote_again], "mean": [mean], "first": [first, hasty], "best_confidence": [hopeless]
    }  # fmt: skip
    wanted = {name: sum(counts[each].total() + dead[each] for each in of_name) for name, of_name in together.items()}
    found = deciders(running, key, wanted)
    for name, of_name in together.items():
        decided = sum(counts[each]["decided"] for each in of_name)
        assert (found[name]["decided"], found[name]["undecidable"]) == (decided, 0)
        assert found[name]["unanswered"] == wanted[name] - decided
        for each in found[name]["arms"]:
            assert each["answered"] + each["late"] + each["failed"] == wanted[name]
        assert sum(each["chosen"] for each in found[name]["arms"]) == decided


def pmml_processes(plane: ControlPlane) -> list[int]:
    """Processes in which workers have PMML models that are not plain."""
    found = []
    for worker in plane.deployment.workers:
        told_of = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(worker.process.pid)], capture_output=True, text=True, check=True
        )
        found += [int(line.split()[0]) for line in told_of.stdout.splitlines() if "serving.scorers.pmml.child" in line]
    return found


def test_arms_that_stand_still_are_left_out_and_where_nobody_answers_the_fallback_does(running):
    plans = {
        "stalling": voting([PICKY, TENSORFLOW], "vote", 1_000),
        "stalling-all": voting([PICKY, PICKY_TOO], "vote", 200, fallback=version(TENSORFLOW)),
        "stalling-alone": voting([PICKY, PICKY_TOO], "vote", 200),
    }
    for key, plan in plans.items():
        serve(running, key)
        running.committed(running.change(plan, key=key))
    values = {key: wine_values(key)[:400] for key in plans}
    processes = pmml_processes(running)
    assert processes
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        for each in values.values():
            running.deployment.send(each)
        stalled = {key: running.outcomes(key, 400) for key in plans}
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)
    running.deployment.send(values["stalling"])
    rows, letters = running.outcomes("stalling", 800)

    assert {key: (len(found), len(dead)) for key, (found, dead) in stalled.items()} == {
        "stalling": (400, 0), "stalling-all": (400, 0), "stalling-alone": (0, 400)
    }  # fmt: skip
    assert all(each_once(found, dead, 400) for found, dead in stalled.values())
    said = {key: {(told(row)[3], row.model_version) for _, row in found} for key, (found, _) in stalled.items()}
    assert said["stalling"] == {("decided", TENSORFLOW)}
    assert said["stalling-all"] == {("fallback", TENSORFLOW)}
    (why,) = {letter.reason for letter in stalled["stalling-alone"][1]}
    assert "not in time: wine v4, wine v5" in why
    assert each_once(rows, letters, 800)
    assert letters == []
    found = deciders(running, "stalling", {"vote": 800})["vote"]
    picky, tensorflow = found["arms"]
    assert picky["late"] >= 400, found
    assert tensorflow["answered"] == 800, found
    for key in ("stalling-all", "stalling-alone"):
        found = deciders(running, key, {"vote": 400})["vote"]
        assert (found["decided"], found["unanswered"]) == (0, 400)
        assert [each["late"] for each in found["arms"]] == [400, 400]


# ---------------------------------------------------------------------- rollouts


def start_rollout(plane: ControlPlane, key: str, candidate: int, steps: list[tuple[float, float]], **guard) -> int:
    body = {
        **version(candidate),
        "steps": [{"weight": weight, "bake_seconds": seconds} for weight, seconds in steps],
        "guards": [{"minimum_records": 300, "breaches": 2, **guard}],
    }
    response = plane.replicas[0].client.post(f"/deployments/{key}/rollouts", json=body)
    assert response.status_code == 202, response.text
    return int(response.json()["id"])


def ended(plane: ControlPlane, key: str, rollout: int) -> dict:
    """A rollout when it is over, as the API tells."""

    def over() -> dict | None:
        response = plane.replicas[1].client.get(f"/deployments/{key}/rollouts/{rollout}")
        found = response.json() if response.status_code == 200 else {"state": "running"}
        return found if found["state"] not in ("running", "reverting") else None

    return dict(until(over, 60, f"rollout {rollout} of {key} is over"))


def test_a_rollout_that_its_guard_lets_pass_goes_dark_then_halves_then_has_it_all(running):
    key = "rolling"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending, 800)
        steps = [(0, 1), (50, 1), (100, 1)]
        rollout = start_rollout(running, key, NEARLY, steps, signal="error_rate", limit=0.01)
        found = ended(running, key, rollout)
        flow(sending, 800)
    rows, letters = running.outcomes(key, sending.sent)
    dark = [row for _, row in running.deployment.follow(running.dark_topic, ScoreResult)]
    dark = [row for row in dark if row.data_type == key]

    assert (found["state"], found["step"]) == ("succeeded", 3)
    assert found["guards"][0]["status"] in ("ok", None)
    assert each_once(rows, letters, sending.sent)
    assert disobedient(running, rows, letters) == []
    entries = list(reversed(list(running.log.catalogue.routes[key].newest_first())))
    assert [entry.rollout for entry in entries] == [None, rollout, rollout, rollout]
    assert [entry.is_exact for entry in entries[1:]] == [True] * 3
    dark_step, half, whole = (entry.change for entry in entries[1:])
    of_step = {change: Counter(row.model_version for _, row in rows if row.control_offset == change)
               for change in (dark_step, half, whole)}  # fmt: skip
    assert set(of_step[dark_step]) == {PLAIN}
    assert set(of_step[half]) == {PLAIN, NEARLY}
    assert set(of_step[whole]) == {NEARLY}
    assert {(row.model_version, row.control_offset) for row in dark} == {(NEARLY, dark_step)}
    assert len(dark) == of_step[dark_step].total()


@pytest.mark.parametrize(
    ("candidate", "steps", "guard"),
    [
        (PICKY, [(50, 600), (100, 0)], {"signal": "error_rate", "limit": 0.05}),
        (TEN, [(0, 600), (100, 0)], {"signal": "psi", "limit": 0.25}),
    ],
    ids=["that fails on records", "that drifts while it is dark"],
)
def test_a_guard_takes_a_candidate_back_by_itself_and_keeps_what_it_saw(running, candidate, steps, guard):
    key = f"guarded-{guard['signal']}"
    serve(running, key)
    with Sending(running.deployment, 0.15, key) as sending:
        flow(sending, 400)
        rollout = start_rollout(running, key, candidate, steps, **guard)
        found = ended(running, key, rollout)
        flow(sending, 800)
    rows, letters = running.outcomes(key, sending.sent)

    assert found["state"] == "rolled_back"
    back = next(each for each in found["story"] if each["action"] == "rollback")
    assert back["actor"] == "sluice"
    assert guard["signal"] in back["reason"] or f"v{candidate}" in back["reason"]
    assert back["evidence"], "what it was decided on is kept"
    assert each_once(rows, letters, sending.sent)
    assert disobedient(running, rows, letters) == []
    entries = list(reversed(list(running.log.catalogue.routes[key].newest_first())))
    assert [(entry.rollout, entry.is_exact) for entry in entries[1:]] == [(rollout, True)] * 2
    assert entries[-1].plan.digest == entries[0].plan.digest
    assert {row.model_version for _, row in rows if row.control_offset == entries[-1].change} == {PLAIN}
    assert bool(letters) == (candidate == PICKY)
