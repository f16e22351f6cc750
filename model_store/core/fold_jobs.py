"""The fold of work beside the stream: asked for, taken by one worker, reported."""

from __future__ import annotations

import json

from model_store.core.commands import ClaimJob, Command, ReportJob, RequestJob
from model_store.core.errors import CommandRefusedError
from model_store.core.fold_versions import passed_backtest
from model_store.core.jobs_state import Job, JobState
from model_store.core.jobs_verdict import FAILED, PASSED, PassIf, verdict
from model_store.core.replacing import replace
from model_store.core.state import Catalogue, LogEntry

KINDS = ("backtest", "correction")


def request_job(catalogue: Catalogue, entry: LogEntry, command: Command, body: RequestJob) -> Catalogue:
    """A new job, for whichever worker takes it."""
    if body.kind not in KINDS:
        raise CommandRefusedError("invalid", f"a job is one of {', '.join(KINDS)}, not {body.kind!r}")
    job = Job(
        entry.offset, body.kind, body.spec, command.actor, command.reason, entry.timestamp_ms,
        updated_at_ms=entry.timestamp_ms, model=body.model, version=body.version,
    )  # fmt: skip
    return _with(catalogue, job)


def claim_job(catalogue: Catalogue, entry: LogEntry, body: ClaimJob) -> Catalogue:
    """The first to ask has it."""
    job = _open(catalogue, body.job)
    if job.state is not JobState.QUEUED:
        raise CommandRefusedError("conflict", f"job {job.id} is with worker {job.worker} already")
    return _with(
        catalogue,
        replace(job, state=JobState.RUNNING, worker=body.worker, epoch=body.epoch, updated_at_ms=entry.timestamp_ms),
    )


def report_job(catalogue: Catalogue, entry: LogEntry, body: ReportJob) -> Catalogue:
    """How far it is, or how it ended; from the start of the worker that has it, or from a control API replica."""
    job = _open(catalogue, body.job)
    if body.epoch and body.epoch != job.epoch:
        raise CommandRefusedError("conflict", f"job {job.id} is not with this start of worker {body.worker}")
    try:
        state = JobState(body.state)
    except ValueError:
        raise CommandRefusedError("invalid", f"{body.state!r} is no state of a job") from None
    if state is JobState.QUEUED and job.state is not JobState.RUNNING:
        raise CommandRefusedError("conflict", f"job {job.id} is {job.state.value}")
    job = replace(
        job,
        state=state,
        updated_at_ms=entry.timestamp_ms,
        verdict=body.verdict or job.verdict,
        report=body.report or job.report,
        epoch="" if state is JobState.QUEUED else job.epoch,
    )
    catalogue = _with(catalogue, job)
    if state is JobState.SUCCEEDED and job.kind == "backtest" and _has_passed(catalogue, job):
        return passed_backtest(catalogue, entry, job.model, job.version, job.id)
    return catalogue


def _has_passed(catalogue: Catalogue, job: Job) -> bool:
    """By the limits of the model's policy, where it asks for a back-test, and by those of whoever asked for this one."""
    model = catalogue.models.get(job.model)
    if model is None or not model.policy.needs_backtest:
        return job.verdict == PASSED
    policy = model.policy
    limits = PassIf(policy.backtest_disagreement, policy.backtest_errors, policy.backtest_records or 1)
    try:
        is_within = verdict(limits, json.loads(job.report)).word == PASSED
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False  # not a report of a back-test
    return is_within and job.verdict != FAILED


def _open(catalogue: Catalogue, job_id: int) -> Job:
    job = catalogue.jobs.get(job_id)
    if job is None:
        raise CommandRefusedError("not-found", f"there is no job {job_id}")
    if not job.state.is_open:
        raise CommandRefusedError("conflict", f"job {job_id} is over: {job.state.value}")
    return job


def _with(catalogue: Catalogue, job: Job) -> Catalogue:
    return replace(catalogue, jobs=catalogue.jobs.set(job.id, job, lambda other: other.state.is_open))
