"""Options that every command has that writes."""

from __future__ import annotations

from typing import Annotated

import typer

ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for the record: whoever looks later sees it.")
]
ActorOption = Annotated[
    str | None,
    typer.Option(
        "--actor", metavar="WHO", envvar="SLUICE_ACTOR", help="Who asks, for the record; default: your login name."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; write nothing.")]
WaitOption = Annotated[
    bool,
    typer.Option("--wait/--no-wait", help="Follow it to its end. Ctrl-C only stops watching: it goes on."),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0, metavar="SECONDS", help="Watch for so long at most (then exit status 5).")
]
ModeOption = Annotated[
    str,
    typer.Option(
        "--mode",
        metavar="exact|immediate",
        help="exact: every partition at a promised offset, all of them or none. immediate: each worker when it has loaded "
        "it, for emergencies.",
    ),
]
DeadlineOption = Annotated[
    float | None,
    typer.Option(
        "--deadline", min=1, metavar="SECONDS", help="Give an exact change up if it is not done by then; default 120."
    ),
]

WATCH_SECONDS = 150.0
"""Default of `--timeout`: longer than the deadline of an exact change, so that its end is seen."""


def checked_mode(mode: str, *others: str) -> str:
    """`mode`, if it is one; `others` are allowed too."""
    allowed = ("exact", "immediate", *others)
    if mode not in allowed:
        raise typer.BadParameter(f"expected {' or '.join(allowed)}, found {mode!r}", param_hint="--mode")
    return mode


def pairs(given: list[str] | None, option: str, what: str = "NAME=VALUE") -> dict[str, str]:
    """`NAME=VALUE` of a repeated option."""
    found: dict[str, str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"expected {what}, found {text!r}", param_hint=option)
        found[name] = value
    return found
