"""Results and dead letters as they come, or the newest of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from control_api.core.records import dead_letter_record, result_record
from control_api.core.snapshot import Snapshot
from control_api.core.workers import streams
from control_api.errors import BAD_REQUEST, BUSY, INVALID, KAFKA_DOWN, NOT_CAUGHT_UP, NOT_FOUND, ApiError
from control_api.parts import Parts
from control_api.ports import TopicRecord
from control_api.reading import PartsHere, SnapshotNow, answer
from control_api.schemas.parameters import Follow, IfNoneMatch, LastEventId, ModelName
from control_api.schemas.problem import answers
from control_api.schemas.records import LastDeadLetters, LastResults, Stream, Streams
from control_api.schemas.shape import Shape
from control_api.sse import EVENT_STREAM, encode_event

router = APIRouter(prefix="/api/v1", tags=["streams"])

_POLL_SECONDS = 0.5
_STREAM_CONTENT = {EVENT_STREAM: {"schema": {"type": "string", "description": "Events, see the HTML standard, 9.2."}}}
_RECORDS = answers(BAD_REQUEST, NOT_FOUND, INVALID, NOT_CAUGHT_UP, KAFKA_DOWN, BUSY)

Limit = Annotated[int, Query(ge=1, le=1000, description="Most records, of the newest.")]
After = Annotated[
    str | None,
    Query(max_length=8192, description="A `cursor` to follow from; the same as `Last-Event-ID`."),
]


@router.get("/streams", response_model=Streams, responses=answers(INVALID, NOT_CAUGHT_UP))
async def list_streams(request: Request, snapshot: SnapshotNow, if_none_match: IfNoneMatch = None) -> Response:
    """The streams that workers declare."""
    return answer(request, snapshot, Streams(streams=streams(snapshot)))


@router.get(
    "/streams/{name:path}/results",
    response_model=LastResults,
    responses={200: {"content": _STREAM_CONTENT, "description": "The newest results, or events."}, **_RECORDS},
)
async def read_results(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    name: ModelName,
    limit: Limit = 20,
    follow: Follow = False,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Predictions of a stream: the newest as JSON, or as events while they come."""
    declared = _stream(snapshot, name)
    formats = {stream.result_topic: stream.result_format for stream in declared}
    topics = sorted(formats)

    def shape(record: TopicRecord) -> Shape:
        return result_record(record, formats[record.topic])

    if _wants_events(request, follow):
        return await _follow(parts, topics, last_event_id or after, "result", shape)
    records, cursor = await parts.topics.last(topics, min(limit, parts.settings.limits.last_records))
    shown = [result_record(record, formats[record.topic]) for record in records]
    return _fresh(LastResults(results=shown, cursor=cursor))


@router.get(
    "/dead-letters",
    response_model=LastDeadLetters,
    responses={200: {"content": _STREAM_CONTENT, "description": "The newest dead letters, or events."}, **_RECORDS},
)
async def read_dead_letters(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    limit: Limit = 20,
    follow: Follow = False,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Records that could not be scored: the newest as JSON, or as events while they come."""
    named = {stream.dead_letter_topic for stream in streams(snapshot) if stream.dead_letter_topic}
    topics = sorted(named | {parts.settings.dead_letter_topic})
    if _wants_events(request, follow):
        return await _follow(parts, topics, last_event_id or after, "dead-letter", dead_letter_record)
    records, cursor = await parts.topics.last(topics, min(limit, parts.settings.limits.last_records))
    return _fresh(LastDeadLetters(dead_letters=[dead_letter_record(each) for each in records], cursor=cursor))


def _stream(snapshot: Snapshot, name: str) -> list[Stream]:
    declared = [stream for stream in streams(snapshot) if stream.name == name and stream.result_topic]
    if not declared:
        known = ", ".join(sorted({stream.name for stream in streams(snapshot)})) or "none yet"
        raise ApiError(NOT_FOUND, f"no worker has declared a stream {name!r}; there are: {known}")
    return declared


def _wants_events(request: Request, follow: bool) -> bool:
    return follow or EVENT_STREAM in request.headers.get("accept", "")


async def _follow(
    parts: Parts, topics: list[str], cursor: str | None, kind: str, shape: Callable[[TopicRecord], Shape]
) -> Response:
    parts.streams.admit()
    tail = await parts.topics.tail(topics, cursor)

    async def read() -> list[bytes]:
        records = await tail.read(_POLL_SECONDS)
        return [encode_event(kind, shape(record).model_dump(mode="json"), tail.advance(record)) for record in records]

    return parts.streams.response(read, tail.close)


def _fresh(body: Shape) -> Response:
    return Response(body.model_dump_json(), headers={"Cache-Control": "no-store"}, media_type=JSONResponse.media_type)
