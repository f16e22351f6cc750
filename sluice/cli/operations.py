"""`sluice operations`: what is under way, told by the id that a write gave."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli import EXIT_FAILED
from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.output import print_fields, print_json, when
from sluice.cli.progress import follow, happened, place
from sluice.cli.writing import WATCH_SECONDS, ActorOption, DryRunOption, ReasonOption, TimeoutOption
from sluice.client.answers import Operation
from sluice.stack.lifecycle import DEFAULT_FOLDER

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Such as op-42: 42 is where it is on the control log.")]


def show(
    id: IdArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end. Exit status 1 if it fails.")] = False,
    timeout: TimeoutOption = WATCH_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show how far something is: which workers are ready, which partitions have promised where it begins, who is awaited."""
    with connected(api, data) as client:
        id = _id(id)
        if wait:
            follow(client, id, True, timeout, as_json)
            return
        found = client.operation(id)
        print_json(found) if as_json else _print_operation(found)


def abort(
    id: IdArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Give up a change that is under way: what serves goes on serving, on every partition.

    If its last partition has promised in the meantime it is too late (exit status 1): the change is made. Then
    `sluice route rollback KEY` is the way back.
    """
    with connected(api, data, actor) as client:
        found = client.abort_operation(_id(id), reason=reason, dry_run=dry_run)
        if as_json:
            print_json(found)
        elif dry_run:
            typer.echo(f"{found.id} would be given up. Nothing was written.")
        elif found.phase == "aborted":
            typer.echo(f"{found.id} is given up: {found.message}. What served {found.data_type} serves on.")
        else:
            typer.secho(f"{found.id} is {found.phase or found.state}: {found.message}", fg="red", err=True)
            raise SystemExit(EXIT_FAILED)


def group() -> typer.Typer:
    """The commands."""
    return group_of({"show": show, "abort": abort}, "Follow or abort something that is under way.")


def _id(text: str) -> str:
    """`op-42` of `op-42` or `42`."""
    return f"op-{text}" if text.isdecimal() else text


def _print_operation(found: Operation) -> None:
    version = f"{found.model} version {found.version}" if found.version else found.model
    print_fields(
        [
            ("operation", f"{found.id}, {found.kind}" + (f" ({found.mode})" if found.mode else "")),
            ("state", found.state + (f", {found.phase}" if found.phase else "")),
            ("message", found.message),
            ("route", found.key or ""),
            ("version", version),
            ("progress", f"{found.done} of {found.total}" if found.total else ""),
            (
                "asked",
                f"{when(found.created_at)} by {found.actor or '-'}" + (f": {found.reason}" if found.reason else ""),
            ),
            ("deadline", when(found.deadline) if found.deadline and found.state == "running" else ""),
            ("rollout", found.rollout or ""),
        ]
    )
    for line in happened(found):
        typer.echo(line)
    for cut in found.cuts:
        if cut.cut is None:
            typer.echo(f"  {place(cut)}: {cut.owner or 'nobody'} has not promised")
