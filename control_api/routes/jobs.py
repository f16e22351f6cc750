"""Jobs: back-tests of a candidate, and corrections of what a bad version has scored."""

from __future__ import annotations

import hashlib
import time
import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from fastapi.responses import Response

from control_api.access import authorize_write
from control_api.commanding import Asked, AskedHere, Written, command_id, json_answer, perform
from control_api.core import jobs as views
from control_api.core.operations import operation_id
from control_api.core.snapshot import Snapshot
from control_api.core.targets import UnknownTargetError
from control_api.errors import INVALID, NOT_CAUGHT_UP, NOT_FOUND, PAGE_TOKEN, ApiError
from control_api.pages import page
from control_api.reading import PartsHere, SnapshotNow, answer
from control_api.schemas.jobs import BacktestGiven, CorrectionGiven, Job, Jobs, JobStateWord
from control_api.schemas.parameters import IfNoneMatch, MaxResults, PageToken, ReasonParameter
from control_api.schemas.problem import WRITES, answers
from model_store.core import jobs_state
from model_store.core.commands import ReportJob, RequestJob
from model_store.core.jobs import InvalidJobError
from model_store.core.jobs_state import JobState

router = APIRouter(prefix="/api/v1", tags=["jobs"])

Kind = Literal["backtests", "corrections"]
JobId = Annotated[str, Path(pattern=r"^[0-9]{1,18}$", description="Id of the job.", examples=["42"])]
State = Annotated[JobStateWord | None, Query(description="Only jobs in this state.")]

_READS = answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP)
_LISTS = answers(PAGE_TOKEN, INVALID, NOT_CAUGHT_UP)
_WRITES = answers(*WRITES, NOT_FOUND)


@router.post(
    "/backtests", status_code=202, response_model=Job, dependencies=[Depends(authorize_write)], responses=_WRITES
)
async def request_backtest(
    asked: AskedHere, snapshot: SnapshotNow, given: Annotated[BacktestGiven, Body()]
) -> Response:
    """Score retained records with a candidate and compare. A worker does it, beside the stream, at the speed that is asked."""
    known = _known(views.BACKTEST, asked, snapshot)
    if known is not None:
        return await _request(asked, snapshot, known, given.reason)
    try:
        body = views.backtest(snapshot.catalogue, given, _job_name("backtest", asked))
    except UnknownTargetError as error:
        raise ApiError(NOT_FOUND, str(error)) from error
    except (views.JobRefusedError, InvalidJobError) as error:
        raise ApiError(INVALID, str(error)) from error
    return await _request(asked, snapshot, body, given.reason)


