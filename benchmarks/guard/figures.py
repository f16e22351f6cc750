"""The figures of the guard, and what is too much of each."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BASELINE = Path(__file__).with_name("baseline.json")

KINDS: Mapping[str, tuple[float, float]] = {
    "bytecodes": (1.10, 0.0),
    "blocks": (1.10, 100.0),
    "yardsticks": (1.25, 0.0),
}
"""Kind of a figure -> factor and addition that make its limit out of the baseline.

Bytecodes are the same in every run and blocks nearly, so a tenth is room for a small change, not for noise; a loop over the
records of a batch adds thousands. The ratio of times lay between 2.02 and 2.58 in ten runs on a machine with nine times as much
to do as it has processors; over its limit it is measured up to three times, and the least counts.
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: `tree, batch of 2,000`.
        kind: Of `KINDS`; also its unit.
        value: Less is better.
    """

    name: str
    kind: str
    value: float

    @property
    def key(self) -> str:
        """Its name in the baseline."""
        return f"{self.name}: {self.kind}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure beside its baseline.

    Attributes:
        figure: As it is now.
        baseline: `None` if there is none to compare with.
    """

    figure: Figure
    baseline: float | None

    @property
    def limit(self) -> float | None:
        """The most that is let through."""
        factor, addition = KINDS[self.figure.kind]
        return None if self.baseline is None else self.baseline * factor + addition

    @property
    def is_slower(self) -> bool:
        """Over its limit."""
        return self.limit is not None and self.figure.value > self.limit

    def __str__(self) -> str:
        """One line of the table."""
        spell = "{:,.2f}".format if self.figure.kind == "yardsticks" else "{:,.0f}".format
        cells = [spell(value) if value is not None else "-" for value in (self.baseline, self.figure.value, self.limit)]
        mark = "  SLOWER" if self.is_slower else ""
        return f"{self.figure.name:24} {self.figure.kind:10} " + " ".join(f"{cell:>10}" for cell in cells) + mark


HEAD = f"{'hot path':24} {'figure':10} {'baseline':>10} {'now':>10} {'limit':>10}"


def read_baseline() -> dict[str, float]:
    """Key -> value. Counts of another Python's bytecodes are left out: they say nothing of this one."""
    if not BASELINE.is_file():
        return {}
    document = json.loads(BASELINE.read_text())
    figures: dict[str, float] = document["figures"]
    if document["python"] == _python():
        return figures
    return {key: value for key, value in figures.items() if key.endswith(": yardsticks")}


def write_baseline(figures: list[Figure]) -> None:
    """Commit the file that it writes."""
    values = {figure.key: round(figure.value, 3) for figure in figures}
    BASELINE.write_text(json.dumps({"python": _python(), "figures": values}, indent=2) + "\n")


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])
