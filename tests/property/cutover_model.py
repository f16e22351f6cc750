"""A system in which routes are cut over, small enough for Hypothesis: the fold, the timeline, and everything around them.

The fold and the timeline are the real ones. The model is of what surrounds them: one control log in total order, workers
that read it late, a group coordinator that moves partitions, data partitions with committed offsets, records on their way
to the log, control API replicas that saw only a part of it. What a worker must do is in `Owner`, rule by rule, so that a
test can leave one out.

With `exactly_once` a result is visible when its transaction is committed, which the coordinator allows only to the present
owner. With `at_least_once` it is visible at once; what a worker emits that lost its partition is not looked at, since
nobody promises anything about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.changes import Change, ChangeState
from model_store.core.commands import AbortChange, ChangeRoute, Command, CommandBody, ProposeChange
from model_store.core.control_records import (
    Announced,
    ChangeReady,
    ControlRecord,
    CutsPromised,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
)
from model_store.core.descriptor import Descriptor
from model_store.core.lanes import Lane
from model_store.core.plans import Plan, plain_plan
from model_store.core.timeline import decision, intervals

DATA_TYPE = "wine"
KEYS = (DATA_TYPE, "w*")
GROUP, TOPIC = "g", "t"

Fold = Callable[[Catalogue, LogEntry], Catalogue]


@dataclass(frozen=True)
class Rules:
    """What everybody does right, unless a test says otherwise.

    Attributes:
        waits_for_claim: Nothing is scored before the claim was read back.
        holds: Nothing at or above a promised cut is scored while the change is under way.
        waits_for_applied: Nothing is scored by an immediate change before the log says from where on.
        looks_at_end: A cut is not below the end of the partition.
        takes_turns: Claims carry the turn that the coordinator ordered.
    """

    waits_for_claim: bool = True
    holds: bool = True
    waits_for_applied: bool = True
    looks_at_end: bool = True
    takes_turns: bool = True


@dataclass
class Owner:
    """One assignment of one partition to one worker, until the worker notices that it is over."""

    worker: Worker
    partition: int
    claim: str
    turn: int
    position: int
    is_open: bool = False
    promised: dict[int, int] = field(default_factory=dict)
    applied: dict[int, tuple[str, int]] = field(default_factory=dict)
    pending: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def lane(self) -> Lane:
        return Lane(GROUP, TOPIC, self.partition)

    def limit(self, rules: Rules) -> int | None:
        """Nothing at or above it may be scored now; `None`: everything may."""
        catalogue = self.worker.catalogue
        limits = []
        for change in proposed(catalogue) if rules.holds else ():
            accepted = change.promises.get(self.lane)
            if accepted is not None:
                limits.append(accepted.cut)
            elif change.id in self.promised:
                limits.append(self.promised[change.id])
        for change_id, (key, since) in self.applied.items() if rules.waits_for_applied else ():
            found = catalogue.routes[key].entry_of(change_id)
            if found is not None and self.lane not in found[1].cuts:
                limits.append(since)
        return min(limits, default=None)

    def scores(self, offset: int, rules: Rules) -> int | None:
        """Id of the change whose plan scores a record; `None`: no route has one."""
        catalogue = self.worker.catalogue
        for route in catalogue.routes_for(DATA_TYPE):
            oldest = intervals(catalogue, route, self.lane, offset)[-1:]
            entry = oldest[0].entry if oldest and oldest[0].start <= offset else None
            if not rules.waits_for_applied and (newest := route.current) is not None:
                said = self.applied.get(newest.change)
                entry = newest if said is not None and said[1] <= offset else entry
            if entry is not None and entry.plan is not None:
                return entry.change
        return None

    def says(self, end: int, margin: int, rules: Rules) -> list[ControlRecord]:
        """What the worker has to write now about this lane."""
        catalogue, said = self.worker.catalogue, list[ControlRecord]()
        if not self.is_open:
            return said
        for change in proposed(catalogue):
            if self.lane in change.missing and change.id not in self.promised:
                cut = (max(end, self.position) if rules.looks_at_end else self.position) + margin
                self.promised[change.id] = cut
                said.append(CutsPromised(self.worker.name, change.id, self.claim, GROUP, self._at(cut)))
        for route in catalogue.routes_for(DATA_TYPE):
            newest = route.current
            if newest is None or newest.is_exact or self.lane in newest.cuts or newest.change in self.applied:
                continue
            self.applied[newest.change] = (route.key, self.position)
            since = self._at(self.position)
            said.append(RouteApplied(self.worker.name, newest.change, route.key, self.claim, GROUP, since))
        return said

    def claiming(self) -> PartitionsClaimed:
        """What the worker writes first."""
        return PartitionsClaimed(self.worker.name, "e", self.claim, GROUP, self._at(self.position), self.turn)

    def _at(self, offset: int) -> tuple[PartitionOffset, ...]:
        return (PartitionOffset(TOPIC, self.partition, offset),)


@dataclass
class Worker:
    """A process: what it has read of the log, and the partitions that it believes are its own."""

    name: str
    read: int = 0
    catalogue: Catalogue = EMPTY
    owns: dict[int, Owner] = field(default_factory=dict)


class System:
    """All of it."""

    def __init__(self, rules: Rules, *, exactly_once: bool, folded: Fold = fold) -> None:
        self.rules, self.exactly_once, self._fold = rules, exactly_once, folded
        self.log: list[LogEntry] = []
        self.catalogue = EMPTY
        self.workers = {name: Worker(name) for name in ("w1", "w2", "w3")}
        self.flying: list[ControlRecord] = []
        self.ends: list[int] = []
        self.committed: list[int] = []
        self.turns: list[int] = []
        self.owners: list[Owner | None] = []
        self.visible: dict[tuple[int, int], set[int | None]] = {}
        self._claims = 0
        for _ in range(4):
            self.append(Announced(Descriptor("m", "elsewhere", "PMML", location="/m")))

    # ---------------------------------------------------------------- the control log

    def append(self, record: ControlRecord) -> None:
        """The log's order is the order of these calls."""
        entry = LogEntry(len(self.log), len(self.log), record)
        self.log.append(entry)
        self.catalogue = self._fold(self.catalogue, entry)

    def write(self, record: ControlRecord, is_late: bool) -> None:
        """A worker produces a record: it is there at once, or at some later time, or never."""
        if is_late:
            self.flying.append(record)
        else:
            self.append(record)

    def seen(self, behind: int) -> Catalogue:
        """What somebody knows who has not read so many of the last records."""
        catalogue = EMPTY
        for entry in self.log[: len(self.log) - behind]:
            catalogue = self._fold(catalogue, entry)
        return catalogue

    def command(self, body: CommandBody) -> None:
        """A control API replica asks for something."""
        self.append(Command("", "ann", "why", body))

    # ---------------------------------------------------------------- workers

    def read(self, worker: Worker, count: int) -> None:
        """A worker reads the log on."""
        for entry in self.log[worker.read : worker.read + count]:
            worker.catalogue = self._fold(worker.catalogue, entry)
            worker.read += 1
            for owner in worker.owns.values():
                state = worker.catalogue.lanes.get(owner.lane)
                owner.is_open = owner.is_open or (state is not None and state.claim == owner.claim)

    def say(self, worker: Worker, margin: int, is_late: bool) -> None:
        """A worker writes what it has to."""
        for change_id in sorted(worker.catalogue.open_changes):
            self.write(ChangeReady(worker.name, "e", change_id), is_late)
        for owner in worker.owns.values():
            for record in owner.says(self.ends[owner.partition], margin, self.rules):
                self.write(record, is_late)

    def score(self, owner: Owner, count: int) -> None:
        """A worker scores records, as far as it may and as there are any."""
        if self.rules.waits_for_claim and not owner.is_open:
            return
        limit = owner.limit(self.rules)
        stop = min(owner.position + count, self.ends[owner.partition])
        for offset in range(owner.position, stop if limit is None else min(stop, limit)):
            owner.pending.append((offset, owner.scores(offset, self.rules)))
            owner.position = offset + 1
        if not self.exactly_once:
            self._show(owner)

    def commit(self, owner: Owner) -> None:
        """A worker commits its position, with its results where that is one transaction; others' are refused."""
        if self.owners[owner.partition] is owner:
            self._show(owner)
            self.committed[owner.partition] = owner.position
        else:
            del owner.worker.owns[owner.partition]

    def give_up(self, owner: Owner) -> None:
        """A transaction failed, or a commit: the partition is read again from its committed offset."""
        if self.owners[owner.partition] is owner:
            owner.position = self.committed[owner.partition]
            owner.pending.clear()

    def crash(self, worker: Worker) -> list[int]:
        """A process is gone, and another one starts in its place; returns the partitions that nobody owns now."""
        left = [place for place, owner in enumerate(self.owners) if owner is not None and owner.worker is worker]
        for partition in left:
            self.owners[partition] = None
        self.workers[worker.name] = Worker(worker.name)
        return left

    # ---------------------------------------------------------------- partitions

    def add_partition(self, records: int) -> None:
        """A new partition; nobody owns it yet."""
        self.ends.append(records)
        self.committed.append(0)
        self.turns.append(0)
        self.owners.append(None)

    def assign(self, partition: int, worker: Worker, is_orderly: bool, is_late: bool) -> None:
        """The coordinator gives a partition to a worker; the owner before it lets go, or does not notice."""
        before = self.owners[partition]
        if before is not None and is_orderly:
            self.commit(before)
            before.worker.owns.pop(partition, None)
        self._claims += 1
        self.turns[partition] += 1
        turn = self.turns[partition] if self.rules.takes_turns else 0
        owner = Owner(worker, partition, f"claim-{self._claims}", turn, self.committed[partition])
        self.owners[partition] = worker.owns[partition] = owner
        self.write(owner.claiming(), is_late)

    # ---------------------------------------------------------------- what must hold

    def violations(self) -> list[str]:
        """Visible results of which the log says something else."""
        found = []
        for (partition, offset), said in self.visible.items():
            choice = decision(self.catalogue, Lane(GROUP, TOPIC, partition), offset, DATA_TYPE)
            expected = None if choice is None else choice.entry.change
            if said != {expected}:
                found.append(f"{partition}/{offset}: scored by {said}, the log says {expected}")
        return found

    def _show(self, owner: Owner) -> None:
        if self.owners[owner.partition] is owner:
            for offset, change in owner.pending:
                self.visible.setdefault((owner.partition, offset), set()).add(change)
        owner.pending.clear()


