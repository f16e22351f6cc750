"""The state that the control log adds up to: one value, its parts, and the questions that it answers by itself.

All mappings are persistent, so an old state stays valid: readers on other threads need no lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from immutables import Map

from model_store.core.bounded import BoundedMap
from model_store.core.changes import Change
from model_store.core.commands import Outcome
from model_store.core.control_records import ControlRecord
from model_store.core.jobs_state import Job
from model_store.core.lanes import Lane, LaneState
from model_store.core.plans import Plan, Target
from model_store.core.rollouts import Rollout
from model_store.core.routes import Route, in_precedence
from model_store.core.versions import NO_NOTES, ModelVersion, RegisteredModel, Rejected, VersionNotes
from model_store.core.workers import Worker

REQUESTS_KEPT: Final = 10_000
REJECTED_KEPT: Final = 1_000
WORKERS_KEPT: Final = 1_000
UNKNOWN_TYPES_KEPT: Final = 100
COMMANDS_KEPT: Final = 10_000
CHANGES_KEPT: Final = 10_000
ROLLOUTS_KEPT: Final = 1_000
JOBS_KEPT: Final = 1_000

Request = tuple[str, str, str]
"""Data type, model name, request id."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One record of the control log, read.

    Attributes:
        offset: Its offset; larger than that of every entry before it, with gaps allowed.
        timestamp_ms: Its Kafka timestamp, milliseconds since 1970 UTC.
        record: What it says.
    """

    offset: int
    timestamp_ms: int
    record: ControlRecord


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the log says up to and including `offset`. Start from `EMPTY`.

    Attributes:
        offset: Offset of the last record folded, the revision; -1 before the first.
        models: Name -> model.
        routes: Key -> route.
        patterns: Keys of the routes that are for more than one data type.
        versions: Control offset -> the version that was made there.
        notes: Control offset of a version -> what people say about it; absent: nothing.
        changes: Id -> change of a route; those under way are always in it.
        open_changes: Ids of the exact changes that are under way.
        rollouts: Id -> rollout; those under way are always in it.
        lanes: Lane -> who owns it.
        jobs: Id -> job.
        outcomes: Control offset of a command -> what the fold made of it.
        commands: Command id -> control offset of the command that had it first.
        last_entry: Control offset at which some route last changed; -1 for never.
        workers: Worker id -> worker.
        rejected: Control offset -> why the announcement there was none.
        requests: Request -> control offset of the announcement that it made.
        retries: Control offset of a repeated announcement or command -> that of the first one.
        unknown: Record type -> how many records of it were passed over.
        stale_reports: How many records came from a start of a worker that was not its latest.
    """

    offset: int = -1
    models: Map[str, RegisteredModel] = field(default_factory=Map)
    routes: Map[str, Route] = field(default_factory=Map)
    patterns: frozenset[str] = frozenset()
    versions: Map[int, ModelVersion] = field(default_factory=Map)
    notes: Map[int, VersionNotes] = field(default_factory=Map)
    changes: BoundedMap[int, Change] = field(default_factory=lambda: BoundedMap(CHANGES_KEPT))
    open_changes: frozenset[int] = frozenset()
    rollouts: BoundedMap[int, Rollout] = field(default_factory=lambda: BoundedMap(ROLLOUTS_KEPT))
    lanes: Map[Lane, LaneState] = field(default_factory=Map)
    jobs: BoundedMap[int, Job] = field(default_factory=lambda: BoundedMap(JOBS_KEPT))
    outcomes: BoundedMap[int, Outcome] = field(default_factory=lambda: BoundedMap(COMMANDS_KEPT))
    commands: BoundedMap[str, int] = field(default_factory=lambda: BoundedMap(COMMANDS_KEPT))
    last_entry: int = -1
    workers: BoundedMap[str, Worker] = field(default_factory=lambda: BoundedMap(WORKERS_KEPT))
    rejected: BoundedMap[int, Rejected] = field(default_factory=lambda: BoundedMap(REJECTED_KEPT))
    requests: BoundedMap[Request, int] = field(default_factory=lambda: BoundedMap(REQUESTS_KEPT))
    retries: BoundedMap[int, int] = field(default_factory=lambda: BoundedMap(REQUESTS_KEPT))
    unknown: BoundedMap[str, int] = field(default_factory=lambda: BoundedMap(UNKNOWN_TYPES_KEPT))
    stale_reports: int = 0

    def version_at(self, control_offset: int) -> ModelVersion | None:
        """The version that was made at this offset of the log, or whose making was repeated there."""
        return self.versions.get(self.announcement_of(control_offset))

    def announcement_of(self, control_offset: int) -> int:
        """The offset itself, or that of the first announcement or command where a retry is at this offset."""
        first = self.retries.get(control_offset)
        return control_offset if first is None else first

    def version(self, target: Target) -> ModelVersion | None:
        """The version that a plan names, deleted ones included."""
        model = self.models.get(target.model)
        return model.versions.get(target.version) if model is not None else None

    def notes_of(self, version: ModelVersion) -> VersionNotes:
        """What people say about a version."""
        return self.notes.get(version.control_offset) or NO_NOTES

    def routes_for(self, data_type: str) -> list[Route]:
        """The routes that may serve a data type, the one that goes first at the front."""
        exact = self.routes.get(data_type)
        others = [self.routes[key] for key in in_precedence(self.patterns, data_type) if key != data_type]
        return others if exact is None else [exact, *others]

    def open_change(self, route: Route) -> Change | None:
        """The change of a route that is under way."""
        return self.changes.get(route.change) if route.change is not None else None

    def open_rollout(self, route: Route) -> Rollout | None:
        """The rollout of a route that is under way."""
        return self.rollouts.get(route.rollout) if route.rollout is not None else None

    def plans_in_use(self, route: Route) -> list[Plan]:
        """The plan that a route serves, the one that it may serve next, and the one that its rollout would go back to."""
        change, rollout = self.open_change(route), self.open_rollout(route)
        plans = [route.plan, change.plan if change else None, rollout.base if rollout else None]
        return [plan for plan in plans if plan is not None]


EMPTY: Final = Catalogue()
