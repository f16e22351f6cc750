"""What the API answers about how routes change: timelines, rollouts, and which version scored a record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from sluice.client.plans import Plan, Rule, Target


class RolloutStep(Struct, frozen=True, kw_only=True):
    """One step: the candidate's share in percent (0: dark), and how long it stays there at least."""

    weight: float
    bake_seconds: float = 60.0


class Guard(Struct, frozen=True, kw_only=True):
    """One condition that the candidate must keep; in answers also how it was found when it was last looked at.

    Attributes:
        signal: `error_rate`, `p99_ms`, `disagreement` or `psi`.
        limit: What it may reach; with `relative` by how much of the baseline's it may be above it.
        minimum_records: Before so many were seen, there is no telling.
        breaches: So many evaluations in a row must find it broken.
        tolerance: Added to the limit of a relative guard.
        status: `ok`, `breached`, `waiting` or `no_signal`; `None` while nobody has looked.
        value: The candidate's signal.
        allowed: What it may reach now, with all that is relative worked out.
        streak: Evaluations in a row that found it broken.
    """

    signal: str
    limit: float
    relative: bool = False
    minimum_records: int = 500
    breaches: int = 3
    tolerance: float = 0.0
    status: str | None = None
    value: float | None = None
    allowed: float | None = None
    streak: int = 0
    why: str = ""
    at: datetime | None = None

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return {
            "signal": self.signal,
            "limit": self.limit,
            "relative": self.relative,
            "minimum_records": self.minimum_records,
            "breaches": self.breaches,
            "tolerance": self.tolerance,
        }


class Told(Struct, frozen=True, kw_only=True):
    """Something that was decided about a rollout, by whom, and the evidence."""

    at: datetime
    control_offset: int = -1
    actor: str = ""
    action: str
    reason: str = ""
    evidence: Any = None


class Rollout(Struct, frozen=True, kw_only=True):
    """A route on its way to a candidate.

    Attributes:
        operation: Follows it to its end.
        baseline: The primary that it started from and goes back to.
        state: `running`, `paused`, `reverting`, `succeeded`, `aborted` or `rolled_back`.
        step: The step that was committed last, from 1 on; 0 before the first.
        next: What happens next, and what it waits for; empty when it is over.
        change: Operation id of the change that is under way.
        story: What was decided, oldest first.
        revision: What steering it is decided on.
    """

    id: str
    operation: str = ""
    key: str
    candidate: Target
    baseline: Target | None = None
    state: str
    step: int = 0
    steps: tuple[RolloutStep, ...] = ()
    since: datetime | None = None
    is_promoted: bool = False
    next: str = ""
    change: str | None = None
    guards: tuple[Guard, ...] = ()
    story: tuple[Told, ...] = ()
    actor: str = ""
    reason: str = ""
    created_at: datetime | None = None
    revision: int = -1

    @property
    def is_open(self) -> bool:
        """It may still change the route."""
        return self.state in ("running", "paused", "reverting")


class Changed(Struct, frozen=True, kw_only=True):
    """One partition's part in an entry: `cut` is the first offset that the entry's plan scores."""

    group: str = ""
    topic: str
    partition: int
    cut: int


class Entry(Struct, frozen=True, kw_only=True):
    """One plan that a route was given to serve.

    Attributes:
        control_offset: Of what asked for it: results carry it, and `op-<it>` is its operation.
        entry_offset: Where it took force.
        at: When it took force.
        plan: `None`: from here on the route serves nothing.
        exact: The offsets were promised; otherwise they are where workers say that they changed.
        rollout: Id of the rollout that it is a step of.
    """

    control_offset: int
    entry_offset: int
    at: datetime
    plan: Plan | None = None
    exact: bool = False
    cuts: tuple[Changed, ...] = ()
    actor: str = ""
    reason: str = ""
    rollout: str | None = None


class RoutePlan(Struct, frozen=True, kw_only=True):
    """What a change of a route would come to; nothing was written.

    Attributes:
        mode: `immediate` instead of `exact` where no worker lives that could promise an offset.
        revision: Of the route now: what the change is to be decided on; -1 if there is none yet.
        before: What it serves now; `None` if nothing.
        plan: What it would serve; `None` if nothing.
        moved: Share of the entities that would be scored by another version, percent.
    """

    key: str
    mode: str = "exact"
    revision: int = -1
    before: Plan | None = None
    plan: Plan | None = None
    moved: float = 0.0


class Decision(Struct, frozen=True, kw_only=True):
    """What one route of one consumer group decided about a record, and who wanted that.

    Attributes:
        group: Consumer group of the workers that read the topic.
        data_type: Of the record; `None` where it is not known: then there is a decision for each route.
        version: `None` where only the record's fields can say (`rules`, speculation), or its entity, which is not known.
        reason: `primary`, `arm`, `pin`, `rule` or `decided`. `rule`: the plan has rules, which go before the arm.
        since_offset: First offset of the partition that this plan scores.
        control_offset: Of what asked for the plan: results carry it.
        entry_offset: Where the plan took force.
        exact: The offset was promised; otherwise it is where a worker said that it changed.
        approved_by: Who had approved the version when the plan took force.
        rollout: The rollout that it was a step of.
    """

    group: str = ""
    route: str
    data_type: str | None = None
    model: str | None = None
    version: str | None = None
    arm: str | None = None
    reason: str = ""
    since_offset: int = -1
    control_offset: int = -1
    entry_offset: int = -1
    exact: bool = False
    actor: str = ""
    change_reason: str = ""
    approved_by: tuple[str, ...] = ()
    rollout: str | None = None
    plan_digest: str = ""
    rules: tuple[Rule, ...] = ()


class Decisions(Struct, frozen=True, kw_only=True):
    """What is known of one record from the control log.

    Attributes:
        record: `read`, `gone`, `unavailable` or `not-needed`: whether it was read for its data type and entity.
        entity: What arms are chosen by; `None` where it is not known.
        decisions: By group and route; none where no route served it.
    """

    topic: str
    partition: int
    offset: int
    record: str = ""
    entity: str | None = None
    decisions: tuple[Decision, ...] = ()
