"""`sluice demo`: the main job to watch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sluice.cli import EXIT_FAILED
from sluice.cli.connection import DataOption, connected
from sluice.demo.errors import DemoError
from sluice.demo.next_steps import command_name, next_steps
from sluice.demo.run import Outcome, Wish, run
from sluice.demo.view import sentence, view_for
from sluice.stack import ConsoleAnnouncer, StackError, StackInfo, ensure_up, take_down
from sluice.stack.lifecycle import DEFAULT_FOLDER


def demo(
    rate: Annotated[str, typer.Option(metavar="N|max", help="Records a second; max: as many as come back.")] = "2000",
    seconds: Annotated[float, typer.Option(min=1, help="How long to send, at least; every model is shown.")] = 30.0,
    poison: Annotated[int, typer.Option(min=0, max=1000, help="Records that no model can score.")] = 3,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Workers, if the stack is not up yet.")] = 1,
    down: Annotated[
        bool | None,
        typer.Option(
            "--down/--keep", help="Stop the stack afterwards if it was started here; default: if no terminal."
        ),
    ] = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print the account as one last line of JSON.")] = False,
) -> None:
    """Watch models being swapped under load: a record stream, six models and a damaged one, and an account that balances."""
    wish = Wish(_rate(rate), seconds, poison)
    console = Console(stderr=as_json)
    stack = _stack(data, workers, console)
    is_going_down = stack.started_here and (not console.is_terminal or as_json if down is None else down)
    try:
        outcome = _watch(stack, wish, console)
    finally:
        if is_going_down:
            take_down(data, ConsoleAnnouncer(console))
    _tell(console, outcome)
    if not as_json:
        console.print("\nTo try next:", highlight=False)
        for line in next_steps(stack.api_url, data, not is_going_down, command_name()):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    else:
        print(json.dumps(outcome.account.as_json()), flush=True)
    if not outcome.is_good:
        raise SystemExit(EXIT_FAILED)


def _rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e9:
        raise typer.BadParameter(f"expected records a second, or max; found {text!r}", param_hint="--rate")
    return rate


def _stack(data: Path, workers: int, console: Console) -> StackInfo:
    try:
        return ensure_up(data, workers=workers, announcer=ConsoleAnnouncer(console))
    except StackError as error:
        _fail(console, str(error))
        raise SystemExit(EXIT_FAILED) from None


def _watch(stack: StackInfo, wish: Wish, console: Console) -> Outcome:
    try:
        with connected(stack.api_url, stack.data_dir) as client, view_for(console) as view:
            return run(client, stack.bootstrap, wish, view)
    except DemoError as error:
        _fail(console, str(error))
        raise SystemExit(EXIT_FAILED) from None


def _tell(console: Console, outcome: Outcome) -> None:
    lines = ["", *outcome.account.lines()]
    lines += [sentence(swap) for swap in outcome.swaps if swap.is_refused]
    if outcome.reasons:
        lines.append("Dead letters: " + "; ".join(outcome.reasons))
    if outcome.complaint:
        lines.append(f"Not as told: {outcome.complaint}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _fail(console: Console, message: str) -> None:
    console.print(f"Error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
