"""From a model's outputs, whatever they are, to the three values of a result: prediction, label, scores.

The first text output is the label. A single number a record is the prediction; everything else that is numeric is the
scores, in the order of the signature. Nothing is rounded, and NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.core.signature import Signature
from serving.core.columns import Predictions, TextColumn

Form = tuple[bool, bool, int | None]
"""Whether there is a prediction, whether a label, and how many scores, if any."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The values of `n` results.

    Attributes:
        prediction: float64 (n,), or `None` if the model has no single number.
        label: n labels, or `None` if the model names no class.
        scores: float64 (n, d), or `None` if there is nothing beyond the prediction.
    """

    prediction: NDArray[np.float64] | None
    label: TextColumn | None
    scores: NDArray[np.float64] | None

    @property
    def form(self) -> Form:
        """What there is of a prediction and a label, and how many scores."""
        return (
            self.prediction is not None,
            self.label is not None,
            None if self.scores is None else self.scores.shape[1],
        )

    def __len__(self) -> int:
        for column in (self.prediction, self.scores):
            if column is not None:
                return len(column)
        return 0 if self.label is None else len(self.label.codes)

    @classmethod
    def joined(cls, parts: Sequence[Scored]) -> Scored:
        """One after the other, at least one; all of one form."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            _one_after_the_other([part.prediction for part in parts]),
            None
            if parts[0].label is None
            else TextColumn.joined([part.label for part in parts if part.label is not None]),
            _one_after_the_other([part.scores for part in parts]),
        )

    def take(self, rows: NDArray[np.intp]) -> Scored:
        """The same values for some rows only."""
        return Scored(
            None if self.prediction is None else self.prediction[rows],
            None if self.label is None else self.label.take(rows),
            None if self.scores is None else self.scores[rows],
        )


def _one_after_the_other(columns: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    found = [column for column in columns if column is not None]
    return np.concatenate(found) if found else None


def scored(signature: Signature, predictions: Predictions) -> Scored:
    """The values of a batch's results. Integers beyond 2**53 lose precision, as doubles do."""
    label: TextColumn | None = None
    numbers: list[NDArray[np.float64]] = []
    for output in signature.outputs:
        column = predictions.columns[output.name]
        if isinstance(column, TextColumn):
            label = label or column
        else:
            numbers.append(np.asarray(column, np.float64))
    if len(numbers) == 1 and numbers[0].ndim == 1:
        return Scored(numbers[0], label, None)
    if not numbers:
        return Scored(None, label, None)
    columns = [
        number.reshape(len(number), -1) if number.size else number.reshape(len(number), _width(number))
        for number in numbers
    ]
    return Scored(
        None, label, np.concatenate(columns, axis=1) if len(columns) > 1 else np.ascontiguousarray(columns[0])
    )


def _width(number: NDArray[np.float64]) -> int:
    return int(np.prod(number.shape[1:], dtype=np.int64))
