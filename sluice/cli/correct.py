"""`sluice correct`: scoring records again that a bad version scored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.job_following import JOB_SECONDS, follow_job, print_job, print_jobs
from sluice.cli.output import print_json
from sluice.cli.plan_text import target_of
from sluice.cli.writing import ActorOption, DryRunOption, ReasonOption, TimeoutOption, WaitOption
from sluice.stack.lifecycle import DEFAULT_FOLDER

IdArgument = Annotated[str, typer.Argument(metavar="ID")]


def start(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The route that had the bad version.")],
    bad: Annotated[str, typer.Option(metavar="MODEL:VERSION", help="Whose results no longer hold.")],
    good: Annotated[
        str | None, typer.Option(metavar="MODEL:VERSION", help="Scores them again; default: what the route serves now.")
    ] = None,
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="Default: the only one that workers have.")] = None,
    rate: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Records a second at most; default 2000.")
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
    """Score again what a bad version has scored; each new result says which one it supersedes.

    First `sluice route rollback KEY`, then this. --dry-run lists the affected offsets. Doing it twice is harmless: a record gets
    at most one result of a correction.
    """
    worse = target_of(bad, "--bad")
    better = target_of(good, "--good") if good else None
    with connected(api, data, actor) as client:
        job = client.start_correction(
            key, worse, good=better, stream=stream, records_per_second=rate, reason=reason, dry_run=dry_run
        )
        follow_job(client, job, client.correction, wait, timeout, as_json, dry_run)


def show(
    id: IdArgument,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show how far a correction is, or what came of it."""
    with connected(api, data) as client:
        found = client.correction(id.removeprefix("op-"))
        print_json(found) if as_json else print_job(found)


def list_(
    state: Annotated[str, typer.Option(help="queued, running, succeeded, failed or cancelled.")] = "",
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List corrections, newest first."""
    with connected(api, data) as client:
        found = client.corrections(state=state)
        print_json(found) if as_json else print_jobs(found, "No correction: `sluice correct start` begins one.")


def cancel(
    id: IdArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Give a correction up; the worker that has it stops soon, and what it wrote by then stays."""
    with connected(api, data, actor) as client:
        found = client.cancel_correction(id.removeprefix("op-"), reason=reason, dry_run=dry_run)
        print_json(found) if as_json else print_job(found)


def group() -> typer.Typer:
    """The commands."""
    commands: dict[str, Callable[..., None]] = {"start": start, "show": show, "list": list_, "cancel": cancel}
    return group_of(commands, "Score records again that a bad version scored.", "list")
