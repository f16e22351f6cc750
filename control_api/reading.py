"""What every read has in common: read-your-writes, refusal of unknown parameters, and cheap polling.

*Read-your-writes*: each write answers with `X-Control-Offset`; a read with `min_control_offset` waits until this replica
has folded that far, or answers 503. Every read says in the same header how far it was.

*Polling*: the `ETag` is strong, a digest of the answer's bytes. It is not the control-log offset itself, because answers
also hold who lives, which no offset counts; and it does not change when the log grows by records about other things.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from control_api.core.past import TooLongAgoError
from control_api.core.snapshot import Snapshot
from control_api.errors import INVALID, NOT_CAUGHT_UP, NOT_FOUND, ApiError
from control_api.parts import Parts
from control_api.ports import LogRecord, Membership
from control_api.schemas.shape import epoch_ms
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.wire import Dialect, decode_record

CONTROL_OFFSET = "X-Control-Offset"

MinControlOffset = Annotated[
    int | None,
    Query(
        ge=0,
        le=2**63 - 1,
        description="Answer from a state that has this control-log offset; waits for it, or answers 503.",
    ),
]


def parts_of(request: Request) -> Parts:
    """The parts of this process."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


PartsHere = Annotated[Parts, Depends(parts_of)]


async def refuse_unknown_parameters(request: Request) -> None:
    """A misspelt parameter is an error, never ignored; and a path that ends where a name should be is none.

    Raises:
        ApiError: `INVALID` naming the parameter, `NOT_FOUND` for the path.
    """
    if "" in request.path_params.values():
        raise ApiError(NOT_FOUND, f"{request.method} {request.url.path}: Not Found")
    known = _query_names(request.scope["route"].dependant)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        expected = f"expected one of: {', '.join(sorted(known))}" if known else "this path has no parameters"
        errors = tuple({"pointer": f"/query/{name}", "detail": f"unknown parameter; {expected}"} for name in unknown)
        raise ApiError(INVALID, f"unknown parameter {', '.join(unknown)}; {expected}", errors=errors)


def _query_names(dependant: Any) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_query_names(each) for each in dependant.dependencies))


async def snapshot(parts: PartsHere, min_control_offset: MinControlOffset = None) -> Snapshot:
    """The state of this moment, folded at least as far as was asked for.

    Raises:
        ApiError: `NOT_CAUGHT_UP` if this replica is not that far.
    """
    wait = parts.settings.waits.fold_seconds
    if min_control_offset is not None and not await parts.follower.wait_applied(min_control_offset, wait):
        detail = f"this replica is at offset {parts.follower.applied_offset}, {min_control_offset} was asked for"
        raise ApiError(NOT_CAUGHT_UP, detail, retry_after_seconds=1)
    return await parts.snapshot()


SnapshotNow = Annotated[Snapshot, Depends(snapshot)]


def instant(text: str, parameter: str) -> int:
    """An instant of a query, milliseconds since 1970 UTC.

    Raises:
        ApiError: `INVALID` if it is none.
    """
    try:
        return epoch_ms(text)
    except (ValueError, OverflowError) as error:
        where = f"/query/{parameter}"
        detail = f"{parameter} is an instant of RFC 3339 with its offset, such as 2026-03-01T12:00:00Z: {error}"
        raise ApiError(INVALID, detail, errors=({"pointer": where, "detail": detail},)) from error


async def snapshot_as_of(parts: Parts, snapshot: Snapshot, as_of: str | None) -> Snapshot:
    """The state to answer from: this moment's, or the registry as it was, without what workers said.

    What this process does not remember is read from the log again, which takes as long as it takes to read it up to there.

    Raises:
        ApiError: `INVALID` if `as_of` is no instant, `KAFKA_DOWN` if the log cannot be read.
    """
    if as_of is None:
        return snapshot
    at_ms = instant(as_of, "as_of")
    try:
        then = parts.past.at(at_ms)
    except TooLongAgoError:
        async with parts.reading_back:
            then = await parts.log_reader.fold_until(_step(parts.dialect), EMPTY, at_ms)
    return Snapshot(then, snapshot.applied_offset, Membership())


def _step(dialect: Dialect) -> Callable[[Catalogue, LogRecord], Catalogue]:
    def step(catalogue: Catalogue, record: LogRecord) -> Catalogue:
        found = decode_record(record.headers, record.key, record.value, dialect)
        return fold(catalogue, LogEntry(record.offset, record.timestamp_ms, found))

    return step


def answer(request: Request, snapshot: Snapshot, body: BaseModel, revision: int | None = None) -> Response:
    """A 200 with its ETag, or a 304 if the client has this answer already.

    Args:
        request: The read.
        snapshot: What the answer is made from.
        body: The answer.
        revision: Of what is answered, if it can be changed: a write may then send the ETag back as `If-Match`.
    """
    content = body.model_dump_json().encode()
    etag = etag_of(content, revision)
    headers = {"ETag": etag, CONTROL_OFFSET: str(snapshot.applied_offset), "Cache-Control": "no-cache"}
    if _matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(content, 200, headers, media_type=JSONResponse.media_type)


def etag_of(content: bytes, revision: int | None = None) -> str:
    """The strong ETag of an answer: a digest of its bytes, after the revision if there is one."""
    digest = hashlib.sha256(content).hexdigest()[:24]
    return f'"{digest}"' if revision is None or revision < 0 else f'"{revision}-{digest}"'


def _matches(if_none_match: str, etag: str) -> bool:
    given = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return "*" in given or etag in given
