"""Subcommands of a subcommand, one of which may be left out: `sluice models` is `sluice models list`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperGroup

_SETTINGS = {"help_option_names": ["-h", "--help"]}


def group_of(
    commands: Mapping[str, Callable[..., None]], summary: str, default: str | None = None, *, takes_name: bool = False
) -> typer.Typer:
    """A group of commands.

    Args:
        commands: Name -> function; its docstring is its help.
        summary: Help of the group.
        default: What is meant where no command is named.
        takes_name: The default one takes a name, so any word that is no command is meant for it.
    """
    chosen, is_open = default, takes_name

    class Group(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """See `click.Command.parse_args`; puts in the command that was left out."""
            is_help = args[:1] in (["-h"], ["--help"])
            is_known = bool(args) and args[0] in self.commands
            is_meant = not args or args[0].startswith("-") or is_open
            if chosen is not None and is_meant and not is_help and not is_known:
                args = [chosen, *args]
            return super().parse_args(ctx, args)

    made = typer.Typer(
        cls=Group,
        help=summary,
        no_args_is_help=default is None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )
    for name, function in commands.items():
        made.command(name, context_settings=_SETTINGS)(function)
    return made
