"""`sluice rollout`: moving a route to a version step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from sluice.cli import EXIT_FAILED, EXIT_PENDING
from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.output import ago, print_columns, print_json
from sluice.cli.rollout_text import DEFAULT_STEPS, guard_of, rollout_lines, state_line, step_text, steps_of, told_text
from sluice.cli.writing import ActorOption, DeadlineOption, DryRunOption, ReasonOption, TimeoutOption
from sluice.client import Client, StaleError, Target
from sluice.client.routing import Rollout
from sluice.stack.lifecycle import DEFAULT_FOLDER

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Of the route: a data type, 'wine-*', '*'.")]
IdArgument = Annotated[str | None, typer.Argument(metavar="[ID]", help="Default: the one under way, else the newest.")]
WatchOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Watch it to its end. Ctrl-C only stops watching: it goes on.")
]

_LOOK_SECONDS = 1.0
_DAY_SECONDS = 86_400.0


def start(
    key: KeyArgument,
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="What is to serve in the end.")],
    version: Annotated[str | None, typer.Option("--version", metavar="N", help="Its version.")] = None,
    alias: Annotated[str | None, typer.Option("--alias", metavar="ALIAS", help="Or an alias.")] = None,
    steps: Annotated[
        str,
        typer.Option(
            metavar="SHARE:TIME,...",
            help="Shares of the entities and how long each stays at least; dark: scores unseen.",
        ),
    ] = DEFAULT_STEPS,
    guard: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIGNAL<=LIMIT",
            help="error_rate<=0.01, psi<=0.25, disagreement<=5%, p99_ms<=+50% (+: above what serves now). May be repeated; "
            "default: errors, time and drift against what serves now.",
        ),
    ] = None,
    no_guards: Annotated[bool, typer.Option("--no-guards", help="Nothing is watched: only time passes.")] = False,
    minimum_records: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="A guard says nothing before so many records.")
    ] = None,
    breaches: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="A guard fails when it is broken so many times in a row.")
    ] = None,
    deadline: DeadlineOption = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    wait: WatchOption = True,
    timeout: TimeoutOption = _DAY_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Move a route to a version: dark first, then by growing shares. Each step is an exact change.

    A guard that fails takes the route back to what it served, everywhere, with the evidence kept (`sluice rollout show`).
    """
    if (version is None) == (alias is None):
        raise typer.BadParameter("give either --version or --alias")
    if no_guards and guard:
        raise typer.BadParameter("give either --guard or --no-guards")
    candidate = Target(model=model, version=version.removeprefix("v") if version else None, alias=alias)
    guards = [guard_of(each, minimum_records, breaches) for each in guard] if guard else [] if no_guards else None
    taken = steps_of(steps)
    with connected(api, data, actor) as client:
        revision = client.route(key, max_entries=0).revision
        begun = client.start_rollout(
            key,
            candidate,
            steps=taken,
            guards=guards,
            deadline_seconds=deadline,
            revision=revision,
            reason=reason,
            dry_run=dry_run,
        )
        if dry_run:
            _show(begun, as_json)
            if not as_json:
                typer.echo("Nothing was written.")
            return
        if not wait:
            _show(begun, as_json)
            return
        _watch(client, begun, timeout, as_json)


