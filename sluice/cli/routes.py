"""`sluice routes`: which version serves which data type, now or then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.output import ago, print_columns, print_fields, print_json, when
from sluice.cli.plan_text import document, summary
from sluice.cli.progress import place, said
from sluice.cli.route_files import export_text
from sluice.client.answers import Route
from sluice.client.routing import Entry
from sluice.stack.lifecycle import DEFAULT_FOLDER

AsOfOption = Annotated[str, typer.Option("--as-of", metavar="TIME", help="As it was then: 2026-03-01T12:00:00Z.")]


def list_routes(
    model: Annotated[str, typer.Option(metavar="NAME", help="Only those that this model serves.")] = "",
    as_of: AsOfOption = "",
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Say which version serves which data type, since when, on how many workers, and what is under way."""
    with connected(api, data) as client:
        found = client.routes(model=model, as_of=as_of)
        if as_json:
            print_json(found)
            return
        headings = ("data type", "model", "version", "type", "since", "workers", "refused", "plan")
        print_columns(headings, [_row(route) for route in found], "No model is published for any data type yet.")
        for route in found:
            for error in route.errors:
                if route.newest is not None:
                    typer.echo(f"{route.newest.model} version {route.newest.version} on {error.worker}: {error.reason}")
            for line in _under_way(route):
                typer.echo(f"{route.key}: {line}")


def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A data type, or the key of a route: wine-*, *.")],
    as_of: AsOfOption = "",
    entries: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="Length of the timeline.")] = 10,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show a route: its plan, what is under way, what each worker does, and what it served before."""
    with connected(api, data) as client:
        found = client.route(key, as_of=as_of, max_entries=entries)
        if as_json:
            print_json(found)
            return
        since = when(found.entries[0].at) if found.entries else ""
        print_fields(
            [
                ("route", found.key),
                ("serves", summary(found.plan)),
                ("since", since),
                ("plan", found.plan.digest if found.plan else ""),
                ("revision", str(found.revision)),
            ]
        )
        for line in _under_way(found):
            typer.secho(line, fg="yellow")
        for line in document(found.plan).splitlines():
            typer.echo(f"  {line}")
        for serving in found.workers:
            gone = "" if serving.is_live else " (gone)"
            typer.echo(f"{serving.worker}{gone}: {serving.model} version {serving.version}, {said(serving.outcome)}")
        if found.entries:
            typer.echo("")
            rows = [_entry(entry) for entry in found.entries]
            print_columns(("when", "operation", "served", "how", "by", "reason"), rows, "")
        if found.more_entries:
            typer.echo("There are older ones: --entries N shows more.")


def export(
    key: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Only these routes.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="A file for each route here; default: print.")
    ] = None,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
) -> None:
    """Write routes as files that `sluice plan` and `sluice apply` read. Applying them again changes nothing."""
    with connected(api, data) as client:
        found = [client.route(each) for each in key] if key else client.routes()
        served = [route for route in found if route.plan is not None]
        if output is None:
            typer.echo("---\n".join(export_text(route) for route in served), nl=False)
            return
        output.mkdir(parents=True, exist_ok=True)
        for route in served:
            path = output / f"{_file_name(route.key)}.yaml"
            path.write_text(export_text(route), encoding="utf-8")
            typer.echo(path)


def group() -> typer.Typer:
    """The commands."""
    commands: dict[str, Callable[..., None]] = {"list": list_routes, "show": show, "export": export}
    return group_of(commands, "Say which version serves which data type, now or then.", "list")


def _file_name(key: str) -> str:
    """A name that is safe for a file and tells keys apart."""
    kept = {"*": "_any_", "?": "_one_", "/": "_slash_"}
    text = "".join(kept.get(each, each if each.isalnum() or each in "._-" else f"_{ord(each):x}_") for each in key)
    return text if text.strip(".") else f"_{text}"


def _row(route: Route) -> tuple[str, ...]:
    live = [worker for worker in route.workers if worker.is_live]
    is_refused = route.newest is not None and route.newest != route.serving
    refused = f"version {route.newest.version}" if is_refused and route.newest is not None else "-"
    plan = summary(route.plan) if route.plan is not None else "-"
    if route.serving is None:
        return (route.key, "-", "-", "-", "-", "0", refused, plan)
    serving = [w for w in live if (w.model, w.version) == (route.serving.model, route.serving.version)]
    return (
        route.key,
        route.serving.model,
        route.serving.version,
        route.serving.type,
        ago(route.serving.since),
        f"{len(serving)} of {len(live)}" if len(serving) != len(live) else str(len(live)),
        refused,
        plan,
    )


def _under_way(route: Route) -> list[str]:
    lines = []
    if route.rollout is not None:
        rollout = route.rollout
        lines.append(
            f"rollout {rollout.id} to {rollout.candidate} is {rollout.state}, step {rollout.step} of {len(rollout.steps)}: "
            f"{rollout.next} (sluice rollout show {route.key})"
        )
    if route.change is not None:
        change = route.change
        missing = [place(cut) for cut in change.cuts if cut.cut is None]
        waits = f"; not promised yet: {', '.join(missing)}" if missing else ""
        lines.append(f"change {change.id} is {change.phase}: {change.message}{waits}")
    return lines


def _entry(entry: Entry) -> tuple[str, ...]:
    return (
        when(entry.at),
        f"op-{entry.control_offset}",
        summary(entry.plan),
        "exact" if entry.exact else "immediate",
        entry.actor or "-",
        entry.reason or "-",
    )
