"""Routes: which version serves which data type."""

from __future__ import annotations

from pydantic import Field

from control_api.schemas.models import Outcome, Status
from control_api.schemas.shape import ControlOffset, PageOf, Shape, Time, VersionText


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


class Deployment(Shape):
    """A route."""

    key: str = Field(description="Data type.", examples=["wine"])
    serving: Placed | None = Field(description="The newest version that was not refused.")
    newest: Placed | None = Field(description="The newest primary, whatever became of it; null before the first.")
    stack: list[Placed] = Field(
        description="The versions before `serving`, newest first: what a refusal falls back to."
    )
    workers: list[Serving] = Field(description="What each worker that has said so scores it with, and since when.")
    errors: list[Outcome] = Field(description="Refusals and retries of the newest version.")


class Deployments(PageOf):
    """A page of routes, by data type."""

    deployments: list[Deployment]