def list_(
    key: KeyArgument,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List the rollouts of a route, newest first."""
    with connected(api, data) as client:
        found = client.rollouts(key)
        if as_json:
            print_json(found)
            return
        rows = [
            (
                each.id,
                str(each.candidate),
                each.state.replace("_", " "),
                f"{each.step} of {len(each.steps)}",
                ago(each.created_at),
                each.actor or "-",
                each.story[-1].reason if each.story else each.reason,
            )
            for each in found
        ]
        print_columns(("id", "to", "state", "step", "started", "by", "last"), rows, f"No rollout of {key}.")


def show(
    key: KeyArgument,
    id: IdArgument = None,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show where a rollout is, what it waits for, what its guards say, and what was decided with which evidence."""
    with connected(api, data) as client:
        _show(_find(client, key, id), as_json)


def watch(
    key: KeyArgument,
    id: IdArgument = None,
    timeout: TimeoutOption = _DAY_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Watch a rollout to its end. Exit status 1 if it goes back."""
    with connected(api, data) as client:
        _watch(client, _find(client, key, id), timeout, as_json)


def pause(
    key: KeyArgument,
    id: IdArgument = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Keep a rollout at the step where it is. Its guards go on watching."""
    _steer("pause", key, id, reason, actor, dry_run, False, 0, api, data, as_json)


def resume(
    key: KeyArgument,
    id: IdArgument = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Let a paused rollout go on."""
    _steer("resume", key, id, reason, actor, dry_run, False, 0, api, data, as_json)


def promote(
    key: KeyArgument,
    id: IdArgument = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    wait: WatchOption = True,
    timeout: TimeoutOption = _DAY_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Go to the last step now, without waiting for the rest."""
    _steer("promote", key, id, reason, actor, dry_run, wait, timeout, api, data, as_json)


def abort(
    key: KeyArgument,
    id: IdArgument = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    wait: WatchOption = True,
    timeout: TimeoutOption = _DAY_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Take the route back to what it served before the rollout, by an exact change."""
    _steer("abort", key, id, reason, actor, dry_run, wait, timeout, api, data, as_json)


def group() -> typer.Typer:
    """The commands."""
    commands: dict[str, Callable[..., None]] = {
        "start": start,
        "list": list_,
        "show": show,
        "watch": watch,
        "pause": pause,
        "resume": resume,
        "promote": promote,
        "abort": abort,
    }
    return group_of(commands, "Move a route to a version step by step, watched by guards.")


def _find(client: Client, key: str, id: str | None) -> Rollout:
    if id is not None:
        return client.rollout(key, id)
    found = client.rollouts(key)
    if not found:
        typer.secho(f"Error: {key} never had a rollout.", fg="red", err=True)
        typer.echo(f"To begin one: sluice rollout start {key} --model MODEL --version N", err=True)
        raise SystemExit(EXIT_FAILED)
    return next((each for each in found if each.is_open), found[0])


def _steer(
    action: str, key: str, id: str | None, reason: str, actor: str | None, dry_run: bool, wait: bool, timeout: float,
    api: str | None, data: Path, as_json: bool,
) -> None:  # fmt: skip
    with connected(api, data, actor) as client:
        found = steered(client, _find(client, key, id), action, reason, dry_run)
        if not wait or dry_run:
            _show(found, as_json)
            if dry_run and not as_json:
                typer.echo("Nothing was written.")
            return
        _watch(client, found, timeout, as_json, is_wanted_back=action == "abort")


def steered(client: Client, rollout: Rollout, action: str, reason: str, dry_run: bool) -> Rollout:
    """Steer a rollout as it was read, or as it is by now if it has only taken steps since.

    Steps are taken while somebody writes "pause", and are no reason to refuse that. What anybody decided meanwhile is.

    Raises:
        StaleError: Somebody, or a guard, has steered it since.
    """
    while True:
        try:
            return client.steer_rollout(
                rollout.key, rollout.id, action, revision=rollout.revision, reason=reason, dry_run=dry_run
            )
        except StaleError:
            now = client.rollout(rollout.key, rollout.id)
            news = [told for told in now.story if told.control_offset > rollout.revision]
            if not news or any(told.action != "step" for told in news):
                raise
            rollout = now


def _show(rollout: Rollout, as_json: bool) -> None:
    if as_json:
        print_json(rollout)
        return
    for line in rollout_lines(rollout):
        typer.echo(line)


def _watch(client: Client, rollout: Rollout, seconds: float, as_json: bool, is_wanted_back: bool = False) -> None:
    """Follow a rollout to its end; status 0 if it is where it was to go."""
    deadline = time.monotonic() + seconds
    try:
        with _screen(as_json) as show:
            show(rollout)
            while rollout.is_open and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)
                rollout = client.rollout(rollout.key, rollout.id)
                show(rollout)
    except KeyboardInterrupt:
        typer.echo(
            f"\nThe rollout goes on. To go on watching: sluice rollout watch {rollout.key} {rollout.id}", err=True
        )
        typer.echo(f"To go back: sluice rollout abort {rollout.key} {rollout.id}", err=True)
        raise SystemExit(130) from None
    if as_json:
        print_json(rollout)
    if rollout.is_open:
        typer.echo(f"{state_line(rollout)}; not over after {seconds:g} s. {rollout.next}", err=True)
        raise SystemExit(EXIT_PENDING)
    reason = rollout.story[-1].reason if rollout.story else rollout.reason
    if rollout.state == "succeeded" or (is_wanted_back and rollout.state == "aborted"):
        if not as_json:
            typer.secho(f"{state_line(rollout)}: {reason}", fg="green")
        return
    typer.secho(f"{state_line(rollout)}: {reason}", fg="red", err=True)
    typer.echo(f"{rollout.baseline} serves {rollout.key} again.", err=True)
    typer.echo(f"The evidence: sluice rollout show {rollout.key} {rollout.id} --json", err=True)
    raise SystemExit(EXIT_FAILED)


@contextmanager
def _screen(quiet: bool) -> Generator[Callable[[Rollout], None], None, None]:
    """Where a rollout is shown while it goes on: one picture on a terminal, else a line for each thing that happens."""
    console = Console()
    if quiet:
        yield lambda rollout: None
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda rollout: live.update(Text("\n".join(rollout_lines(rollout))), refresh=True)
    else:
        yield _Story()


class _Story:
    """Prints a line for each decision, and one where the state changes."""

    def __init__(self) -> None:
        self._told: set[tuple[int, str]] = set()
        self._line = ""

    def __call__(self, rollout: Rollout) -> None:
        for each in rollout.story:
            if (each.control_offset, each.action) not in self._told:
                self._told.add((each.control_offset, each.action))
                typer.echo(f"  {told_text(each)}")
        step = rollout.steps[rollout.step - 1] if 0 < rollout.step <= len(rollout.steps) else None
        line = state_line(rollout) + (f" ({step_text(step)})" if step is not None else "")
        if line != self._line:
            self._line = line
            typer.echo(line)
