"""Writing commands: the one way from a request, or from a replica's own decision, to the control log and to its outcome.

A command is written, read back and folded like any record; the fold's outcome is the answer. So it does not matter which
replica writes, how many do at a time, or whether one dies half-way: what is on the log is what happened. Three things make
a write safe to repeat and to try out:

* its id: the `Idempotency-Key`. The fold answers a second command with the same id by the outcome of the first one. The
  answer itself is remembered in Redis as well (`Replays`), if there is one;
* its revision: of two writers who decided on the same one, the fold accepts one and refuses the other as stale;
* `dry_run`: the command is folded onto the state of this moment in memory and written nowhere. The same code decides.

`write_command` and `try_command` are for any caller; `perform` is the whole of it for a route.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from control_api.core.snapshot import Snapshot
from control_api.errors import (
    INVALID,
    KEY_REUSED,
    NOT_CAUGHT_UP,
    PLAN_INVALID,
    REFUSALS,
    ApiError,
)
from control_api.parts import Parts
from control_api.ports import StoredAnswer
from control_api.preconditions import expected_revision
from control_api.reading import CONTROL_OFFSET, PartsHere
from model_store.core.catalogue import Catalogue, LogEntry, fold, revision_of
from model_store.core.commands import ChangeRoute, Command, CommandBody, Outcome, RegisterVersion, StartRollout
from model_store.core.descriptor import LONGEST_REQUEST_ID
from model_store.core.errors import InvalidDescriptorError
from model_store.core.wire import decode_record, encode_command

DEFAULT_ACTOR: Final = "api"
REPLAYED: Final = "Idempotency-Replayed"
DRY_RUN: Final = "X-Dry-Run"

_KEPT: Final = ("Location", "Retry-After", "ETag", CONTROL_OFFSET)


@dataclass(frozen=True, slots=True)
class Written:
    """A command and what became of it.

    Attributes:
        command: The command.
        offset: Where it is on the control log; where the first one is if this was a retry; where it would be in a dry run.
        outcome: What the fold made of it; `None`: this replica has not read it back in time.
        catalogue: A state that has it, unless `outcome` is `None`.
        is_retry: Its id was seen before.
        is_dry_run: It is written nowhere.
    """

    command: Command
    offset: int
    outcome: Outcome | None
    catalogue: Catalogue
    is_retry: bool = False
    is_dry_run: bool = False

    @property
    def is_accepted(self) -> bool:
        """The fold did it."""
        return self.outcome is not None and self.outcome.is_accepted


async def write_command(parts: Parts, command: Command) -> Written:
    """Append a command to the control log and wait until this replica has folded it. A refusal is no exception.

    Raises:
        ApiError: `KAFKA_DOWN` or `TOO_LARGE` if the brokers do not take it, `INVALID` if its descriptor is none, `KEY_REUSED` if
            another command had its id before.
    """
    before = parts.follower.state
    first = before.commands.get(command.id) if command.id else None
    if first is not None:
        await _check_same(parts, command, first)
        return Written(command, first, before.outcomes.get(first), before, is_retry=True)
    try:
        record = encode_command(command)
    except InvalidDescriptorError as error:
        raise ApiError(INVALID, str(error)) from error
    offset = await parts.publisher.publish(record.key, record.value, dict(record.headers))
    is_folded = await parts.follower.wait_applied(offset, parts.settings.waits.fold_seconds)
    after = parts.follower.state
    first = after.announcement_of(offset) if is_folded else offset
    if first != offset:
        await _check_same(parts, command, first)
    return Written(command, first, after.outcomes.get(first) if is_folded else None, after, first != offset)


def try_command(catalogue: Catalogue, command: Command) -> Written:
    """What a command would do now: folded in memory, written nowhere."""
    now_ms = time.time_ns() // 1_000_000
    entry = LogEntry(catalogue.offset + 1, now_ms, replace(command, id="", payload=None))
    after = fold(catalogue, entry)
    return Written(command, entry.offset, after.outcomes.get(entry.offset), after, is_dry_run=True)


def refusal(written: Written, current: BaseModel | None = None) -> ApiError | None:
    """The error that a refused command is to its client; `None` if it was accepted, or is not read back yet.

    Args:
        written: The command.
        current: How the thing that it was to change is now; told where the command was stale.
    """
    outcome = written.outcome
    if outcome is None or outcome.is_accepted:
        return None
    problem = REFUSALS[outcome.problem]
    if outcome.problem == "invalid" and isinstance(written.command.body, ChangeRoute | StartRollout):
        problem = PLAN_INVALID
    extra = {}
    if outcome.problem == "stale":
        extra = {
            "current": current.model_dump(mode="json") if current is not None else None,
            "revision": revision_of(written.catalogue, written.command.body),
        }
    headers = {} if written.is_dry_run else {CONTROL_OFFSET: str(written.offset)}
    return ApiError(problem, outcome.reason, extra=extra, headers=headers)


def command_id(idempotency_key: str | None) -> str:
    """The id of a command: the key itself, its digest where it is too long, or a new one."""
    if idempotency_key is None:
        return uuid.uuid4().hex
    if len(idempotency_key) <= LONGEST_REQUEST_ID:
        return idempotency_key
    return hashlib.sha256(idempotency_key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """What all writes have in common: who asks, and on which conditions. A dependency of every route that writes."""

    request: Request
    parts: Parts
    actor: str
    idempotency_key: str | None
    is_dry_run: bool
    if_match: str | None
    if_none_match: str | None

    def expected(self, snapshot: Snapshot, body: CommandBody, *, is_required: bool = False) -> int | None:
        """The revision that the command is to expect. See `expected_revision`; a dry run needs no header."""
        found = revision_of(snapshot.catalogue, body)
        return expected_revision(
            self.if_match, self.if_none_match, found, is_required=is_required and not self.is_dry_run
        )

    def command(
        self, body: CommandBody, reason: str, expected: int | None = None, payload: bytes | None = None
    ) -> Command:
        """A command of this request."""
        return Command(command_id(self.idempotency_key), self.actor, reason, body, expected, payload)


async def asked(
    request: Request,
    parts: PartsHere,
    dry_run: Annotated[bool, Query(description="Answer what would happen; write nothing.")] = False,
    x_sluice_actor: Annotated[
        str, Header(min_length=1, max_length=128, pattern=r"^[ -~]+$", description="Who asks, for the record.")
    ] = DEFAULT_ACTOR,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern="^[!-~]+$",
            description="Names this act: repeated with the same key and body within 24 hours, it answers the same and is done "
            "once.",
        ),
    ] = None,
    if_match: Annotated[
        str | None, Header(description='Only if this is its `ETag`, or `"<revision>"`; `*`: if it is there.')
    ] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: only if it is not there yet.")] = None,
) -> Asked:
    """See `Asked`."""
    return Asked(request, parts, x_sluice_actor, idempotency_key, dry_run, if_match, if_none_match)


AskedHere = Annotated[Asked, Depends(asked)]

Answer = Callable[[Written, Snapshot], Response]
"""Makes the response to an accepted command, from a state that has it."""

Current = Callable[[Snapshot], BaseModel | None]
"""How the thing that a command changes is in a state."""


async def perform(
    asked: Asked,
    snapshot: Snapshot,
    command: Command,
    answer: Answer,
    current: Current | None = None,
    fingerprint: str | None = None,
    *,
    may_be_unread: bool = False,
) -> Response:
    """Do what a request asks for, once, and answer.

    Args:
        asked: The request.
        snapshot: The state that it was decided on.
        command: Of `asked.command`.
        answer: Called if it was accepted.
        current: For the answer to a stale one.
        fingerprint: Digest of the body; by default that of its bytes.
        may_be_unread: `answer` is called as well where this replica did not read the command back in time.

    Raises:
        ApiError: The command was refused; or see `write_command`; `IN_FLIGHT` or `KEY_REUSED` from its key; `NOT_CAUGHT_UP` if it
            was written and what became of it is not known yet.
    """
    if asked.is_dry_run:
        written = try_command(snapshot.catalogue, command)
        return _answered(written, replace(snapshot, catalogue=written.catalogue), answer, current)
    if asked.idempotency_key is None:
        return await _done(asked.parts, command, answer, current, may_be_unread)
    request = asked.request
    digest = fingerprint or hashlib.sha256(await request.body()).hexdigest()
    query = "&".join(f"{name}={value}" for name, value in sorted(request.query_params.multi_items()))
    whole = hashlib.sha256(f"{request.method} {request.url.path}?{query} {digest}".encode()).hexdigest()
    stored = await asked.parts.replays.begin(asked.idempotency_key, whole)
    if stored is not None:
        headers = {**stored.headers, REPLAYED: "true"}
        return Response(stored.body, stored.status, headers, media_type=JSONResponse.media_type)
    try:
        response = await _done(asked.parts, command, answer, current, may_be_unread)
    except BaseException:
        await asked.parts.replays.abandon(asked.idempotency_key)
        raise
    kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
    body = bytes(response.body).decode()
    await asked.parts.replays.finish(asked.idempotency_key, StoredAnswer(whole, response.status_code, kept, body))
    return response


def json_answer(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A shape as a JSON response."""
    return Response(body.model_dump_json(), status, headers, media_type=JSONResponse.media_type)


