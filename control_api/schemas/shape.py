"""What all shapes have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """Part of a response."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class PageOf(Shape):
    """The envelope of a list that comes in pages."""

    next_page_token: str | None = Field(description="Send it as `page_token` for the next page; null on the last.")


Time = Annotated[str, Field(description="RFC 3339, UTC, with milliseconds.", examples=["2026-03-01T12:00:00.000Z"])]
EpochMs = Annotated[int, Field(description="Milliseconds since 1970 UTC.", examples=[1772366400000])]
ControlOffset = Annotated[int, Field(description="Offset in the control log.", ge=0, examples=[42])]
VersionText = Annotated[str, Field(description="Version: a positive integer, as text.", examples=["3"])]


def rfc3339(epoch_ms: int) -> str:
    """The instant as text, in UTC with milliseconds."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{epoch_ms % 1000:03d}Z"
