"""Time travel: which version scored, or will score, a record."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from control_api.core.decisions import Read, data_type_of, decisions, entity_of, needs_record, streams_reading
from control_api.errors import INVALID, NOT_CAUGHT_UP, ApiError
from control_api.parts import Parts
from control_api.reading import PartsHere, SnapshotNow, answer
from control_api.schemas.decisions import Decisions
from control_api.schemas.parameters import IfNoneMatch
from control_api.schemas.problem import answers
from model_store.core.lanes import Lane

router = APIRouter(prefix="/api/v1/decisions", tags=["decisions"])

Found = Literal["read", "gone", "unavailable", "not-needed"]


@router.get("", response_model=Decisions, responses=answers(INVALID, NOT_CAUGHT_UP))
async def read_decisions(
    request: Request,
    parts: PartsHere,
    snapshot: SnapshotNow,
    topic: Annotated[str, Query(min_length=1, max_length=249, description="Data topic.")],
    partition: Annotated[int, Query(ge=0, le=2**31 - 1)],
    offset: Annotated[int, Query(ge=0, le=2**63 - 1, description="Of the record; it may be gone, or still to come.")],
    group: Annotated[str | None, Query(max_length=255, description="Only this consumer group.")] = None,
    data_type: Annotated[
        str | None,
        Query(max_length=255, description="Of the record; left out: as its stream says, if that can be told."),
    ] = None,
    entity: Annotated[
        str | None,
        Query(
            max_length=1024, description="What arms are chosen by; left out: the record's key, if it is still there."
        ),
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Which version and arm a record was given to, since when, by whose change, who approved; for each group that reads it."""
    streams = {
        name: stream for name, stream in streams_reading(snapshot, topic).items() if group is None or name == group
    }
    record: Read | None = None
    found: Found = "not-needed"
    if any(needs_record(stream, data_type, entity) for stream in streams.values()):
        record, found = await _record(parts, topic, partition, offset)
    given = entity.encode() if entity is not None else None
    shown = given
    decided = []
    for name, stream in streams.items():
        about = given if given is not None else entity_of(stream, record)
        shown = about if shown is None else shown
        kind = data_type if data_type is not None else data_type_of(stream, record)
        decided += decisions(snapshot.catalogue, Lane(name, topic, partition), offset, kind, about)
    body = Decisions(
        topic=topic,
        partition=partition,
        offset=offset,
        record=found,
        entity=shown.decode(errors="replace") if shown is not None else None,
        decisions=decided,
    )
    return answer(request, snapshot, body)


async def _record(parts: Parts, topic: str, partition: int, offset: int) -> tuple[Read | None, Found]:
    try:
        record = await parts.topics.at(topic, partition, offset)
    except ApiError:
        return None, "unavailable"
    if record is None:
        return None, "gone"
    return Read(record.key, dict(record.headers)), "read"
