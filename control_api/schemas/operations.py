"""Operations: what becomes of a write, worker by worker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from control_api.schemas.models import Outcome
from control_api.schemas.shape import ControlOffset, Shape, Time, VersionText


class Operation(Shape):
    """Publishing one version. It is done when each live worker has said what became of it."""

    id: str = Field(examples=["op-42"])
    kind: Literal["publish"]
    state: Literal["running", "succeeded", "failed"]
    message: str = Field(description="What it waits for, or why it failed.", examples=["live on 2 of 2 workers"])
    model: str
    version: VersionText | None = Field(description="Null for a descriptor that was refused on its face.")
    data_type: str
    control_offset: ControlOffset
    created_at: Time
    done: int = Field(description="Live workers that have said what became of it.")
    total: int = Field(description="Live workers.")
    workers: list[Outcome]
