"""The `sluice` command.

Every subcommand is a function of a module in this package (or of `sluice.stack.commands`) that is imported when the
subcommand is called and not before: `sluice --help` and shell completion stay quick, and a broken engine does not keep
`sluice doctor` from starting.

Exit status: 0 it worked; 1 it did not (a model or a change was refused or given up, somebody else was first, the stack is
not ready, an account does not balance); 2 the command line is wrong; 3 nothing answers at the API's address; 4 the API
answered with another problem; 5 time is over and what was asked for may still happen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_PROBLEM = 4
EXIT_PENDING = 5


@dataclass(frozen=True, slots=True)
class Subcommand:
    """Where a subcommand is.

    Attributes:
        module: Module that has it.
        function: Name of the function there; of a group, of the one that makes it.
        summary: One line for `sluice --help`.
        panel: Heading that it stands under.
        hands_on: Everything behind its name, `--help` too, is for the program that it starts.
        is_group: It has subcommands of its own.
    """

    module: str
    function: str
    summary: str
    panel: str
    hands_on: bool = False
    is_group: bool = False


_MODELS, _ROUTES, _RECORDS = "Models", "Routes", "What runs"
_STACK, _PROCESSES, _MORE = "Local stack", "Processes", "More"


def _group(name: str, summary: str, panel: str) -> Subcommand:
    return Subcommand(f"sluice.cli.{name}", "group", summary, panel, is_group=True)


SUBCOMMANDS = {
    "publish": Subcommand("sluice.cli.publish", "publish", "Publish a model for a data type.", _MODELS),
    "models": _group("models", "List, show, describe or delete models.", _MODELS),
    "versions": _group("versions", "List, show, approve, retire or delete versions of a model.", _MODELS),
    "alias": _group("alias", "Let a name such as champion point to a version.", _MODELS),
    "backtest": _group("backtest", "Try a version on past records before it serves.", _MODELS),
    "routes": _group("routes", "Say which version serves which data type, now or then.", _ROUTES),
    "route": _group("route", "Change a route, roll it back, or take it away.", _ROUTES),
    "rollout": _group("rollout", "Move a route to a version step by step, watched by guards.", _ROUTES),
    "plan": Subcommand("sluice.cli.apply", "plan", "Show what files of routes would change.", _ROUTES),
    "apply": Subcommand("sluice.cli.apply", "apply", "Make routes as files say.", _ROUTES),
    "operations": _group("operations", "Follow or abort something that is under way.", _ROUTES),
    "decisions": Subcommand(
        "sluice.cli.decisions", "decisions", "Say which version scored a record, and why.", _RECORDS
    ),
    "correct": _group("correct", "Score records again that a bad version scored.", _RECORDS),
    "workers": Subcommand("sluice.cli.queries", "workers", "List workers and what they have loaded.", _RECORDS),
    "stats": Subcommand("sluice.cli.queries", "stats", "Say how models do.", _RECORDS),
    "tail": Subcommand("sluice.cli.follow", "tail", "Print results as they come.", _RECORDS),
    "dead-letters": Subcommand(
        "sluice.cli.follow", "dead_letters", "Print records that could not be scored.", _RECORDS
    ),
    "up": Subcommand("sluice.stack.commands", "up", "Start the local stack.", _STACK),
    "down": Subcommand("sluice.stack.commands", "down", "Stop the local stack.", _STACK),
    "status": Subcommand("sluice.stack.commands", "status", "Say what of the local stack runs.", _STACK),
    "doctor": Subcommand("sluice.stack.commands", "doctor", "Look for what is missing or wrong here.", _STACK),
    "demo": Subcommand("sluice.cli.demo", "demo", "Watch models being swapped under load.", _STACK),
    "worker": Subcommand("sluice.cli.processes", "worker", "Run a worker.", _PROCESSES, hands_on=True),
    "api": Subcommand("sluice.cli.processes", "api", "Run the control API.", _PROCESSES, hands_on=True),
    "version": Subcommand("sluice.cli.version", "version", "Print the version.", _MORE),
}

_EPILOG = (
    "Exit status: 0 done, 1 failed or refused, 2 wrong command line, 3 the API is not reachable, "
    "4 the API answered with a problem, 5 time is over. Every command that writes has --dry-run."
)


class _LazyGroup(TyperGroup):
    """Imports a subcommand when it is resolved; lists and help are made of the table alone."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See `click.Group.resolve_command`; the arguments are Typer's own types, which it does not publish."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name not in SUBCOMMANDS else _load(name, SUBCOMMANDS[name]), rest


def app() -> typer.Typer:
    """The command, with every subcommand as a name and a line of help."""
    made = typer.Typer(
        name="sluice",
        cls=_LazyGroup,
        help="Score Kafka streams with models that are swapped while they run.",
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, subcommand in SUBCOMMANDS.items():
        made.command(name, help=subcommand.summary, rich_help_panel=subcommand.panel)(_not_loaded)
    return made


def main() -> None:
    """Entry point of the console script."""
    app()()


def _load(name: str, subcommand: Subcommand) -> Any:
    """The real subcommand, in Typer's own type."""
    function: Callable[..., Any] = getattr(import_module(subcommand.module), subcommand.function)
    if subcommand.is_group:
        found = typer.main.get_command(function())
        found.name = name
        return found
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
    if subcommand.hands_on:
        settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    alone.command(name, context_settings=settings, add_help_option=not subcommand.hands_on)(function)
    command = typer.main.get_command(alone)
    command.name = name
    return command


def _not_loaded() -> None:
    """Stands in the list for a subcommand; `_LazyGroup` puts the real one in its place before it is called."""
