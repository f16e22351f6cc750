"""Keep one bad record from costing its neighbours: score a batch, and if that fails, find who is to blame.

A batch that fails as a whole is halved until single rows are left; rows that fail alone are failures with the engine's
reason. The work is bounded, because a model that fails on everything must not be asked n times.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from serving.core.columns import Column, Features, Predictions, TextColumn
from serving.core.errors import ScoringError

# A batch with f bad rows takes about 2 f log2(n) attempts: 64 attempts find at least 3 of them among 2,000.
MAX_ATTEMPTS = 64


def score_isolated(score: Callable[[Features], Predictions], features: Features) -> Predictions:
    """Predictions of all rows; the rows that the model cannot take are failures.

    Args:
        score: `Scorer.score`. Whatever it raises is a failure of the rows it was given: a scorer may be a third party's.
        features: n rows.

    Returns:
        Predictions of n rows. If no row could be scored, `columns` is empty.
    """
    attempts = 0
    failures: dict[int, str] = {}
    parts: list[tuple[np.ndarray, Predictions]] = []
    pending = [np.arange(len(features), dtype=np.intp)]
    while pending:
        rows = pending.pop()
        whole = len(rows) == len(features)
        attempts += 1
        try:
            found = score(features if whole else features.take(rows))
        except Exception as error:
            if whole and isinstance(error, ScoringError) and error.is_final:
                return Predictions({}, dict.fromkeys(range(len(features)), str(error)))
            if len(rows) == 1 or attempts >= MAX_ATTEMPTS:
                reason = str(error) if isinstance(error, ScoringError) else f"{type(error).__name__}: {error}"
                failures.update(dict.fromkeys(rows.tolist(), reason))
            else:
                middle = len(rows) // 2
                pending += [rows[middle:], rows[:middle]]
            continue
        if whole:
            return found
        parts.append((rows, found))
    return _joined(len(features), parts, failures)


def _joined(n: int, parts: list[tuple[np.ndarray, Predictions]], failures: dict[int, str]) -> Predictions:
    for rows, found in parts:
        failures.update({int(rows[row]): reason for row, reason in found.failures.items()})
    if not parts:
        return Predictions({}, failures)
    names = parts[0][1].columns
    return Predictions(
        {name: _scatter(n, [(rows, found.columns[name]) for rows, found in parts]) for name in names}, failures
    )


def _scatter(n: int, parts: list[tuple[np.ndarray, Column]]) -> Column:
    first = parts[0][1]
    if isinstance(first, TextColumn):
        codes = np.full(n, -1, np.int64)
        values: list[str] = []
        for rows, column in parts:
            assert isinstance(column, TextColumn)
            codes[rows] = np.where(column.codes < 0, -1, column.codes + len(values))
            values += column.values
        return TextColumn(codes, values)
    whole = np.zeros((n, *first.shape[1:]), first.dtype)
    for rows, column in parts:
        assert isinstance(column, np.ndarray)
        whole[rows] = column
    return whole
