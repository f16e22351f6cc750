"""`sluice backtest`: trying a version on past records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.job_following import JOB_SECONDS, follow_job, print_job, print_jobs, records_of
from sluice.cli.output import print_json
from sluice.cli.plan_text import target_of
from sluice.cli.writing import ActorOption, DryRunOption, ReasonOption, TimeoutOption, WaitOption
from sluice.client.job_calls import RECORDED
from sluice.client.jobs import PassIf
from sluice.stack.lifecycle import DEFAULT_FOLDER

IdArgument = Annotated[str, typer.Argument(metavar="ID")]


def start(
    candidate: Annotated[str, typer.Argument(metavar="MODEL:VERSION", help="What is tried; or MODEL:ALIAS.")],
    stream: Annotated[str, typer.Option(metavar="NAME", help="Stream of the workers' settings.")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Records from then on: 2026-03-01T12:00:00Z.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Records up to then.")] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="PARTITION:FIRST-END", help="Or offsets: 0:1000-5000. May be repeated."),
    ] = None,
    against: Annotated[
        str, typer.Option(metavar="recorded|MODEL:VERSION", help="Compare with the live results, or with a version.")
    ] = RECORDED,
    data_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Only records of this data type.")] = None,
    segment_by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Compare for each value of this field too.")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Numbers that differ by no more are the same.")] = 0.0,
    max_records: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many.")] = None,
    rate: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Records a second at most; default 2000.")
    ] = None,
    max_disagreement: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="SHARE", help="Passed only if they differ on no more.")
    ] = None,
    max_error_rate: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="SHARE", help="Passed only if it fails on no more.")
    ] = None,
    min_records: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Passed only if both scored so many.")
    ] = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = JOB_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Score past records with a version and compare. A worker does it beside the stream; nothing reaches the result topic.

    With --max-disagreement, --max-error-rate or --min-records there is a verdict, which a policy may ask for; exit status 1
    if it is not passed.
    """
    chosen = records_of(range_ or [], from_, to)
    tried = target_of(candidate, "MODEL:VERSION")
    baseline = RECORDED if against == RECORDED else target_of(against, "--against")
    is_judged = any(each is not None for each in (max_disagreement, max_error_rate, min_records))
    limits = PassIf(max_disagreement=max_disagreement, max_error_rate=max_error_rate, min_records=min_records or 1)
    with connected(api, data, actor) as client:
        job = client.start_backtest(
            stream,
            tried,
            chosen,
            baseline=baseline,
            data_type=data_type,
            segment_by=segment_by,
            tolerance=tolerance,
            max_records=max_records,
            records_per_second=rate,
            pass_if=limits if is_judged else None,
            reason=reason,
            dry_run=dry_run,
        )
        follow_job(client, job, client.backtest, wait, timeout, as_json, dry_run)


def show(
    id: IdArgument,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show how far a back-test is, or what came of it."""
    with connected(api, data) as client:
        found = client.backtest(id.removeprefix("op-"))
        print_json(found) if as_json else print_job(found)


def list_(
    state: Annotated[str, typer.Option(help="queued, running, succeeded, failed or cancelled.")] = "",
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List back-tests, newest first."""
    with connected(api, data) as client:
        found = client.backtests(state=state)
        print_json(found) if as_json else print_jobs(found, "No back-test: `sluice backtest start` begins one.")


def cancel(
    id: IdArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Give a back-test up; the worker that has it stops soon."""
    with connected(api, data, actor) as client:
        found = client.cancel_backtest(id.removeprefix("op-"), reason=reason, dry_run=dry_run)
        print_json(found) if as_json else print_job(found)


def group() -> typer.Typer:
    """The commands."""
    commands: dict[str, Callable[..., None]] = {"start": start, "show": show, "list": list_, "cancel": cancel}
    return group_of(commands, "Try a version on past records before it serves.", "list")
