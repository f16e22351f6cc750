"""Operations: what becomes of a write that takes time."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from control_api.schemas.models import Outcome
from control_api.schemas.shape import ControlOffset, Shape, Time, VersionText

OperationKind = Literal["publish", "change", "rollout", "backtest", "correction", "command"]


class Cut(Shape):
    """One partition of a change, as one consumer group reads it."""

    group: str = Field(description="Consumer group of the workers.")
    topic: str
    partition: int
    owner: str = Field(description="The worker that has it now, as the control log knows.")
    cut: int | None = Field(description="First offset that the new plan scores; null while it is not promised.")


class Operation(Shape):
    """Something that takes time.

    An exact change is done when each partition has its cut; an immediate one when each live worker has said what became of it.
    """

    id: str = Field(examples=["op-42"])
    kind: OperationKind = Field(
        description="`publish`: a version, and the change that turns its data type to it. `change`: of a route. `command`: a "
        "write that took no time."
    )
    state: Literal["running", "succeeded", "failed"]
    phase: Literal["prepared", "proposed", "committed", "aborted"] | None = Field(
        description="Of a change. `prepared`: workers load. `proposed`: the owners of partitions promise their cuts. Null for "
        "what is no change."
    )
    message: str = Field(
        description="What it waits for, what was reached, or why it failed.", examples=["waits for worker-2 to load"]
    )
    key: str | None = Field(description="Of the route; null for what changes none.")
    model: str
    version: VersionText | None = Field(
        description="Of the plan's primary; null for what was refused on its face, and where nothing serves any more."
    )
    data_type: str = Field(description="The route's key, or the data type of the version.")
    control_offset: ControlOffset
    created_at: Time
    deadline: Time | None = Field(description="When an exact change is given up; null for all else.")
    actor: str = Field(description="Who asked.")
    reason: str = Field(description="Why, as they said.")
    mode: Literal["exact", "immediate"] | None = Field(description="Of a change.")
    rollout: str | None = Field(description="The rollout that a change is a step of.")
    done: int = Field(description="Of `total`: workers that have said what became of it, cuts promised, steps taken.")
    total: int
    ready: list[str] = Field(description="Workers that have everything loaded that an exact change needs.")
    cuts: list[Cut] = Field(description="Of a change: its partitions and where they change, as far as it is known.")
    workers: list[Outcome]
