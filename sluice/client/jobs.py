"""What the API answers about work beside the stream."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct


class Job(Struct, frozen=True, kw_only=True):
    """A back-test or a correction.

    Attributes:
        operation: Follows it to its end.
        state: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
        verdict: `passed` or `failed`, of a back-test that was asked for one.
        report: How far it is, or what came of it.
        job: What was asked for.
        worker: Who has it, or had it last.
    """

    id: str
    operation: str = ""
    kind: str = ""
    state: str
    verdict: str | None = None
    report: Any = None
    job: Any = None
    worker: str | None = None
    model: str | None = None
    version: str | None = None
    actor: str = ""
    reason: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """It is not over."""
        return self.state in ("queued", "running")
