"""Work beside the stream, as the log knows it: who asked, which worker has it, how it went."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class JobState(Enum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """It is not over."""
        return self in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """One back-test or correction.

    Attributes:
        id: Control offset of the command that asked for it.
        kind: `backtest` or `correction`.
        spec: What is to be done, as JSON.
        actor: Who asked.
        reason: Why.
        requested_at_ms: When, milliseconds since 1970 UTC.
        state: Where it is.
        worker: Who has it, or had it last.
        epoch: Which start of that worker.
        updated_at_ms: When it was last heard of, milliseconds since 1970 UTC.
        verdict: `passed` or `failed`, where it was asked for one.
        report: Its last report, as JSON.
        model: Of the version that it is about.
        version: That version; 0 if it is about none.
    """

    id: int
    kind: str
    spec: str
    actor: str
    reason: str
    requested_at_ms: int
    state: JobState = JobState.QUEUED
    worker: str = ""
    epoch: str = ""
    updated_at_ms: int = 0
    verdict: str = ""
    report: str = ""
    model: str = ""
    version: int = 0
