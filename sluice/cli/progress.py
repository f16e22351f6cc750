"""Following an operation: each worker that gets ready, each partition that promises its cut, as it happens.

On a terminal it is one table that changes; elsewhere one line for each thing that has happened. Leaving it (Ctrl-C) changes
nothing: the operation goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sluice.cli import EXIT_FAILED, EXIT_PENDING
from sluice.cli.output import number, print_json
from sluice.client import Client, OperationFailedError, OperationPendingError
from sluice.client.answers import Cut, Operation, Outcome, Position

_PHASES = {
    "prepared": "workers load it",
    "proposed": "workers promise the offsets where it begins",
    "committed": "done",
    "aborted": "given up",
}
NO_WORKER = "No worker is running: it takes effect when one starts (`sluice up`, `sluice worker`)."
_SPOKEN = ("live", "refused", "elsewhere", "superseded")


def follow(client: Client, operation: str, wait: bool, seconds: float, as_json: bool) -> Operation | None:
    """Follow an operation to its end; what it ends in is told here. `None` if nobody waits for it.

    Where no worker is running, nobody waits: it takes effect when one starts, and that may be never. Ends the command with
    status 1 if it failed, 5 if it is not done in time, 130 with Ctrl-C.
    """
    if not wait:
        if as_json:
            print_json(client.operation(operation))
        else:
            typer.echo(f"{operation} is under way. To follow it: sluice operations show {operation} --wait")
        return None
    found = client.operation(operation)
    if found.mode == "immediate" and found.state == "running" and found.total == 0:
        print_json(found) if as_json else typer.echo(f"{operation}: {NO_WORKER}")
        return found
    try:
        with progress(as_json) as show:
            done = client.wait(operation, seconds, show)
    except OperationFailedError as error:
        tell_failed(error.operation, as_json)
        raise SystemExit(EXIT_FAILED) from None
    except OperationPendingError as error:
        if as_json:
            print_json(error.operation)
        typer.echo(f"{operation} is not done after {seconds:g} s: {error.operation.message}", err=True)
        _tell_how_to_go_on(error.operation)
        raise SystemExit(EXIT_PENDING) from None
    except KeyboardInterrupt:
        typer.echo(f"\n{operation} goes on.", err=True)
        _tell_how_to_go_on(client.operation(operation))
        raise SystemExit(130) from None
    if as_json:
        print_json(done)
    else:
        tell_done(done)
    return done


@contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[Operation], None] | None]:
    """What to call with an operation whenever it has come further; `None` if nobody is to see it."""
    console = Console()
    if quiet:
        yield None
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda operation: live.update(_view(operation), refresh=True)
    else:
        yield _Lines()


class _Lines:
    """Prints a line for each thing that has happened since the last call."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, operation: Operation) -> None:
        for line in happened(operation):
            if line not in self._told:
                self._told.add(line)
                typer.echo(line)


def happened(operation: Operation) -> list[str]:
    """What has happened so far, a line each."""
    if operation.kind in ("rollout", "backtest", "correction"):
        return [f"  {operation.message}"] if operation.message else []
    lines = []
    if operation.mode == "exact":
        lines += [f"  {worker}: ready" for worker in operation.ready]
        lines += [
            f"  {place(cut)}: {cut.owner} begins at offset {cut.cut}" for cut in operation.cuts if cut.cut is not None
        ]
    elif operation.total == 0 and operation.state == "running":
        lines.append(NO_WORKER)
    lines += [f"  {each.worker}: {said(each)}" for each in operation.workers if _is_told(operation, each)]
    return lines


def tell_done(operation: Operation) -> None:
    """What was reached."""
    what = operation.message or "done"
    version = f"{operation.model} version {operation.version}"
    if operation.key and operation.version is None:
        what = f"{operation.key} is served by nothing: {what}"
    elif operation.key and operation.kind == "publish":
        what = f"{operation.key} is served by {version}: {what}"
    elif operation.key and operation.kind == "change":
        what = f"{operation.key} is served by its new plan (primary {version}): {what}"
    typer.secho(f"{operation.id}: {what}.", fg="green")
    if operation.mode == "exact":
        _tell_cuts(operation)


