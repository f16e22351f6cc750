"""What all shapes have in common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Shape(BaseModel):
    """Part of a response."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class PageOf(Shape):
    """The envelope of a list that comes in pages."""

    next_page_token: str | None = Field(description="Send it as `page_token` for the next page; null on the last.")


Time = Annotated[str, Field(description="RFC 3339, UTC, with milliseconds.", examples=["2026-03-01T12:00:00.000Z"])]
EpochMs = Annotated[int, Field(description="Milliseconds since 1970 UTC.", examples=[1772366400000])]
ControlOffset = Annotated[int, Field(description="Offset in the control log.", ge=0, examples=[42])]
Revision = Annotated[
    int, Field(description="Control offset of the last change of it; what `If-Match` compares.", ge=-1, examples=[42])
]
VersionText = Annotated[str, Field(description="Version: a positive integer, as text.", examples=["3"])]


def rfc3339(epoch_ms: int) -> str:
    """The instant as text, in UTC with milliseconds."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{epoch_ms % 1000:03d}Z"


def epoch_ms(text: str) -> int:
    """Inverse of `rfc3339`, for any offset from UTC.

    Raises:
        ValueError: It is no such instant, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("an instant needs its offset from UTC, such as Z")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