@router.post(
    "/corrections", status_code=202, response_model=Job, dependencies=[Depends(authorize_write)], responses=_WRITES
)
async def request_correction(
    asked: AskedHere, parts: PartsHere, snapshot: SnapshotNow, given: Annotated[CorrectionGiven, Body()]
) -> Response:
    """Score again what a bad version has scored, and write results that supersede its. The log knows which records."""
    known = _known(views.CORRECTION, asked, snapshot)
    if known is not None:
        return await _request(asked, snapshot, known, given.reason)
    try:
        stream, topic = views.stream_named(snapshot.catalogue, given.stream)
        ends = await parts.groups.ends(topic)
        name = _job_name("correction", asked)
        body = views.correction(snapshot.catalogue, given, name, stream, ends, time.time_ns() // 1_000_000)
    except UnknownTargetError as error:
        raise ApiError(NOT_FOUND, str(error)) from error
    except (views.JobRefusedError, InvalidJobError) as error:
        raise ApiError(INVALID, str(error)) from error
    return await _request(asked, snapshot, body, given.reason)


@router.get("/backtests", response_model=Jobs, responses=_LISTS)
async def list_backtests(
    request: Request,
    snapshot: SnapshotNow,
    state: State = None,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Back-tests, newest first."""
    return _list(request, snapshot, views.BACKTEST, state, max_results, page_token)


@router.get("/corrections", response_model=Jobs, responses=_LISTS)
async def list_corrections(
    request: Request,
    snapshot: SnapshotNow,
    state: State = None,
    max_results: MaxResults = 100,
    page_token: PageToken = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Corrections, newest first."""
    return _list(request, snapshot, views.CORRECTION, state, max_results, page_token)


@router.get("/backtests/{id}", response_model=Job, responses=_READS)
async def read_backtest(
    request: Request, snapshot: SnapshotNow, id: JobId, if_none_match: IfNoneMatch = None
) -> Response:
    """How far a back-test is, and its report."""
    return answer(request, snapshot, views.job_view(snapshot, _find(snapshot, views.BACKTEST, id)))


@router.get("/corrections/{id}", response_model=Job, responses=_READS)
async def read_correction(
    request: Request, snapshot: SnapshotNow, id: JobId, if_none_match: IfNoneMatch = None
) -> Response:
    """How far a correction is, and its report."""
    return answer(request, snapshot, views.job_view(snapshot, _find(snapshot, views.CORRECTION, id)))


@router.delete(
    "/backtests/{id}", status_code=202, response_model=Job, dependencies=[Depends(authorize_write)], responses=_WRITES
)
async def cancel_backtest(asked: AskedHere, snapshot: SnapshotNow, id: JobId, reason: ReasonParameter = "") -> Response:
    """Give a back-test up; the worker that has it stops soon."""
    return await _cancel(asked, snapshot, _find(snapshot, views.BACKTEST, id), reason)


@router.delete(
    "/corrections/{id}", status_code=202, response_model=Job, dependencies=[Depends(authorize_write)], responses=_WRITES
)
async def cancel_correction(
    asked: AskedHere, snapshot: SnapshotNow, id: JobId, reason: ReasonParameter = ""
) -> Response:
    """Give a correction up; the worker that has it stops soon, and what it wrote by then stays."""
    return await _cancel(asked, snapshot, _find(snapshot, views.CORRECTION, id), reason)


async def _request(asked: Asked, snapshot: Snapshot, body: RequestJob, reason: str) -> Response:
    def respond(written: Written, after: Snapshot) -> Response:
        response = _respond(after, written.offset)
        response.headers["Location"] = f"/api/v1/operations/{operation_id(written.offset)}"
        response.headers["Retry-After"] = "1"
        return response

    return await perform(asked, snapshot, asked.command(body, reason), respond)


async def _cancel(asked: Asked, snapshot: Snapshot, job: jobs_state.Job, reason: str) -> Response:
    command = asked.command(ReportJob(job.id, JobState.CANCELLED.value), reason)
    return await perform(asked, snapshot, command, lambda _, after: _respond(after, job.id))


def _list(
    request: Request, snapshot: Snapshot, kind: str, state: str | None, max_results: int, page_token: str | None
) -> Response:
    jobs = (snapshot.catalogue.jobs.get(number) for number in sorted(snapshot.catalogue.jobs, reverse=True))
    found = [
        job for job in jobs if job is not None and job.kind == kind and (state is None or job.state.value == state)
    ]
    filters = {"path": request.url.path, "state": state}
    shown, token = page(found, lambda job: (-job.id,), max_results, page_token, filters)
    return answer(request, snapshot, Jobs(jobs=[views.job_view(snapshot, job) for job in shown], next_page_token=token))


def _find(snapshot: Snapshot, kind: str, id: str) -> jobs_state.Job:
    found = snapshot.catalogue.jobs.get(int(id))
    if found is None or found.kind != kind:
        raise ApiError(NOT_FOUND, f"there is no {kind} {id}")
    return found


def _known(kind: str, asked: Asked, snapshot: Snapshot) -> RequestJob | None:
    """What a repeated request asked for the first time: made anew it would differ, since time goes on."""
    key = asked.idempotency_key
    offset = snapshot.catalogue.commands.get(command_id(key)) if key is not None else None
    job = snapshot.catalogue.jobs.get(offset) if offset is not None else None
    return RequestJob(kind, job.spec, job.model, job.version) if job is not None and job.kind == kind else None


def _job_name(kind: str, asked: Asked) -> str:
    """The id that a job's results carry: the same for the same act."""
    act = asked.idempotency_key or uuid.uuid4().hex
    return f"{kind}-{hashlib.sha256(act.encode()).hexdigest()[:16]}"


def _respond(snapshot: Snapshot, offset: int) -> Response:
    job = snapshot.catalogue.jobs.get(offset)
    if job is None:
        raise ApiError(NOT_FOUND, f"job {offset} is forgotten")
    return json_answer(views.job_view(snapshot, job), 202)
