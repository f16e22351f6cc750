"""A flat model with its inputs and outputs: what scores a batch in place of the engine.

Three things may become of a record. It has outputs. Or it has none, for a reason that the engine would give as well: a
value is missing or invalid, or is no integer; then it is a failure here. Or it is *undecided*: two classes are so close
that the last bit of a rounding would choose between them, or a probability is not a number; then the engine is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.core.signature import TensorSpec
from serving.core.columns import Column, Features, Predictions, TextColumn
from serving.scorers.fast.inputs import Inputs, Prepared
from serving.scorers.fast.refusals import why_no_result

Numbers = NDArray[np.float64]

CLOSE: Final = 1e-12
"""Probabilities that differ by no more are taken for equal."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a flat model says of a batch.

    Attributes:
        predictions: Of all records; where a record is undecided, they mean nothing.
        undecided: Positions of the records for the engine to decide; `None` for none of them.
    """

    predictions: Predictions
    undecided: NDArray[np.intp] | None = None


class Evaluator(Protocol):
    """Scores a batch on the calling thread. Thread-safe; never keeps what it is given."""

    def evaluate(self, features: Features) -> Answer:
        """Score all records. The same record gets the same answer in any batch."""


class Core(Protocol):
    """The arithmetic of a model."""

    def compute(self, matrix: Numbers) -> Numbers:
        """(n, columns) -> (n, classes) probabilities, or (n, 1) values; NaN for nothing."""


class LabelledCore(Protocol):
    """The arithmetic of a model that says itself which class it means."""

    def label(self, matrix: Numbers) -> tuple[NDArray[np.int64], Numbers]:
        """(n, columns) -> index of the class, -1 for none; and probabilities."""


@dataclass(frozen=True, slots=True)
class ValueModel:
    """A regression: one number a record. See `Evaluator`."""

    inputs: Inputs
    core: Core
    output: str

    def evaluate(self, features: Features) -> Answer:
        """See `Evaluator.evaluate`."""
        prepared = self.inputs.prepare(features)
        with np.errstate(all="ignore"):
            values = self.core.compute(prepared.matrix)[:, 0]
        null = np.isnan(values)
        if prepared.void is not None:
            null |= prepared.void
            values = np.where(prepared.void, np.nan, values)
        failures = _failures(self.inputs, features, prepared, null)
        return Answer(Predictions({self.output: values}, failures))


@dataclass(frozen=True, slots=True)
class TreeModel:
    """One classification tree, which names its class itself. See `Evaluator`."""

    inputs: Inputs
    core: LabelledCore
    outputs: tuple[TensorSpec, ...]

    def evaluate(self, features: Features) -> Answer:
        """See `Evaluator.evaluate`."""
        prepared = self.inputs.prepare(features)
        codes, shares = self.core.label(prepared.matrix)
        if prepared.void is not None:
            codes = np.where(prepared.void, -1, codes)
            shares = np.where(prepared.void[:, None], np.nan, shares)
        null = codes < 0
        if len(self.outputs) > 1 and null.any():
            null &= np.isnan(shares).all(axis=1)
        columns = _class_columns(self.outputs, codes, shares)
        return Answer(Predictions(columns, _failures(self.inputs, features, prepared, null)))


@dataclass(frozen=True, slots=True)
class ClassModel:
    """A classification whose class is the most probable one. See `Evaluator`.

    Attributes:
        first_wins: Of classes of exactly the same probability the first is meant; otherwise the record is undecided.
        nothing_is_null: A record without probabilities has no class; otherwise it is undecided.
    """

    inputs: Inputs
    core: Core
    outputs: tuple[TensorSpec, ...]
    first_wins: bool
    nothing_is_null: bool

    def evaluate(self, features: Features) -> Answer:
        """See `Evaluator.evaluate`."""
        prepared = self.inputs.prepare(features)
        with np.errstate(all="ignore"):
            shares = self.core.compute(prepared.matrix)
        codes = shares.argmax(axis=1).astype(np.int64, copy=False)
        rows = np.arange(len(shares))
        best = shares[rows, codes]
        # A NaN makes the comparison false, so a row with one counts as none of them, not as one.
        near = (shares >= (best - CLOSE)[:, None]).sum(axis=1)
        is_open = near != 1
        null = np.zeros(len(shares), np.bool_)
        if is_open.any():
            if self.first_wins:
                is_open &= (shares >= best[:, None]).sum(axis=1) != near
                is_open |= np.isnan(best)
            is_nothing = np.isnan(shares).all(axis=1)
            if self.nothing_is_null:
                null = is_nothing
                is_open &= ~is_nothing
                codes = np.where(is_nothing, -1, codes)
        if prepared.void is not None:
            null = null | prepared.void
            is_open &= ~prepared.void
            codes = np.where(prepared.void, -1, codes)
            shares = np.where(prepared.void[:, None], np.nan, shares)
        failures = _failures(self.inputs, features, prepared, null)
        for row in failures:
            is_open[row] = False
        columns = _class_columns(self.outputs, codes, shares)
        return Answer(Predictions(columns, failures), np.flatnonzero(is_open) if is_open.any() else None)


def _class_columns(
    outputs: tuple[TensorSpec, ...], codes: NDArray[np.int64], shares: Numbers
) -> dict[str, Column]:
    columns: dict[str, Column] = {outputs[0].name: TextColumn(codes, outputs[0].categories)}
    if len(outputs) > 1:
        columns[outputs[1].name] = shares
    return columns


def _failures(
    inputs: Inputs, features: Features, prepared: Prepared, null: NDArray[np.bool_]
) -> dict[int, str]:
    if not (prepared.unfit or null.any()):
        return {}
    failures = {row: why_no_result(inputs.schema, features, row) for row in np.flatnonzero(null).tolist()}
    return failures | prepared.unfit
