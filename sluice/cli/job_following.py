"""Showing and following work beside the stream: back-tests and corrections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import typer

from sluice.cli import EXIT_FAILED
from sluice.cli.output import ago, print_columns, print_fields, print_json, when
from sluice.cli.progress import follow
from sluice.client import Client
from sluice.client.jobs import Job, OffsetRange, TimeRange

JOB_SECONDS = 3_600.0
"""Default of `--timeout`."""


def follow_job(
    client: Client, job: Job, read: Callable[[str], Job], wait: bool, seconds: float, as_json: bool, dry_run: bool
) -> None:
    """Show a job that was asked for, at its end if it is waited for; status 1 if its verdict is `failed`."""
    if dry_run or not wait:
        print_json(job) if as_json else print_job(job)
        if dry_run and not as_json:
            typer.echo("Nothing was written.")
        return
    if not as_json:
        typer.echo(f"{job.kind} {job.id}: {job.message or job.state}")
    follow(client, job.operation, True, seconds, False) if not as_json else client.wait(job.operation, seconds)
    done = read(job.id)
    print_json(done) if as_json else print_job(done)
    if done.verdict == "failed":
        typer.secho(f"The {done.kind} was not passed.", fg="red", err=True)
        raise SystemExit(EXIT_FAILED)


def print_job(job: Job) -> None:
    """All of it."""
    print_fields(
        [
            (job.kind, f"{job.id} ({job.operation})"),
            ("state", job.state + (f": {job.message}" if job.message else "")),
            ("verdict", job.verdict or ""),
            ("about", f"{job.about.model} version {job.about.version}" if job.about else ""),
            ("stream", job.stream),
            ("worker", job.worker),
            ("asked", f"{when(job.requested_at)} by {job.actor or '-'}" + (f": {job.reason}" if job.reason else "")),
            ("ranges", _ranges(job.job.get("ranges"))),
        ]
    )
    for line in _report(job.report or {}):
        typer.echo(f"  {line}")


def print_jobs(found: Sequence[Job], if_empty: str) -> None:
    """A line for each."""
    rows = [
        (
            job.id,
            f"{job.about.model} {job.about.version}" if job.about else "-",
            job.stream,
            job.state,
            job.verdict or "-",
            ago(job.requested_at),
            job.actor or "-",
            job.message,
        )
        for job in found
    ]
    print_columns(("id", "version", "stream", "state", "verdict", "asked", "by", "message"), rows, if_empty)


def records_of(ranges: Sequence[str], first: str | None, end: str | None) -> list[OffsetRange] | TimeRange:
    """`PARTITION:FIRST-END` of a repeated option, or an interval of time."""
    if bool(ranges) == bool(first or end) or bool(first) != bool(end):
        raise typer.BadParameter("say which records: --range PARTITION:FIRST-END, or --from TIME and --to TIME")
    if first and end:
        return TimeRange(first, end)
    found = []
    for text in ranges:
        partition, colon, offsets = text.partition(":")
        begin, dash, stop = offsets.partition("-")
        if not (colon and dash and partition.isdecimal() and begin.isdecimal() and stop.isdecimal()):
            message = f"expected PARTITION:FIRST-END, such as 0:1000-5000 (5000 is not taken), found {text!r}"
            raise typer.BadParameter(message, param_hint="--range")
        found.append(OffsetRange(int(partition), int(begin), int(stop)))
    return found


def _ranges(found: Any) -> str:
    if isinstance(found, list):
        return ", ".join(f"{each.get('partition')}:{each.get('from')}-{each.get('to')}" for each in found)
    return msgspec.json.encode(found).decode() if found else ""


def _report(report: dict[str, Any], before: str = "") -> list[str]:
    """A line for each number of a report."""
    lines: list[str] = []
    for name, value in report.items():
        where = f"{before}{name}"
        if isinstance(value, dict):
            lines += _report(value, f"{where}.")
        elif isinstance(value, list) and value:
            lines.append(f"{where}: {msgspec.json.encode(value).decode()}")
        elif value is not None and value != []:
            lines.append(f"{where}: {value:,.6g}" if isinstance(value, float) else f"{where}: {value}")
    return lines
