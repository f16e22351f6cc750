"""Rollouts: how a route moves to a candidate, step by step."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from control_api.schemas.registry import Sent, VersionGiven
from control_api.schemas.shape import ControlOffset, PageOf, Shape, Time, VersionText

RolloutStateWord = Literal["running", "paused", "reverting", "succeeded", "aborted", "rolled_back"]
SignalWord = Literal["error_rate", "p99_ms", "disagreement", "psi"]
Percent = Annotated[float, Field(ge=0, le=100, multiple_of=0.01, description="Share of the entities, in percent.")]


class TargetGiven(Sent):
    """A version, by its number or by an alias; one of the two."""

    model: str = Field(min_length=1, max_length=255, examples=["wine-tree"])
    version: VersionGiven | None = None
    alias: str | None = Field(default=None, min_length=1, max_length=255)

    @model_validator(mode="after")
    def _one_of(self) -> TargetGiven:
        if (self.version is None) == (self.alias is None):
            raise ValueError("give either `version` or `alias`")
        return self


class StepGiven(Shape):
    """One step of a rollout."""

    weight: Percent
    bake_seconds: float = Field(
        default=60.0, ge=0, le=604_800, description="How long it stays there at least, with its guards content."
    )


class GuardGiven(Shape):
    """One condition that the candidate must keep while a step bakes."""

    signal: SignalWord
    limit: float = Field(
        ge=0, description="What it may reach; with `relative`, by how much of the baseline's above it."
    )
    relative: bool = Field(default=False, description="Compared with the baseline; of `error_rate` and `p99_ms` only.")
    minimum_records: int = Field(default=500, ge=1, description="Before so many were seen, there is no telling.")
    breaches: int = Field(default=3, ge=1, description="So many evaluations in a row must find it broken.")
    tolerance: float = Field(default=0.0, ge=0, description="Added to the limit of a relative guard.")


class RolloutGiven(TargetGiven):
    """What to roll out, and how."""

    steps: list[StepGiven] = Field(
        default=[
            StepGiven(weight=0, bake_seconds=300), StepGiven(weight=1, bake_seconds=300),
            StepGiven(weight=10, bake_seconds=300), StepGiven(weight=50, bake_seconds=300),
            StepGiven(weight=100, bake_seconds=300),
        ],
        min_length=1,
        max_length=50,
        description="Weights rise, the last is 100; weight 0 is dark: the candidate scores everything, to the dark topic only.",
    )  # fmt: skip
    guards: list[GuardGiven] | None = Field(
        default=None, max_length=20, description="Left out: errors, time and drift against the baseline. Empty: none."
    )
    deadline_seconds: float = Field(
        default=120.0, gt=0, le=86_400, description="How long each change of the route may take."
    )


class Steering(Sent):
    """Why the rollout is steered."""


class RolloutTarget(Shape):
    """A version."""

    model: str
    version: VersionText
    alias: str | None = None


class RolloutStep(Shape):
    """One step."""

    weight: float = Field(description="Percent.")
    bake_seconds: float


class GuardState(Shape):
    """One guard, and how it was found when this replica last looked."""

    signal: SignalWord
    limit: float
    relative: bool
    minimum_records: int
    breaches: int
    tolerance: float
    status: Literal["ok", "breached", "waiting", "no_signal"] | None = Field(
        description="Null while the step that the rollout is at was not looked at."
    )
    value: float | None = Field(description="The candidate's signal.")
    allowed: float | None = Field(description="What it may reach now, with all that is relative worked out.")
    streak: int = Field(description="Evaluations in a row that found it broken.")
    why: str
    at: Time | None


class Told(Shape):
    """Something that was decided about the rollout."""

    at: Time
    control_offset: ControlOffset
    actor: str = Field(description="`sluice`: a replica of this API; empty: it follows from the record at that offset.")
    action: str
    reason: str
    evidence: dict[str, Any] | None = Field(description="What it was decided on.")


class Rollout(Shape):
    """A rollout."""

    id: str
    operation: str = Field(examples=["op-42"])
    key: str = Field(description="Of the route.")
    candidate: RolloutTarget
    baseline: RolloutTarget = Field(description="The primary of the plan that it started from, and goes back to.")
    state: RolloutStateWord
    step: int = Field(description="The step that was committed last, from 1 on; 0 before the first.")
    steps: list[RolloutStep]
    since: Time = Field(description="When that was.")
    is_promoted: bool = Field(description="It goes to the last step without waiting.")
    next: str = Field(description="What happens next, and what it waits for; empty when it is over.")
    change: str | None = Field(description="The change of the route that is under way.", examples=["op-57"])
    guards: list[GuardState]
    story: list[Told] = Field(description="What was decided, oldest first; the newest 50.")
    actor: str = Field(description="Who started it.")
    reason: str = Field(description="Why, as they said.")
    created_at: Time
    revision: ControlOffset


class Rollouts(PageOf):
    """A page of a route's rollouts, newest first."""

    rollouts: list[Rollout]