def tell_failed(operation: Operation, as_json: bool = False) -> None:
    """Why it failed, and what that means, on standard error."""
    if as_json:
        print_json(operation)
    typer.secho(f"{operation.id} failed: {operation.message}", fg="red", err=True)
    if operation.kind in ("change", "publish"):
        key = operation.key or operation.data_type
        typer.echo(f"What served {key} before serves on. See it: sluice routes show {key}", err=True)


def place(cut: Cut) -> str:
    """A partition as a group reads it; the group where it is needed to tell two apart is in the JSON."""
    return f"{cut.topic}/{cut.partition}"


def said(outcome: Outcome) -> str:
    """What became of a version on a worker."""
    match outcome.state:
        case "live":
            since = positions(outcome.since)
            took = f"loaded in {number(outcome.load_ms, 0)} ms, scoring paused {number(outcome.swap_ms, 2)} ms"
            return f"live{f' since {since}' if since else ''} ({took})"
        case "refused":
            return f"refused: {outcome.reason}"
        case "retrying":
            return f"tries again: {outcome.reason}"
        case "elsewhere":
            return "not loaded here: another worker has this data type"
        case "superseded":
            return "not loaded: a newer version was published"
        case _:
            return outcome.state


def positions(found: list[Position] | tuple[Position, ...]) -> str:
    """`wine.records 0@120, 1@98`: topic, then partition@offset."""
    topics = sorted({position.topic for position in found})
    return "; ".join(
        f"{topic} " + ", ".join(f"{p.partition}@{p.offset}" for p in sorted(found, key=_place) if p.topic == topic)
        for topic in topics
    )


def _is_told(operation: Operation, outcome: Outcome) -> bool:
    """An exact change is told by who is ready and what is promised; of the rest, only what goes wrong."""
    return outcome.state == "refused" if operation.mode == "exact" else outcome.state in _SPOKEN


def _tell_cuts(operation: Operation) -> None:
    groups: dict[str, list[Cut]] = {}
    for cut in operation.cuts:
        if cut.cut is not None:
            groups.setdefault(f"{cut.topic} ({cut.group})", []).append(cut)
    for name, cuts in sorted(groups.items()):
        shown = ", ".join(f"{cut.partition}@{cut.cut}" for cut in sorted(cuts, key=lambda cut: cut.partition))
        typer.echo(f"  from {name} {shown}")


def _tell_how_to_go_on(operation: Operation) -> None:
    typer.echo(f"To go on watching: sluice operations show {operation.id} --wait", err=True)
    if operation.mode == "exact" and operation.state == "running":
        typer.echo(f"To give it up (what serves goes on serving): sluice operations abort {operation.id}", err=True)


def _view(operation: Operation) -> Group:
    phase = _PHASES.get(operation.phase or "", "")
    head = Text(f"{operation.id}  {operation.state}" + (f", {operation.phase}: {phase}" if phase else ""), style="bold")
    parts: list[Text | Table] = [head]
    if operation.message:
        parts.append(Text(f"  {operation.message}"))
    table = Table(box=None, pad_edge=True, show_header=False)
    names = sorted({*operation.ready, *(each.worker for each in operation.workers if each.is_live)})
    outcomes = {each.worker: each for each in operation.workers}
    for worker in names:
        if operation.mode == "exact":
            refused = outcomes[worker].state == "refused" if worker in outcomes else False
            state = said(outcomes[worker]) if refused else "ready" if worker in operation.ready else "loads it"
            table.add_row(worker, state, style="red" if refused else "green" if state == "ready" else "dim")
        else:
            table.add_row(worker, said(outcomes[worker]))
    for cut in operation.cuts:
        promised = f"begins at offset {cut.cut}" if cut.cut is not None else "has not promised yet"
        table.add_row(place(cut), f"{cut.owner}: {promised}", style="dim" if cut.cut is None else "green")
    if table.row_count:
        parts.append(table)
    return Group(*parts)


def _place(position: Position) -> tuple[str, int]:
    return position.topic, position.partition
