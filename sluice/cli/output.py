"""What commands print: columns for people, JSON for programs. Never cut off: a terminal can wrap, a pipe has no width."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import typer


def print_json(value: Any) -> None:
    """One line of JSON."""
    print(msgspec.json.encode(value).decode(), flush=True)


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]], if_empty: str) -> None:
    """Rows under their headings, in columns; `if_empty` where there are none."""
    if not rows:
        typer.echo(if_empty)
        return
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    _print_row(headings, widths, bold=sys.stdout.isatty())
    for row in rows:
        _print_row(row, widths)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Names and values below each other; those without a value are left out."""
    shown = [(name, value) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name.ljust(width)}  {value}")


def when(moment: datetime | int | None) -> str:
    """An instant (or milliseconds since 1970 UTC) in UTC to the second, and how long ago; `-` without one."""
    if moment is None:
        return "-"
    if isinstance(moment, int):
        moment = datetime.fromtimestamp(moment / 1000, UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ} ({ago(moment)})"


def ago(moment: datetime | None) -> str:
    """How long ago, in one unit; `never` without a moment."""
    if moment is None:
        return "never"
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def number(value: float | None, digits: int = 3) -> str:
    """A number for people; `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def size(count: int | None) -> str:
    """A number of bytes for people."""
    if count is None:
        return "size unknown"
    if count < 10_000:
        return f"{count} bytes"
    return f"{count / 1000:,.0f} kB" if count < 10_000_000 else f"{count / 1e6:,.0f} MB"


def _print_row(cells: Sequence[str], widths: Sequence[int], bold: bool = False) -> None:
    line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
    typer.secho(line, bold=bold)
