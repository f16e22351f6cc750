"""Control logs for Hypothesis: every kind of record, over an alphabet so small that most of them mean something.

Each record is drawn as a few bytes, and these choose among what the state so far offers: ids, claims and revisions are
mostly those that are there, and sometimes not. So most commands are accepted, many are refused, and changes, rollouts and
jobs come into all of their states. (Building a strategy for each record instead takes a hundred times as long.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from hypothesis import strategies as st
from immutables import Map

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold, fold_all, revision_of
from model_store.core.commands import (
    ABSENT,
    AbortChange,
    Approve,
    ChangeRoute,
    ClaimJob,
    Command,
    CommandBody,
    ProposeChange,
    RegisterModel,
    RegisterVersion,
    ReportJob,
    RequestJob,
    SetAlias,
    SetPolicy,
    SetStage,
    StartRollout,
    SteerRollout,
    Step,
    UpdateVersion,
)
from model_store.core.control_records import (
    Announced,
    ChangeReady,
    ControlRecord,
    CutsPromised,
    Invalid,
    ModelReport,
    ModelState,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
    Snapshot,
    Unknown,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.guards import Guard
from model_store.core.lanes import Lane
from model_store.core.plans import WHOLE, Arm, Plan, Rule, Speculation, Target
from model_store.core.rollouts import BACK, step_plan

Item = TypeVar("Item")

MODELS = ("a", "b")
DATA_TYPES = ("a", "b", "c")
KEYS = ("a", "b", "a*", "*")
WORKERS = ("w1", "w2", "w3")
LANES = tuple(Lane(group, "t", partition) for group in ("g", "h") for partition in (0, 1))
PEOPLE = ("", "ann", "bob")
GUARDS = (Guard("psi", 0.25), Guard("error_rate", 0.5, relative=True, tolerance=0.01))
SEEDS = st.binary(min_size=24, max_size=24)
"""One record: see `Choices`."""

BEGINNING = [
    LogEntry(0, 0, Announced(Descriptor("a", "a", "PMML", location="/m"))),
    LogEntry(1, 1_000, Announced(Descriptor("b", "b", "PMML", location="/m"))),
    LogEntry(2, 2_000, Announced(Descriptor("a", "c", "PMML", location="/m"))),
    LogEntry(3, 3_000, WorkerStarted("w1", "e1")),
    LogEntry(4, 4_000, PartitionsClaimed("w1", "e1", "first", "g", (PartitionOffset("t", 0, 3),))),
]


@st.composite
def logs(draw: st.DrawFn, max_size: int = 50) -> list[LogEntry]:
    """A control log with gaps between its offsets; most begin with models that serve and lanes that are owned."""
    beginning = draw(st.sampled_from([BEGINNING, BEGINNING, []]))
    return beginning + grown(fold_all(EMPTY, beginning), draw(seeds(max_size)))


def seeds(max_size: int, min_size: int = 0) -> st.SearchStrategy[list[bytes]]:
    """Records to be; long logs are as likely as short ones, which `lists` alone does not see to."""
    sizes = st.integers(min_size, max_size)
    return sizes.flatmap(lambda size: st.lists(SEEDS, min_size=size, max_size=size))


@st.composite
def logs_with_more(draw: st.DrawFn, max_size: int = 50) -> tuple[list[LogEntry], list[LogEntry]]:
    """A log, and what comes after it."""
    log = draw(logs(max_size))
    return log, grown(fold_all(EMPTY, log), draw(seeds(15, min_size=1)))


def grown(catalogue: Catalogue, seeds: Iterable[bytes]) -> list[LogEntry]:
    """What follows this state, one record a seed."""
    entries = []
    for seed in seeds:
        choices = Choices(seed)
        offset = catalogue.offset + choices.among((1, 1, 2))
        entry = LogEntry(offset, 1_000 * offset, record(catalogue, choices))
        catalogue = fold(catalogue, entry)
        entries.append(entry)
    return entries


def at_offset(entry: LogEntry, offset: int) -> LogEntry:
    """The same record elsewhere on the log."""
    return replace(entry, offset=offset, timestamp_ms=1_000 * offset)


class Choices:
    """Decisions that bytes make, one a byte; a zero takes the first of what there is."""

    def __init__(self, seed: bytes) -> None:
        self._bytes = iter(seed)

    def number(self, limit: int) -> int:
        """From 0 on, below `limit`, at most 256."""
        return next(self._bytes, 0) % limit

    def among(self, items: Sequence[Item]) -> Item:
        """One of these."""
        return items[self.number(len(items))]

    def mostly(self, known: Iterable[Item], otherwise: Callable[[], Item]) -> Item:
        """One of the known, if there are any, or now and then something else."""
        listed = list(known)
        return self.among(listed) if listed and self.number(8) < 7 else otherwise()

    def some(self, items: Sequence[Item]) -> list[Item]:
        """Any of these, perhaps none."""
        chosen = self.number(1 << len(items))
        return [item for place, item in enumerate(items) if chosen >> place & 1]


def record(catalogue: Catalogue, choices: Choices) -> ControlRecord:
    """A record that somebody might write who has seen this state."""
    kinds = (command, worker_record, command, worker_record, command, worker_record, command, announced, other_record)
    kind = choices.among((*kinds, command, worker_record))
    return kind(catalogue, choices)


def announced(catalogue: Catalogue, choices: Choices) -> ControlRecord:
    """A bare descriptor."""
    return Announced(descriptor(choices))


def other_record(catalogue: Catalogue, choices: Choices) -> ControlRecord:
    """What changes no route."""
    made: tuple[ControlRecord, ...] = (
        Unknown(choices.among(MODELS)),
        Invalid("wrong", choices.among(MODELS), choices.among(DATA_TYPES)),
        WorkerStarted(choices.among(WORKERS), choices.among(("e1", "e2"))),
        ModelReport(
            choices.among(WORKERS), choices.among(("e1", "e2")),
            choices.mostly(sorted(catalogue.versions), lambda: choices.number(40)), choices.among(MODELS),
            1 + choices.number(5), choices.among(DATA_TYPES), choices.among(list(ModelState)),
        ),
        Snapshot("other", b"\1"),
    )  # fmt: skip
    return choices.among(made)


def worker_record(catalogue: Catalogue, choices: Choices) -> ControlRecord:
    """What a worker might say of lanes and changes."""
    kind = choices.among(("claim", "claim", "promise", "promise", "promise", "applied", "ready"))
    if kind == "claim":
        group = choices.among(("g", "g", "h"))
        lanes = [lane for lane in LANES if lane.group == group]
        claimed = choices.some(lanes) or lanes
        name = f"claim-{catalogue.offset if choices.number(8) else choices.number(10)}"
        turn = choices.among((0, 0, 1, 2, 3))
        return PartitionsClaimed(choices.among(WORKERS), "e1", name, group, positions(choices, claimed), turn)
    if kind == "ready":
        problem = choices.among(("", "", "", "damaged"))
        return ChangeReady(choices.among(WORKERS), "e1", change_id(catalogue, choices), problem)
    lane = choices.mostly(sorted(catalogue.lanes), lambda: choices.among(LANES))
    state = catalogue.lanes.get(lane)
    claim = state.claim if state is not None and choices.number(8) < 7 else f"claim-{choices.number(10)}"
    worker = state.worker if state is not None else choices.among(WORKERS)
    if kind == "promise":
        change = catalogue.changes.get(change_id(catalogue, choices))
        missing = sorted(change.missing) if change is not None else []
        lanes = [other for other in missing if other.group == lane.group and _claim_of(catalogue, other) == claim]
        cuts = positions(choices, lanes or [lane])
        return CutsPromised(worker, change.id if change is not None else choices.number(40), claim, lane.group, cuts)
    routes = [route for _, route in sorted(catalogue.routes.items()) if route.current is not None]
    if not routes:
        return RouteApplied(worker, 0, choices.among(KEYS), claim, lane.group, positions(choices, [lane]))
    route = choices.among(routes)
    entry = route.entries[choices.number(len(route.entries))]
    return RouteApplied(worker, entry.change, route.key, claim, lane.group, positions(choices, [lane]))


def command(catalogue: Catalogue, choices: Choices) -> Command:
    """A command of any kind: some carry a revision, mostly the current one, and some are retries."""
    kind = choices.among((_route_command, _model_command, _route_command, _route_command, _model_command, _job_command))
    revision, name = choices.number(10), choices.number(12)
    actor, reason = choices.among(PEOPLE), choices.among(("", "why"))
    body = kind(catalogue, choices)
    expected = {6: revision_of(catalogue, body), 7: revision_of(catalogue, body), 8: ABSENT, 9: 5}.get(revision)
    return Command({9: "", 10: "again", 11: "anew"}.get(name, f"id-{catalogue.offset}"), actor, reason, body, expected)


def descriptor(choices: Choices) -> Descriptor:
    """Mostly a new version; a request id that comes again makes a retry."""
    return Descriptor(
        choices.among(MODELS), choices.among(DATA_TYPES), "PMML", location="/m",
        request_id=choices.among(("", "", "r1", "r2")), publisher=choices.among(PEOPLE),
    )  # fmt: skip


def target(catalogue: Catalogue, choices: Choices) -> Target:
    """A version, mostly one that is there."""
    versions = catalogue.versions.values()
    known = sorted((Target(version.model, version.version) for version in versions), key=str)
    return choices.mostly(known, lambda: Target(choices.among(MODELS), 1 + choices.number(3)))


def plan(catalogue: Catalogue, choices: Choices) -> Plan:
    """What a route may serve; now and then it makes no sense."""
    shares = choices.among(((WHOLE,), (WHOLE,), (9_000, 1_000), (5_000, 5_000, 0)))
    names = ("primary", "canary", "third")[: len(shares)]
    arms = tuple(Arm(name, target(catalogue, choices), share) for name, share in zip(names, shares, strict=True))
    plain = Plan(arms, choices.among(("", "", "salt")))
    made = (
        plain,
        plain,
        replace(plain, pins=Map({"x": choices.among((*names, "nobody"))})),
        replace(plain, rules=(Rule(choices.among(("n > 1", "n >")), names[-1]),)),
        replace(plain, dark=(target(catalogue, choices),)),
        replace(plain, fallback=target(catalogue, choices)),
        replace(plain, speculation=Speculation("vote", choices.among((150, 0)))),
    )
    return choices.among(made)


def positions(choices: Choices, lanes: Iterable[Lane]) -> tuple[PartitionOffset, ...]:
    """An offset in each of these lanes."""
    return tuple(PartitionOffset(lane.topic, lane.partition, choices.number(60)) for lane in sorted(lanes))


def change_id(catalogue: Catalogue, choices: Choices) -> int:
    """A change, mostly one that is under way."""
    return choices.mostly(sorted(catalogue.open_changes), lambda: choices.number(40))


def _claim_of(catalogue: Catalogue, lane: Lane) -> str | None:
    state = catalogue.lanes.get(lane)
    return state.claim if state is not None else None


def _route_command(catalogue: Catalogue, choices: Choices) -> CommandBody:
    under_way = sorted(route.rollout for route in catalogue.routes.values() if route.rollout is not None)
    kinds = ["change", "change", "register"]
    kinds += ["propose"] * 6 + ["abort"] if catalogue.open_changes else ["start", "start"]
    kinds += ["step"] * 4 + ["steer"] * 2 if under_way else []
    kind = choices.among(kinds) if choices.number(16) < 15 else choices.among(["propose", "abort", "steer"])
    mode = choices.among(("exact", "exact", "exact", "immediate", "exact", "exact", "slowly"))
    rollout_id = choices.mostly(under_way, lambda: choices.number(40))
    rollout = catalogue.rollouts.get(rollout_id)
    match kind:
        case "propose":
            lanes = choices.some(sorted(catalogue.lanes)[:4])
            return ProposeChange(change_id(catalogue, choices), tuple(lanes))
        case "abort":
            return AbortChange(change_id(catalogue, choices))
        case "register":
            return RegisterVersion(descriptor(choices), Map({"run_id": "1"}), choices.among(("", mode)), 1_000)
        case "start":
            weights = choices.among(((0, WHOLE), (100, WHOLE), (WHOLE,), (500,)))
            served = sorted(key for key, route in catalogue.routes.items() if route.plan is not None)
            key = choices.mostly(served, lambda: choices.among(KEYS))
            steps = tuple(Step(weight, 1.0) for weight in weights)
            return StartRollout(key, target(catalogue, choices), steps, tuple(choices.some(GUARDS)), 1_000)
        case "steer":
            action = choices.among(("promote", "abort", "rollback", "pause", "resume", "complete", "dance"))
            return SteerRollout(rollout_id, action, "{}")
        case "step" if rollout is not None:
            step = choices.among((rollout.step + 1, rollout.last, BACK))
            weight = rollout.steps[min(step, rollout.last)].weight
            asked = rollout.base if step == BACK else step_plan(rollout.base, rollout.candidate, weight)
            return ChangeRoute(rollout.key, asked, mode, 1_000, rollout.id, step)
    asked_or_gone = plan(catalogue, choices) if choices.number(8) < 7 else None
    return ChangeRoute(choices.among(KEYS), asked_or_gone, mode, 1_000)


def _model_command(catalogue: Catalogue, choices: Choices) -> CommandBody:
    about = target(catalogue, choices)
    text = choices.among((None, "", "text"))
    tags = Map({"team": choices.among(("", "x"))}) if choices.number(2) else Map()
    alias = choices.among(("champion", "next"))
    made: tuple[CommandBody, ...] = (
        RegisterVersion(descriptor(choices), Map({"code": "2"})),
        RegisterModel(about.model, text, text, None, tags),
        SetPolicy(about.model, choices.number(2), choices.number(4) == 0, choices.number(60)),
        UpdateVersion(about.model, about.version, text, tags),
        SetAlias(about.model, alias, about.version),
        SetAlias(about.model, alias, 0),
        SetStage(about.model, about.version, choices.among(("retired", "deleted", "active", "gone"))),
        SetStage(about.model, 0, choices.among(("deleted", "retired"))),
        SetStage(about.model, about.version, "retired", choices.number(60) * 1_000),
        Approve(about.model, about.version, choices.number(3) > 0),
    )
    return choices.among(made)


def _job_command(catalogue: Catalogue, choices: Choices) -> CommandBody:
    about, kind = target(catalogue, choices), choices.among(("backtest", "correction", "nap"))
    job_id = choices.mostly(sorted(catalogue.jobs), lambda: choices.number(40))
    job = catalogue.jobs.get(job_id)
    state = choices.among(("succeeded", "running", "queued", "failed", "cancelled", "odd"))
    epoch = choices.among(("", job.epoch if job is not None else "e1", "e9"))
    made: tuple[CommandBody, ...] = (
        RequestJob(kind, "{}", about.model, about.version),
        ClaimJob(job_id, choices.among(WORKERS), "e1"),
        ReportJob(job_id, state, "w1", epoch, choices.among(("passed", "", "failed")), "{}"),
    )
    return choices.among(made)
