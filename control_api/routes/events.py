"""What happens on the control log, as it happens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from control_api.core.log_events import KINDS
from control_api.errors import BAD_REQUEST, BUSY, INVALID, NOT_CAUGHT_UP, ApiError
from control_api.parts import Parts
from control_api.reading import PartsHere, SnapshotNow
from control_api.schemas.parameters import LastEventId
from control_api.schemas.problem import answers
from control_api.sse import EVENT_STREAM, encode_event

router = APIRouter(prefix="/api/v1/events", tags=["events"])

_WAIT_SECONDS = 0.5


@router.get(
    "",
    response_class=Response,
    responses={
        200: {
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
            "description": f"Events {', '.join(f'`{kind}`' for kind in KINDS)}, and `gap` where older ones are no longer "
            "kept. The id is a control-log offset; only the last of several events of one record has it.",
        },
        **answers(BAD_REQUEST, INVALID, NOT_CAUGHT_UP, BUSY),
    },
)
async def follow_events(
    parts: PartsHere,
    snapshot: SnapshotNow,
    after: Annotated[
        int | None,
        Query(ge=-1, le=2**63 - 1, description="Control-log offset to go on after; the same as `Last-Event-ID`."),
    ] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow what is published, what becomes of it on the workers, and who comes and goes."""
    number, first = _start(parts, _offset(last_event_id, after))

    async def read() -> list[bytes]:
        nonlocal number, first
        events = parts.happenings.since(number)
        if not events:
            await parts.follower.wait_change(_WAIT_SECONDS)
            events = parts.happenings.since(number)
        chunks, first = first, []
        if events and events[0].number > number:
            chunks.append(encode_event("gap", {"missed": events[0].number - number}, None))
        for event in events:
            event_id = str(event.control_offset) if event.control_offset is not None else None
            chunks.append(encode_event(event.kind, event.data, event_id))
            number = event.number + 1
        return chunks

    return parts.streams.response(read)


def _offset(last_event_id: str | None, after: int | None) -> int | None:
    if last_event_id is None:
        return after
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 19):
        raise ApiError(BAD_REQUEST, "Last-Event-ID is no control-log offset")
    return int(last_event_id)


def _start(parts: Parts, offset: int | None) -> tuple[int, list[bytes]]:
    """Number of the first event to send, and what to send before it."""
    happenings = parts.happenings
    if offset is None:
        return happenings.next_number, []
    number = happenings.number_after(offset)
    oldest = happenings.oldest_number
    is_gap = oldest > 0 and number == oldest
    return number, [encode_event("gap", {"oldest_kept": oldest}, None)] if is_gap else []
