"""Routes: which version serves which data type."""

from __future__ import annotations

from pydantic import Field

from control_api.schemas.models import Outcome, Status
from control_api.schemas.operations import Operation
from control_api.schemas.plans import PlanShape
from control_api.schemas.rollouts import Rollout
from control_api.schemas.shape import ControlOffset, PageOf, Revision, Shape, Time, VersionText


class Placed(Shape):
    """A version in a route's stack."""

    model: str = Field(examples=["wine-tree"])
    version: VersionText
    type: str = Field(examples=["PMML"])
    description: str
    control_offset: ControlOffset
    since: Time = Field(description="When it was published.")
    status: Status
    status_message: str = Field(description="Why it was refused; else empty.")


class Serving(Shape):
    """What one worker scores a data type with."""

    worker: str
    is_live: bool = Field(description="The worker is a member of its consumer group now.")
    model: str
    version: VersionText
    control_offset: ControlOffset
    outcome: Outcome


class Changed(Shape):
    """One partition's part in an entry."""

    group: str = Field(description="Consumer group of the workers.")
    topic: str
    partition: int
    cut: int = Field(description="First offset that the entry's plan scores.")


class Entry(Shape):
    """One plan that the route was given to serve."""

    control_offset: ControlOffset = Field(
        description="Of what asked for it: results carry it, and `op-<it>` is its operation."
    )
    entry_offset: ControlOffset = Field(description="Where it took force.")
    at: Time = Field(description="When it took force.")
    plan: PlanShape | None = Field(description="Null: from here on the route serves nothing.")
    exact: bool = Field(
        description="The offsets were promised; otherwise they are where workers say that they changed."
    )
    cuts: list[Changed]
    actor: str
    reason: str
    rollout: str | None = Field(description="The rollout that it is a step of.")


class Deployment(Shape):
    """A route."""

    key: str = Field(description="A data type, a pattern such as `wine-*`, or `*` for any.", examples=["wine"])
    plan: PlanShape | None = Field(description="What it serves, as the control log says; null if nothing.")
    revision: Revision
    change: Operation | None = Field(description="The exact change that is under way.")
    rollout: Rollout | None = Field(description="The rollout that is under way.")
    serving: Placed | None = Field(
        description="The primary of the plan; after an immediate change the newest one that was not refused."
    )
    newest: Placed | None = Field(description="The newest primary, whatever became of it; null before the first.")
    stack: list[Placed] = Field(
        description="The versions before `serving`, newest first: what a refusal falls back to."
    )
    workers: list[Serving] = Field(description="What each worker that has said so scores it with, and since when.")
    errors: list[Outcome] = Field(description="Refusals and retries of the newest version.")
    entries: list[Entry] = Field(description="What it was given to serve, newest first; at most `max_entries`.")
    more_entries: bool = Field(
        description="There are older ones: ask with the last one's `entry_offset` as `entries_before`."
    )


class Deployments(PageOf):
    """A page of routes, by data type."""

    deployments: list[Deployment]
