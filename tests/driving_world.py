"""A control log in memory, workers that are only names on it, and replicas that look at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from control_api.core.driving import Surroundings, next_commands
from control_api.core.guards import Verdict
from control_api.ports import Member, Membership
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.changes import Change
from model_store.core.commands import ChangeRoute, Command, CommandBody, Outcome, RegisterVersion, StartRollout, Step
from model_store.core.control_records import (
    ChangeReady,
    ControlRecord,
    CutsPromised,
    PartitionOffset,
    PartitionsClaimed,
    StreamDeclared,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.guards import Guard
from model_store.core.lanes import Lane
from model_store.core.plans import PRIMARY, Arm, Plan, Target
from model_store.core.rollouts import Rollout
from model_store.core.routes import Route

GROUP = "sluice"


@dataclass
class World:
    """Time goes on by a millisecond a record unless a test says otherwise."""

    catalogue: Catalogue = EMPTY
    now_ms: int = 1_000_000
    held: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=lambda: {"wine-in": 2})
    is_current: bool = True
    is_settled: bool = True

    def add(self, record: ControlRecord) -> int:
        """One record more; its offset."""
        self.now_ms += 1
        offset = self.catalogue.offset + 1
        self.catalogue = fold(self.catalogue, LogEntry(offset, self.now_ms, record))
        return offset

    def say(self, body: CommandBody, reason: str = "because", expected: int | None = None, id: str = "") -> Outcome:
        """A person's command."""
        return self.write(Command(id, "anna", reason, body, expected))

    def write(self, command: Command) -> Outcome:
        """A command; what became of it."""
        offset = self.add(command)
        outcome = self.catalogue.outcomes.get(self.catalogue.announcement_of(offset))
        assert outcome is not None
        return outcome

    def version(self, model: str = "tree", data_type: str = "wine", mode: str = "") -> Outcome:
        """One version more."""
        return self.say(RegisterVersion(Descriptor(model, data_type, "PMML", location="/m"), mode=mode))

    def serve(self, version: int = 1, key: str = "wine", mode: str = "immediate", alias: str = "") -> Outcome:
        """A plain plan for a route."""
        return self.say(ChangeRoute(key, Plan((Arm(PRIMARY, Target("tree", version, alias)),)), mode))

    def roll_out(self, version: int, steps: Iterable[Step], guards: tuple[Guard, ...] = (), key: str = "wine") -> int:
        """Start a rollout; its id."""
        outcome = self.say(StartRollout(key, Target("tree", version), tuple(steps), guards))
        assert outcome.is_accepted, outcome
        return outcome.offset

    def start(self, worker: str, *partitions: int, epoch: str = "e1", topic: str = "wine-in") -> None:
        """A worker starts, joins and claims."""
        stream = StreamDeclared(topic, topic, "out", "protobuf", "dead")
        self.add(WorkerStarted(worker, epoch, group=GROUP, streams=(stream,)))
        self.held[worker] = tuple((topic, number) for number in partitions)
        self.claim(worker, epoch)

    def claim(self, worker: str, epoch: str = "e1") -> None:
        """It claims what it holds."""
        places = tuple(PartitionOffset(topic, number, 0) for topic, number in self.held[worker])
        claim = f"{worker}-{self.catalogue.offset}"
        self.add(PartitionsClaimed(worker, epoch, claim, GROUP, places))

    def stop(self, worker: str) -> None:
        """It leaves the group."""
        del self.held[worker]

    def ready(self, worker: str, change: int, epoch: str = "e1", problem: str = "") -> None:
        """It has loaded what a change needs, or refuses."""
        self.add(ChangeReady(worker, epoch, change, problem, problem and "it is broken"))

    def promise(self, worker: str, change: int, cut: int = 100) -> None:
        """It promises all that it owns in the eyes of the log."""
        owned = [(lane, state) for lane, state in self.catalogue.lanes.items() if state.worker == worker]
        for claim in sorted({state.claim for _, state in owned}):
            cuts = tuple(
                PartitionOffset(lane.topic, lane.partition, cut) for lane, state in owned if state.claim == claim
            )
            self.add(CutsPromised(worker, change, claim, GROUP, cuts))

    def around(self, verdicts: Mapping[int, Verdict] | None = None) -> Surroundings:
        """What a replica sees beside the log."""
        members = {name: Member(name, GROUP, "", held) for name, held in self.held.items()}
        stable = frozenset([GROUP] if self.is_settled else [])
        return Surroundings(
            self.now_ms, Membership(members, self.is_current, stable), dict(self.partitions), verdicts or {}
        )

    def wanted(self, verdicts: Mapping[int, Verdict] | None = None) -> list[Command]:
        """What a replica would write."""
        return next_commands(self.catalogue, self.around(verdicts))

    def drive(self, verdicts: Mapping[int, Verdict] | None = None) -> list[Command]:
        """Write what a replica would; all of it must be accepted."""
        commands = self.wanted(verdicts)
        for command in commands:
            outcome = self.write(command)
            assert outcome.is_accepted, (command, outcome)
        return commands

    def cut_over(self) -> None:
        """Everybody does its part in every change that is under way until it is committed."""
        for change_id in sorted(self.catalogue.open_changes):
            for worker in self.held:
                known = self.catalogue.workers.get(worker)
                self.ready(worker, change_id, known.epoch if known is not None else "")
            self.drive()
            for worker in self.held:
                self.promise(worker, change_id)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_ms += round(seconds * 1000)

    def change(self, change_id: int) -> Change:
        """A change."""
        found = self.catalogue.changes.get(change_id)
        assert found is not None
        return found

    def rollout(self, rollout_id: int) -> Rollout:
        """A rollout."""
        found = self.catalogue.rollouts.get(rollout_id)
        assert found is not None
        return found

    def route(self, key: str = "wine") -> Route:
        """A route."""
        return self.catalogue.routes[key]

    def serving(self, key: str = "wine") -> dict[str, int]:
        """Version of each arm of a route -> its weight."""
        plan = self.route(key).plan
        return {str(arm.target): arm.weight for arm in plan.arms} if plan is not None else {}

    def copy(self) -> World:
        """Another one that starts from the same log."""
        return replace(self, held=dict(self.held), partitions=dict(self.partitions))


def lane(partition: int, topic: str = "wine-in") -> Lane:
    """A lane of the world's group."""
    return Lane(GROUP, topic, partition)
