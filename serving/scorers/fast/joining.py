"""Some records of a batch: taken out, and put in their places when the engine has decided them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import Column, Predictions, TextColumn


def joined(whole: Predictions, rows: NDArray[np.intp], part: Predictions) -> Predictions:
    """`whole` with the records at `rows` as they are in `part`, in that order. `whole` is used up."""
    columns = {name: _put(column, rows, part.columns[name]) for name, column in whole.columns.items()}
    replaced = set(rows.tolist())
    failures = {row: reason for row, reason in whole.failures.items() if row not in replaced}
    failures |= {int(rows[position]): reason for position, reason in part.failures.items()}
    return Predictions(columns, failures)


def taken(predictions: Predictions, rows: NDArray[np.intp]) -> Predictions:
    """Some records of a batch, in the order of `rows`. Shares no memory with the whole."""
    columns = {
        name: column.take(rows) if isinstance(column, TextColumn) else column[rows]
        for name, column in predictions.columns.items()
    }
    failures = {
        position: predictions.failures[row] for position, row in enumerate(rows.tolist()) if row in predictions.failures
    }
    return Predictions(columns, failures)


def _put(whole: Column, rows: NDArray[np.intp], part: Column) -> Column:
    if isinstance(whole, TextColumn):
        assert isinstance(part, TextColumn), "both are answers of one model"
        values = list(dict.fromkeys([*whole.values, *part.values]))
        # The last entry is for the code -1, a missing label.
        places = np.array([*(values.index(value) for value in part.values), -1], np.int64)
        codes = whole.codes.copy()
        codes[rows] = places[part.codes]
        return TextColumn(codes, values)
    assert not isinstance(part, TextColumn), "both are answers of one model"
    whole = whole if whole.flags.writeable and whole.flags.owndata else whole.copy()
    whole[rows] = part
    return whole
