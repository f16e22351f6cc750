"""What the predictions of a batch tell of their model: what they look like, and where two models differ.

A model's *class* is its label; without one, and with several scores a record, the position of the largest score. A
model's *number* is its prediction, or its only score. A model with a class is looked at by that, whatever numbers it
gives beside; any other by its number.

Cost, measured on one core of a shared Xeon: `observe_predictions` 20 to 85 microseconds for a batch of any size, since it
looks at `SAMPLE_ROWS` rows at most, but 200 to 300 where these have more than 200 different labels; `compare` 3 to 80.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_store.core.pairs import NO_PAIRS, PairCounts, nano
from model_store.core.sketch import FEW, NO_PREDICTIONS, PredictionCounts, counts_of_labels, counts_of_numbers
from serving.core.columns import TextColumn
from serving.core.scored import Scored

SAMPLE_ROWS: Final = 256
"""Of a larger batch, one row in w is looked at and counts w times, the first among them: between 129 and 256 rows."""

RELATIVE_TOLERANCE: Final = 1e-6
ABSOLUTE_TOLERANCE: Final = 1e-9


def observe_predictions(scored: Scored) -> PredictionCounts:
    """What a batch's predictions look like, of a sample of at most `SAMPLE_ROWS` of its rows."""
    rows = _rows(scored)
    if not rows:
        return NO_PREDICTIONS
    sample = _sample(rows)
    weight = sample.step
    if scored.label is not None:
        return _class_counts(scored.label.codes[sample], scored.label.values.__getitem__, weight)
    number = _number(scored)
    if number is not None:
        return counts_of_numbers(number[sample], weight)
    several = _several(scored)
    return NO_PREDICTIONS if several is None else _class_counts(_largest(several[sample]), str, weight)


def compare(primary: Scored, other: Scored) -> PairCounts:
    """Where two models differ that scored the same records.

    Classes disagree where they are not the same; a missing one is the same as a missing one. Numbers disagree where they
    differ by more than `ABSOLUTE_TOLERANCE` and by more than `RELATIVE_TOLERANCE` of the larger magnitude; NaN agrees
    with NaN alone. Where one model gives labels, and the other does not, or one several scores and the other a number,
    all records disagree. A record's difference is that of the numbers, which models with labels may have beside, or else
    the largest among its scores if nothing names a class; it is 0 where either is NaN and where there is none.

    All rows are compared, but of models that give several scores and no label a sample as in `observe_predictions`.

    Args:
        primary: n rows.
        other: The same n records, in the same order.

    Raises:
        ValueError: They do not have the same number of rows.
    """
    rows = _rows(primary)
    if rows != _rows(other):
        raise ValueError(f"the same records were scored twice, and one has {rows} rows, the other {_rows(other)}")
    if not rows:
        return NO_PAIRS
    one, two = _several(primary), _several(other)
    if one is not None and two is not None:
        return _compared_scores(one[_sample(rows)], two[_sample(rows)])
    return PairCounts(rows, _disagreements(primary, other, rows), nano(_difference(primary, other)))


def _disagreements(primary: Scored, other: Scored, rows: int) -> int:
    if primary.label is not None and other.label is not None:
        return _different_labels(primary.label, other.label)
    if primary.label is not None or other.label is not None:
        return rows
    one, two = _number(primary), _number(other)
    if one is not None and two is not None:
        return _different_numbers(one, two)
    gives_nothing = one is None and two is None and _several(primary) is None and _several(other) is None
    return 0 if gives_nothing else rows


def _different_labels(one: TextColumn, two: TextColumn) -> int:
    if one.values is two.values or list(one.values) == list(two.values):
        return int(np.count_nonzero(one.codes != two.codes))
    code_of = {value: code for code, value in enumerate(one.values)}
    # The last entry is what code -1, a missing label, finds; a label that `one` does not know is none of its codes.
    codes = np.array([*(code_of.get(value, -2) for value in two.values), -1], np.int64)
    return int(np.count_nonzero(one.codes != codes[two.codes]))


def _different_numbers(one: NDArray[np.float64], two: NDArray[np.float64]) -> int:
    with np.errstate(invalid="ignore"):
        tolerance = np.maximum(np.maximum(np.abs(one), np.abs(two)) * RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE)
        # The tolerance of an infinity is infinite, and the difference of two infinities NaN; both need a rule.
        near = (np.abs(one - two) <= tolerance) & np.isfinite(tolerance)
    return int(np.count_nonzero(~(near | (one == two) | (np.isnan(one) & np.isnan(two)))))


def _difference(primary: Scored, other: Scored) -> float:
    one, two = _number(primary), _number(other)
    if one is None or two is None:
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.nansum(np.abs(one - two)))


def _compared_scores(one: NDArray[np.float64], two: NDArray[np.float64]) -> PairCounts:
    disagreements = int(np.count_nonzero(_largest(one) != _largest(two)))
    difference = 0.0
    if one.shape == two.shape:
        with np.errstate(invalid="ignore", over="ignore"):
            difference = float(np.nansum(np.abs(one - two).max(axis=1)))
    return PairCounts(len(one), disagreements, nano(difference))


def _rows(scored: Scored) -> int:
    if scored.prediction is not None:
        return len(scored.prediction)
    if scored.label is not None:
        return len(scored.label.codes)
    return 0 if scored.scores is None else len(scored.scores)


def _number(scored: Scored) -> NDArray[np.float64] | None:
    if scored.prediction is not None:
        return scored.prediction
    return scored.scores[:, 0] if scored.scores is not None and scored.scores.shape[1] == 1 else None


def _several(scored: Scored) -> NDArray[np.float64] | None:
    """The scores of a model that is looked at by the position of the largest."""
    if scored.label is not None or scored.prediction is not None or scored.scores is None:
        return None
    return scored.scores if scored.scores.shape[1] > 1 else None


def _sample(rows: int) -> slice:
    return slice(None, None, -(-rows // SAMPLE_ROWS))


def _largest(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Position of the largest score of each row, the first of equal ones; -1 where a score is NaN."""
    positions = scores.argmax(axis=1)
    # argmax takes a NaN for the largest, so the largest is NaN if any score is.
    found = scores[np.arange(len(scores)), positions]
    return np.where(np.isnan(found), -1, positions)


def _class_counts(codes: NDArray[np.int64], name: Callable[[int], str], weight: int) -> PredictionCounts:
    """Of codes from -1, a missing class, on."""
    if len(codes) <= FEW:
        named = list(Counter(codes.tolist()).items())
    else:
        counts = np.bincount(codes + 1)
        (found,) = counts.nonzero()
        named = list(zip((found - 1).tolist(), counts[found].tolist(), strict=True))
    missing = sum(count for code, count in named if code < 0)
    return counts_of_labels(((name(code), count) for code, count in named if code >= 0), missing, weight)
