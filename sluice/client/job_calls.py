"""Calls about work beside the stream: back-tests, which score retained records with a candidate, and corrections, which
score records again that a bad version scored. A worker does them, at a bounded speed; the operation of the `Job` follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluice.client.calls import API, Call, PagedCall, paged, segment
from sluice.client.conditions import write
from sluice.client.jobs import Job, OffsetRange, PassIf, TimeRange
from sluice.client.plans import Target

RECORDED = "recorded"
"""As a baseline: the live results."""

_BACKTESTS = f"{API}/backtests"
_CORRECTIONS = f"{API}/corrections"


def start_backtest(
    stream: str,
    candidate: Target,
    records: Sequence[OffsetRange] | TimeRange,
    *,
    baseline: Target | str = RECORDED,
    data_type: str | None = None,
    segment_by: str | None = None,
    tolerance: float = 0.0,
    max_records: int | None = None,
    records_per_second: int | None = None,
    pass_if: PassIf | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[Job]:
    """Score retained records with a candidate and compare.

    Args:
        stream: Of the workers' settings.
        candidate: Scores them.
        records: Which ones.
        baseline: What it is compared with: `RECORDED`, or another version that scores them too.
        data_type: Only records of this data type.
        segment_by: A field of the stream; the comparison is also made for each of its values.
        tolerance: Numbers that differ by no more are the same.
        max_records: At most so many, spread over the partitions.
        records_per_second: At most so fast.
        pass_if: Without it there is no verdict, and no policy is met.
        reason: Why, for the record.
        dry_run: Write nothing; answer what it would be.
    """
    body: dict[str, Any] = {
        "stream": stream,
        "data_type": data_type,
        "candidate": candidate.body(),
        "baseline": baseline.body() if isinstance(baseline, Target) else baseline,
        "segment_by": segment_by,
        "tolerance": tolerance,
        "max_records": max_records,
        "records_per_second": records_per_second,
        "pass_if": None
        if pass_if is None
        else {
            "max_disagreement": pass_if.max_disagreement,
            "max_error_rate": pass_if.max_error_rate,
            "min_records": pass_if.min_records,
        },
    }
    if isinstance(records, TimeRange):
        body |= {"from_time": records.first, "to_time": records.end}
    else:
        body["ranges"] = [{"partition": each.partition, "from": each.first, "to": each.end} for each in records]
    return write("POST", _BACKTESTS, Job, body, reason=reason, dry_run=dry_run)


def backtests(*, state: str = "") -> PagedCall[Job]:
    """Back-tests, newest first; only those in `state`."""
    return paged(_BACKTESTS, Job, "jobs", {"state": state})


def backtest(id: str) -> Call[Job]:
    """How far a back-test is, and its report."""
    return Call("GET", f"{_BACKTESTS}/{segment(id)}", Job)


def cancel_backtest(id: str, *, reason: str = "", dry_run: bool = False) -> Call[Job]:
    """Give a back-test up; the worker that has it stops soon."""
    return write("DELETE", f"{_BACKTESTS}/{segment(id)}", Job, reason=reason, dry_run=dry_run)


def start_correction(
    key: str,
    bad: Target,
    *,
    good: Target | None = None,
    stream: str | None = None,
    records_per_second: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[Job]:
    """Score again what a bad version has scored; the log knows which records. Each gets at most one result that supersedes.

    Args:
        key: Of the route that had the bad version.
        bad: Whose results no longer hold.
        good: Scores the records again; left out, what the route serves now.
        stream: Left out: the only one that workers have.
        records_per_second: At most so fast.
        reason: Why, for the record.
        dry_run: Write nothing; answer what it would be, with the offsets that are affected.
    """
    body: dict[str, Any] = {
        "key": key,
        "bad": bad.body(),
        "good": good.body() if good is not None else None,
        "stream": stream,
        "records_per_second": records_per_second,
    }
    return write("POST", _CORRECTIONS, Job, body, reason=reason, dry_run=dry_run)


def corrections(*, state: str = "") -> PagedCall[Job]:
    """Corrections, newest first; only those in `state`."""
    return paged(_CORRECTIONS, Job, "jobs", {"state": state})


def correction(id: str) -> Call[Job]:
    """How far a correction is, and its report."""
    return Call("GET", f"{_CORRECTIONS}/{segment(id)}", Job)


def cancel_correction(id: str, *, reason: str = "", dry_run: bool = False) -> Call[Job]:
    """Give a correction up; the worker that has it stops soon, and what it wrote by then stays."""
    return write("DELETE", f"{_CORRECTIONS}/{segment(id)}", Job, reason=reason, dry_run=dry_run)
