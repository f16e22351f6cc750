"""What the API answers about routes: their timeline, rollouts, and which version scored a record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from sluice.client.answers import Position
from sluice.client.plans import Plan, Target


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


class Decision(Struct, frozen=True, kw_only=True):
    """Which version scored, or will score, a record, and who wanted that.

    Attributes:
        group: Consumer group of the workers that it is true for.
        route: Key of the route.
        version: `None` where only the record's fields or its entity can say.
        reason: `primary`, `arm`, `pin`, `rule`.
        since_offset: First offset of the partition that this plan scores.
        control_offset: Of what was asked for: results carry it.
        entry_offset: Where it took force.
        exact: The offset was promised; otherwise it is where the worker says that it changed.
        rollout: The rollout that it was a step of.
        rules: Rules of the plan, which go before what is said here.
    """

    group: str = ""
    route: str
    data_type: str = ""
    model: str | None = None
    version: str | None = None
    arm: str | None = None
    reason: str = ""
    since_offset: int | None = None
    control_offset: int = -1
    entry_offset: int = -1
    exact: bool = False
    actor: str = ""
    change_reason: str = ""
    approved_by: tuple[str, ...] = ()
    rollout: str | None = None
    plan_digest: str = ""
    rules: Any = ()


class Decisions(Position, frozen=True, kw_only=True):
    """What is known about one record: a decision for each consumer group and route."""

    decisions: tuple[Decision, ...] = ()


class RouteChanged(Struct, frozen=True, kw_only=True):
    """What a change of a route would come to, or the operation that it is.

    Attributes:
        plan: As it would be after it.
    """

    plan: Plan | None = None
