"""Which version scored a record, and why."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from control_api.schemas.plans import RuleShape
from control_api.schemas.shape import ControlOffset, Shape, VersionText


class Decision(Shape):
    """What one route of one consumer group decided about the record."""

    group: str = Field(description="Consumer group of the workers that read the topic.")
    route: str = Field(description="Key of the route.")
    data_type: str | None = Field(
        description="Of the record; null where it is not known: then there is a decision for each route."
    )
    model: str | None
    version: VersionText | None = Field(
        description="Null where only the record's fields can say (`rules`, speculation), or its entity, which is not known."
    )
    arm: str | None
    reason: Literal["primary", "arm", "pin", "rule", "decided"] = Field(
        description="As in results. `rule`: the plan has rules, and the first that the record meets decides."
    )
    since_offset: int = Field(description="First offset of the partition that this plan scores.")
    control_offset: ControlOffset = Field(description="Of what asked for the plan; the result carries it.")
    entry_offset: ControlOffset = Field(description="Where the plan took force.")
    exact: bool = Field(description="The offset was promised; otherwise it is where a worker said that it changed.")
    actor: str = Field(description="Who asked for the plan.")
    change_reason: str = Field(description="Why, as they said.")
    approved_by: list[str] = Field(description="Who had approved the version when the plan took force.")
    rollout: str | None = Field(description="The rollout that it was a step of.")
    plan_digest: str
    rules: list[RuleShape]


class Decisions(Shape):
    """What is known of one record from the control log."""

    topic: str
    partition: int
    offset: int
    record: Literal["read", "gone", "unavailable", "not-needed"] = Field(
        description="Whether the record itself was read for its data type and entity; without it these are as asked for."
    )
    entity: str | None = Field(
        description="What arms are chosen by, as asked for or as read; null where it is not known."
    )
    decisions: list[Decision] = Field(description="By group and route; none where no route served it.")
