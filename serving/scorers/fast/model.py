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
from serving.scorers.fast.forest import SingleTree
from serving.scorers.fast.inputs import Inputs, Prepared
from serving.scorers.fast.refusals import why_no_result

Numbers = NDArray[np.float64]

CLOSE: Final = 1e-12
"""Probabilities of an approximate core that differ by no more are taken for equal."""


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

    @property
    def inputs(self) -> Inputs:
        """What it makes of a batch's columns."""

    @property
    def approximate(self) -> str | None:
        """See `Core.approximate`."""

    def evaluate(self, features: Features) -> Answer:
        """Score all records. The same record gets the same answer in any batch."""


class Core(Protocol):
    """The arithmetic of a model."""

    @property
    def approximate(self) -> str | None:
        """Which part of it may differ from the engine's in the last bits; `None` if all is bit for bit by construction.

        By construction are comparisons, look-ups, and the operations of IEEE 754 (+, -, *, /) done in the engine's order.
        """

    def compute(self, matrix: Numbers) -> tuple[Numbers, NDArray[np.bool_] | None]:
        """(n, columns) -> (n, classes) probabilities, or (n, 1) values, NaN for nothing; and which records have nothing.

        The latter is `None` if the core cannot tell a record that has nothing from one whose arithmetic went out of range.
        """


@dataclass(frozen=True, slots=True)
class ValueModel:
    """A regression: one number a record. See `Evaluator`."""

    inputs: Inputs
    core: Core
    output: str

    @property
    def approximate(self) -> str | None:
        """See `Core.approximate`."""
        return self.core.approximate

    def evaluate(self, features: Features) -> Answer:
        """See `Evaluator.evaluate`."""
        prepared = self.inputs.prepare(features)
        with np.errstate(all="ignore"):
            values = self.core.compute(prepared.matrix)[0][:, 0]
        null = np.isnan(values)
        if prepared.void is not None:
            null |= prepared.void
            values = np.where(prepared.void, np.nan, values)
        failures = _failures(self.inputs, features, prepared, null)
        return Answer(Predictions({self.output: values}, failures))


@dataclass(frozen=True, slots=True)
class TreeModel:
    """One tree, which says everything by its leaf. See `Evaluator`.

    Attributes:
        outputs: In any order: the label, `probability`, the one value, the id of the node.
        kinds: Of the outputs: `label`, `shares`, `value`, `node`.
    """

    inputs: Inputs
    tree: SingleTree
    outputs: tuple[TensorSpec, ...]
    kinds: tuple[str, ...]

    @property
    def approximate(self) -> None:
        """See `Core.approximate`: never."""
        return None

    def evaluate(self, features: Features) -> Answer:
        """See `Evaluator.evaluate`."""
        prepared = self.inputs.prepare(features)
        leaves = self.tree.leaves(prepared.matrix)
        void = prepared.void
        columns: dict[str, Column] = {}
        null: NDArray[np.bool_] | None = None
        for output, kind in zip(self.outputs, self.kinds, strict=True):
            if kind in ("label", "node"):
                table, texts = (
                    (self.tree.labels, output.categories) if kind == "label" else (self.tree.nodes, self.tree.names)
                )
                codes = table.take(leaves, mode="clip")
                if void is not None:
                    codes[void] = -1
                columns[output.name] = TextColumn(codes, texts)
                if kind == "label":
                    null = codes < 0
            else:
                values = self.tree.values.take(leaves, axis=0, mode="clip")
                if void is not None:
                    values[void] = np.nan
                columns[output.name] = values if kind == "shares" else values[:, 0]
                if kind == "value":
                    null = np.isnan(values[:, 0])
                elif null is not None and null.any():
                    null &= np.isnan(values).all(axis=1)
        assert null is not None, "a tree has a label or a value"
        return Answer(Predictions(columns, _failures(self.inputs, features, prepared, null)))


@dataclass(frozen=True, slots=True)
class ClassModel:
    """A classification whose class is the most probable one. See `Evaluator`.

    Attributes:
        first_wins: Of classes of exactly the same probability the first is meant; otherwise the record is undecided.
        nothing: The class of a record without probabilities, where the core cannot tell why it has none. `None` for not
            known, which makes it undecided.
        close: Probabilities that differ by no more are taken for equal: nought where the core is the engine's bit for bit.
    """

    inputs: Inputs
    core: Core
    outputs: tuple[TensorSpec, ...]
    first_wins: bool
    nothing: int | None
    close: float = CLOSE

    @property
    def approximate(self) -> str | None:
        """See `Core.approximate`."""
        return self.core.approximate

    def evaluate(self, features: Features) -> Answer:
        """See `Evaluator.evaluate`."""
        prepared = self.inputs.prepare(features)
        with np.errstate(all="ignore"):
            shares, nothing = self.core.compute(prepared.matrix)
        codes = shares.argmax(axis=1).astype(np.int64, copy=False)
        rows = np.arange(len(shares))
        best = shares[rows, codes]
        # A NaN makes the comparison false, so a row with one counts as none of them, not as one.
        near = (shares >= (best - self.close)[:, None]).sum(axis=1)
        is_open: NDArray[np.bool_] = near != 1
        null: NDArray[np.bool_] = np.zeros(len(shares), np.bool_)
        if is_open.any():
            if self.first_wins:
                is_open &= (shares >= best[:, None]).sum(axis=1) != near
                is_open |= np.isnan(best)
            if nothing is not None:
                null = nothing
                is_open &= ~nothing
                codes = np.where(nothing, -1, codes)
            elif self.nothing is not None:
                is_nothing = np.isnan(shares).all(axis=1)
                is_open &= ~is_nothing
                codes = np.where(is_nothing, self.nothing, codes)
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


def _class_columns(outputs: tuple[TensorSpec, ...], codes: NDArray[np.int64], shares: Numbers) -> dict[str, Column]:
    columns: dict[str, Column] = {outputs[0].name: TextColumn(codes, outputs[0].categories)}
    if len(outputs) > 1:
        columns[outputs[1].name] = shares
    return columns


def _failures(inputs: Inputs, features: Features, prepared: Prepared, null: NDArray[np.bool_]) -> dict[int, str]:
    if not (prepared.unfit or null.any()):
        return {}
    failures = {row: why_no_result(inputs.schema, features, row) for row in np.flatnonzero(null).tolist()}
    return failures | prepared.unfit