async def _done(parts: Parts, command: Command, answer: Answer, current: Current | None, unread: bool) -> Response:
    written = await write_command(parts, command)
    if written.outcome is None and not unread:
        detail = f"the command is written at offset {written.offset}, and this replica has not read it back yet"
        raise ApiError(NOT_CAUGHT_UP, detail, retry_after_seconds=1, headers={CONTROL_OFFSET: str(written.offset)})
    membership = await parts.membership()
    return _answered(written, Snapshot(written.catalogue, written.catalogue.offset, membership), answer, current)


def _answered(written: Written, snapshot: Snapshot, answer: Answer, current: Current | None) -> Response:
    is_stale = written.outcome is not None and written.outcome.problem == "stale"
    refused = refusal(written, current(snapshot) if current is not None and is_stale else None)
    if refused is not None:
        raise refused
    response = answer(written, snapshot)
    if written.is_dry_run:
        response.status_code = 200
        response.headers[DRY_RUN] = "true"
        return response
    response.headers[CONTROL_OFFSET] = str(written.offset)
    if written.is_retry:
        response.headers[REPLAYED] = "true"
    return response


async def _check_same(parts: Parts, command: Command, first: int) -> None:
    """Pass a command that says the same as the one that had its id before."""
    record = await parts.log_reader.read(first)
    found = decode_record(record.headers, record.key, record.value, parts.dialect)
    if not isinstance(found, Command) or _said(found.body) != _said(command.body):
        raise ApiError(KEY_REUSED, f"this Idempotency-Key was used for another command, at offset {first}")


def _said(body: CommandBody) -> CommandBody:
    """A body without what was found out about it and not said: the name of a file, whether a worker lived."""
    if not isinstance(body, RegisterVersion):
        return body
    return replace(body, descriptor=replace(body.descriptor, source=""), mode="any" if body.mode else "")
