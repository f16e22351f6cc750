"""Finds the rows that a batch fails over, so that their neighbours are scored.

A batch that failed is cut into pieces, each piece is tried, and each piece that fails is cut again, down to single rows.
A wide cut (sixteen pieces) costs few failures a culprit: three for one row among four thousand, where halving would take
twelve, and each failure may cost the time of a hang and of a restart. A single row that ended a child is tried once more
before it is blamed: on a busy machine the first batch of a fresh child may be late through no fault of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from serving.core.errors import ScoringError
from serving.scorers.pmml.served import KilledTwiceError, RowError

_PIECES = 16
_MOST_DEATHS = 16

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Search(Generic[Answer]):
    """What came of it.

    Attributes:
        pieces: (first row, one past the last, answer), in row order; with `failures` they cover every row once.
        failures: Row -> reason.
    """

    pieces: tuple[tuple[int, int, Answer], ...]
    failures: dict[int, str]


def score_survivors(
    rows: int, attempt: Callable[[int, int], Answer], most_deaths: int = _MOST_DEATHS
) -> Search[Answer]:
    """Score `rows` rows that failed together, without those that are to blame.

    Args:
        attempt: Scores the rows from the first number up to the second. Raises `ScoringError`.
        most_deaths: How many children the search may cost.

    Raises:
        ScoringError: The search cost too many children.
    """
    pieces: list[tuple[int, int, Answer]] = []
    failures: dict[int, str] = {}
    suspects: set[int] = set()
    deaths = 0
    waiting = _cut(0, rows)
    while waiting:
        start, stop = waiting.pop()
        try:
            pieces.append((start, stop, attempt(start, stop)))
        except ScoringError as error:
            deaths += isinstance(error, KilledTwiceError)
            if stop - start == 1:
                if isinstance(error, RowError) or start in suspects:
                    failures[start] = str(error)
                else:
                    suspects.add(start)
                    waiting.append((start, stop))
            else:
                waiting += _cut(start, stop)
            if deaths > most_deaths:
                raise ScoringError(f"gave up after {deaths} deaths of the engine over one batch: {error}") from error
    return Search(tuple(sorted(pieces, key=lambda piece: piece[0])), failures)


def _cut(start: int, stop: int) -> list[tuple[int, int]]:
    """Up to sixteen pieces that cover the range, last first, because they are taken from the end."""
    size = max(1, -(-(stop - start) // _PIECES))
    return [(first, min(first + size, stop)) for first in range(start, stop, size)][::-1]
