"""What a route serves: as it is answered, and as it is sent. Weights are percent with two decimals."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from control_api.schemas.registry import Sent, VersionGiven
from control_api.schemas.shape import Shape, VersionText

Mode = Literal["exact", "immediate"]
DeadlineSeconds = Annotated[
    float | None,
    Field(ge=1, le=86_400, description="An exact change that is not done by then is given up; 120 by default."),
]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_ArmName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[ -~]+$")]
_Entity = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class NamedVersion(Shape):
    """A version that a plan names."""

    model: str = Field(examples=["wine-tree"])
    version: VersionText
    alias: str | None = Field(description="The alias that it was found by: the route moves when the alias does.")


class PlannedArm(NamedVersion):
    """One of the versions that share a route's records."""

    name: str = Field(description="Unique in the plan; results carry it.", examples=["primary"])
    weight: float = Field(description="Share of the entities in percent.")


class RuleShape(BaseModel):
    """Selects an arm by the fields of a record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str = Field(
        max_length=2000, description="A CEL expression over the record's fields.", examples=["alcohol > 12.5"]
    )
    arm: str = Field(max_length=64)


class SpeculationShape(BaseModel):
    """All arms score every record, and a decider picks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decider: str = Field(max_length=64, description="`first`, `best_confidence`, `vote`, `mean`, or one of your own.")
    timeout_ms: int = Field(
        default=150, ge=1, le=60_000, description="Arms that have not answered by then take no part."
    )


class PlanShape(Shape):
    """What a route serves. For one record: the first rule that matches, then the pin of its entity, then the entity's arm."""

    arms: list[PlannedArm] = Field(description="The first is the primary.")
    salt: str = Field(description="Hashed with the entity: another salt shuffles all entities anew.")
    pins: dict[str, str] = Field(description="Entity -> name of its arm.")
    rules: list[RuleShape]
    dark: list[NamedVersion] = Field(description="Versions whose results go to the stream's dark topic only.")
    fallback: NamedVersion | None = Field(description="Scores the records that their arm could not.")
    speculation: SpeculationShape | None
    digest: str = Field(description="Names the plan: approvals may bind to it.", examples=["8d1c7f0f3a9be2c4"])


class GivenVersion(BaseModel):
    """A version by its number, or by an alias that the route is to follow; one of the two."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: _Name = Field(examples=["wine-tree"])
    version: VersionGiven | None = Field(default=None, examples=["3"])
    alias: _Name | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.version is None) == (self.alias is None):
            raise ValueError("give either `version` or `alias`")
        return self


class GivenArm(GivenVersion):
    """One of the versions that are to share a route's records."""

    name: _ArmName | None = Field(default=None, description="By default `primary`, `arm-2`, `arm-3`, ...")
    weight: float | None = Field(
        default=None, ge=0, le=100, description="Percent, two decimals; may be left out where there is one arm."
    )


class GivenPlan(Sent):
    """What a route is to serve, and how it is changed."""

    arms: list[GivenArm] = Field(min_length=1, max_length=50, description="The first is the primary.")
    salt: Annotated[str, StringConstraints(max_length=128)] = Field(
        default="", description="Empty: as it was, or the route's key."
    )
    pins: dict[_Entity, _ArmName] = Field(default={}, max_length=10_000, description="Entity -> name of its arm.")
    rules: list[RuleShape] = Field(default=[], max_length=100, description="The first that matches wins.")
    dark: list[GivenVersion] = Field(default=[], max_length=50)
    fallback: GivenVersion | None = None
    speculation: SpeculationShape | None = None
    mode: Mode = Field(
        default="exact",
        description="`exact`: on every partition at a promised offset, on all workers, or not at all. `immediate`: each worker "
        "when it is ready; it ends an exact change and a rollout that are under way.",
    )
    deadline_seconds: DeadlineSeconds = None


class WhereTo(BaseModel):
    """A version to go back to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: _Name
    version: VersionGiven


class GivenRollback(Sent):
    """Where to go back to, and how."""

    to: Literal["previous"] | WhereTo = Field(
        default="previous",
        description="`previous`: the plan before this one; a rollout's steps count as one. Or a version: the last plan that had "
        "it as its primary, else it alone.",
    )
    mode: Mode = "exact"
    deadline_seconds: DeadlineSeconds = None


class RoutePlan(Shape):
    """What a change of a route would come to (`dry_run`); nothing was written."""

    dry_run: bool = Field(description="Always true.")
    key: str
    mode: Mode = Field(description="`immediate` instead of `exact` where no worker lives that could promise an offset.")
    revision: int = Field(description="Of the route now: what `If-Match` is to say; -1 if there is none yet.")
    before: PlanShape | None = Field(description="What it serves now; null if nothing.")
    plan: PlanShape | None = Field(description="What it would serve; null if nothing.")
    moved: float = Field(description="Share of the entities that would be scored by another version, percent.")
