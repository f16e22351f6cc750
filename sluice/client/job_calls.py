"""Calls about work beside the stream: back-tests, which score retained records with a candidate, and corrections, which
score records again that a bad version scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.client.calls import API, Call, PagedCall, paged, segment
from sluice.client.conditions import write
from sluice.client.jobs import Job

_BACKTESTS = f"{API}/backtests"
_CORRECTIONS = f"{API}/corrections"


def start_backtest(job: Mapping[str, Any], *, reason: str = "", dry_run: bool = False) -> Call[Job]:
    """Have a worker score retained records with a candidate, beside the stream and at a bounded speed."""
    return write("POST", _BACKTESTS, Job, job, reason=reason, dry_run=dry_run)


def backtests() -> PagedCall[Job]:
    """All back-tests, newest first."""
    return paged(_BACKTESTS, Job, "backtests")


def backtest(id: str) -> Call[Job]:
    """One back-test; with its report when it is done."""
    return Call("GET", f"{_BACKTESTS}/{segment(id)}", Job)


def cancel_backtest(id: str, *, reason: str = "", dry_run: bool = False) -> Call[Job]:
    """End a back-test that is not over."""
    return write("DELETE", f"{_BACKTESTS}/{segment(id)}", Job, reason=reason, dry_run=dry_run)


def start_correction(job: Mapping[str, Any], *, reason: str = "", dry_run: bool = False) -> Call[Job]:
    """Have the records scored again that a bad version scored; results that supersede are written, each once."""
    return write("POST", _CORRECTIONS, Job, job, reason=reason, dry_run=dry_run)


def corrections() -> PagedCall[Job]:
    """All corrections, newest first."""
    return paged(_CORRECTIONS, Job, "corrections")


def correction(id: str) -> Call[Job]:
    """One correction; with its report when it is done."""
    return Call("GET", f"{_CORRECTIONS}/{segment(id)}", Job)


def cancel_correction(id: str, *, reason: str = "", dry_run: bool = False) -> Call[Job]:
    """End a correction that is not over."""
    return write("DELETE", f"{_CORRECTIONS}/{segment(id)}", Job, reason=reason, dry_run=dry_run)
