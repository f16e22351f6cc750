"""Rows that a publisher says the model must reproduce, checked before the model may serve."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from model_store.core.signature import Signature
from serving.core.columns import Features, Predictions, TextColumn
from serving.core.errors import SignatureError

DEFAULT_TOLERANCE = 1e-6
_ELEMENT = re.compile(r"(?P<name>.+)\[(?P<index>\d+)\]$")


class Golden(Protocol):
    """One row: inputs by feature name (or `0`, `1` ... for a nameless vector), and the outputs that must come out."""

    @property
    def inputs(self) -> Mapping[str, float]:
        """Numeric inputs."""

    @property
    def texts(self) -> Mapping[str, str]:
        """Text inputs."""

    @property
    def outputs(self) -> Mapping[str, float]:
        """Numeric outputs, `name` or `name[i]` for an element of a vector."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Text outputs."""

    @property
    def tolerance(self) -> float:
        """Largest absolute difference of a number; 0 means `DEFAULT_TOLERANCE`."""


def golden_features(signature: Signature, rows: Sequence[Golden]) -> Features:
    """The inputs of the golden rows, in slot order; what a row leaves out is missing."""
    numbers = [slot for slot in signature.slots if not slot.is_text]
    texts = [slot for slot in signature.slots if slot.is_text]
    matrix = np.full((len(rows), len(numbers)), np.nan)
    for j, slot in enumerate(numbers):
        for i, row in enumerate(rows):
            matrix[i, j] = row.inputs.get(slot.name if slot.name is not None else str(j), math.nan)
    columns = []
    for slot in texts:
        values = [row.texts.get(slot.name or "") for row in rows]
        known = sorted({value for value in values if value is not None})
        codes = np.array([-1 if value is None else known.index(value) for value in values], np.int64)
        columns.append(TextColumn(codes, known))
    return Features(matrix, tuple(columns))


def check_golden(rows: Sequence[Golden], predictions: Predictions) -> None:
    """Compare what the model gave with what the publisher expects.

    Raises:
        SignatureError: A row failed or differs; the first difference is told with both values.
    """
    for i, row in enumerate(rows):
        if i in predictions.failures:
            raise SignatureError(f"golden row {i}: the model failed on it: {predictions.failures[i]}")
        for name, expected in row.outputs.items():
            found = _number(predictions, name, i)
            tolerance = row.tolerance or DEFAULT_TOLERANCE
            if not (
                found == expected or abs(found - expected) <= tolerance or (math.isnan(found) and math.isnan(expected))
            ):
                raise SignatureError(
                    f"golden row {i}: output {name} should be {expected!r} and is {found!r} (tolerance {tolerance:g})"
                )
        for name, label in row.labels.items():
            got = _label(predictions, name, i)
            if got != label:
                raise SignatureError(f"golden row {i}: output {name} should be {label!r} and is {got!r}")


def _number(predictions: Predictions, name: str, row: int) -> float:
    match = _ELEMENT.match(name)
    index = int(match["index"]) if match and name not in predictions.columns else None
    column = predictions.columns.get(match["name"] if match and index is not None else name)
    if column is None or isinstance(column, TextColumn):
        raise SignatureError(
            f"golden rows expect a number {name}; the model's outputs are {', '.join(predictions.columns)}"
        )
    cell = np.ravel(column[row])
    if (index or 0) >= len(cell) or (index is None and len(cell) != 1):
        raise SignatureError(f"golden rows expect {name}; that output has {len(cell)} elements a row")
    return float(cell[index or 0])


def _label(predictions: Predictions, name: str, row: int) -> str | None:
    column = predictions.columns.get(name)
    if not isinstance(column, TextColumn):
        raise SignatureError(
            f"golden rows expect a label {name}; the model's outputs are {', '.join(predictions.columns)}"
        )
    code = int(column.codes[row])
    return None if code < 0 else column.values[code]
