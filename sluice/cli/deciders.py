"""`sluice stats --deciders`: what deciders did, a line for each of their arms."""

from __future__ import annotations

import typer

from sluice.cli.output import number, print_columns
from sluice.client.decider_calls import DeciderNumbers, DeciderStatistics


def print_deciders(found: DeciderStatistics) -> None:
    """For people; what is not complete is said on stderr."""
    headings = ("route", "decider", "records", "decided", "unanswered", "undecidable", "p50", "p99",
                "arm", "chosen", "answered", "late", "failed")  # fmt: skip
    print_columns(headings, [row for each in found.deciders for row in _rows(each)], "No decider decided anything yet.")
    if found.partial:
        missing = ", ".join(found.missing_workers)
        typer.echo(f"Not complete: no fresh numbers from {missing}." if missing else "Not complete.", err=True)


def _rows(decider: DeciderNumbers) -> list[tuple[str, ...]]:
    own = (
        decider.route,
        decider.decider,
        number(decider.records),
        number(decider.decided),
        number(decider.unanswered),
        number(decider.undecidable),
        number(decider.p50_ms, 1),
        number(decider.p99_ms, 1),
    )
    arms = [
        (arm.arm or "(primary)", number(arm.chosen), number(arm.answered), number(arm.late), number(arm.failed))
        for arm in decider.arms
    ]
    return [(*(own if i == 0 else ("",) * len(own)), *arm) for i, arm in enumerate(arms)]
