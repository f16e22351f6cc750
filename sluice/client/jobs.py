"""What the API answers about work beside the stream, and which records it is to take."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct


class JobVersion(Struct, frozen=True, kw_only=True):
    """A version that a job is about."""

    model: str
    version: str


class Job(Struct, frozen=True, kw_only=True):
    """A back-test or a correction.

    Attributes:
        operation: Follows it to its end.
        kind: `backtest` or `correction`.
        state: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
        message: What it waits for, how far it is, or why it failed.
        about: The candidate, or the good version.
        job: What is to be done, as workers read it.
        worker: Who has it, or had it last.
        verdict: `passed` or `failed`, of a back-test that was asked for one.
        report: How far it is, or what came of it.
    """

    id: str
    operation: str = ""
    kind: str
    state: str
    message: str = ""
    stream: str = ""
    about: JobVersion | None = None
    job: dict[str, Any] = {}  # msgspec copies an empty default
    worker: str = ""
    verdict: str | None = None
    report: dict[str, Any] | None = None
    actor: str = ""
    reason: str = ""
    requested_at: datetime | None = None
    updated_at: datetime | None = None
    control_offset: int = -1

    @property
    def is_open(self) -> bool:
        """It is not over."""
        return self.state in ("queued", "running")


class OffsetRange(Struct, frozen=True):
    """Records of one partition of the data topic: from offset `first` up to, without it, `end`."""

    partition: int
    first: int
    end: int


class TimeRange(Struct, frozen=True):
    """Records of all partitions, by time: RFC 3339, `end` exclusive."""

    first: str
    end: str


class PassIf(Struct, frozen=True, kw_only=True):
    """What a back-test must keep to be passed.

    Attributes:
        max_disagreement: Share of the records that both sides scored on which they may differ.
        max_error_rate: Share of the records that the candidate may fail on.
        min_records: So many must have been scored by both sides.
    """

    max_disagreement: float | None = None
    max_error_rate: float | None = None
    min_records: int = 1