def proposed(catalogue: Catalogue) -> list[Change]:
    """The changes whose owners have to promise, and hold."""
    found = [catalogue.changes.get(change_id) for change_id in sorted(catalogue.open_changes)]
    return [change for change in found if change is not None and change.state is ChangeState.PROPOSED]


def changed(key: str, version: int, mode: str) -> ChangeRoute:
    """A change of a route; version 0 takes it away."""
    plan: Plan | None = plain_plan("m", version) if version else None
    return ChangeRoute(key, plan, mode)


def without_claim_check(catalogue: Catalogue, entry: LogEntry) -> Catalogue:
    """A fold for which everybody's promise counts."""
    record = entry.record
    if isinstance(record, CutsPromised):
        lane = Lane(record.group, record.cuts[0].topic, record.cuts[0].partition)
        state = catalogue.lanes.get(lane)
        record = replace(record, claim=state.claim if state is not None else record.claim)
    return fold(catalogue, replace(entry, record=record))


def with_only_the_lanes_that_were_named(catalogue: Catalogue, entry: LogEntry) -> Catalogue:
    """A fold that does not ask for the promises of lanes that were claimed since the change was asked for."""
    after = fold(catalogue, entry)
    record = entry.record
    if not (isinstance(record, Command) and isinstance(record.body, ProposeChange)):
        return after
    change = after.changes.get(record.body.change)
    if change is None or change.state is not ChangeState.PROPOSED:
        return after
    return replace(after, changes=after.changes.set(change.id, replace(change, required=frozenset(record.body.lanes))))


def aborted(change: int) -> AbortChange:
    """Give a change up."""
    return AbortChange(change)
