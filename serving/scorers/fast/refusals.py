"""Why a record has no result, in the words that the PMML scorer uses. Admission compares them, so that they stay the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import Features
from serving.scorers.pmml.signature import Schema

_MOST_NAMED_FIELDS = 3


def why_no_result(schema: Schema, features: Features, row: int) -> str:
    """The reason for a record for which the model gives nothing; names the first fields that are missing."""
    missing = [
        schema.inputs[slot].name
        for column, slot in enumerate(schema.matrix_slots)
        if np.isnan(features.matrix[row, column])
    ]
    missing += [
        schema.inputs[slot].name
        for text, slot in zip(features.texts, schema.text_slots, strict=True)
        if text.codes[row] < 0
    ]
    reason = "the model gives no result for this record"
    if missing:
        more = len(missing) - _MOST_NAMED_FIELDS
        reason += f" (missing: {', '.join(missing[:_MOST_NAMED_FIELDS])}{f' and {more} more' if more > 0 else ''})"
    return reason


def not_whole(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values an integer field cannot hold. NaN is a missing value, not a broken one."""
    with np.errstate(invalid="ignore"):
        broken: NDArray[np.bool_] = ~(np.isnan(values) | ((np.abs(values) < 2**53) & (values % 1 == 0)))
        return broken


def why_unfit(name: str, value: float) -> str:
    """The reason for a record with a value that an integer field cannot hold."""
    return f"the field {name!r} is of type integer, and {value:g} is not"
