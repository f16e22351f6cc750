"""Small neural networks: layers of weighted sums, each summed in the order of the document, which is not quite the engine's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.scorers.fast.sums import sum_in_order

Numbers = NDArray[np.float64]

ACTIVATIONS: Final[dict[str, Callable[[Numbers], Numbers]]] = {
    "logistic": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "tanh": np.tanh,
    "identity": lambda z: z,
    "rectifier": lambda z: np.maximum(0.0, z),
    "Elliott": lambda z: z / (1.0 + np.abs(z)),
}
_MOST_PRODUCTS: Final = 200_000
"""Weights times records that are held at once."""


@dataclass(frozen=True, slots=True)
class Norm:
    """A piecewise linear function of a column, continued beyond its ends.

    Attributes:
        column: Of the prepared matrix.
        points: (original, normalised), ascending, at least two; none: the number as it is.
    """

    column: int
    points: tuple[tuple[float, float], ...]

    def compute(self, matrix: Numbers) -> Numbers:
        """The normalised numbers: (n,)."""
        values = matrix[:, self.column]
        if not self.points:
            return values
        total = np.full(len(values), np.nan)
        last = len(self.points) - 2
        for index in range(last + 1):
            (low, low_norm), (high, high_norm) = self.points[index], self.points[index + 1]
            line = low_norm + (values - low) / (high - low) * (high_norm - low_norm)
            chosen = np.ones(len(values), np.bool_) if index == 0 else values > low
            total = np.where(chosen, line, total)
        return total


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer; every neuron takes all outputs of the one before, in its order.

    Attributes:
        weights: (inputs, neurons).
        biases: (neurons,).
        activation: One of `ACTIVATIONS`.
        normalisation: `none`, `softmax`, `simplemax`.
    """

    weights: Numbers
    biases: Numbers
    activation: str
    normalisation: str

    def compute(self, given: Numbers) -> Numbers:
        """(inputs, n) -> (neurons, n)."""
        terms = np.empty((len(self.weights) + 1, self.weights.shape[1], given.shape[1]))
        terms[0] = self.biases[:, None]
        np.multiply(given[:, None, :], self.weights[:, :, None], out=terms[1:])
        out = ACTIVATIONS[self.activation](sum_in_order(terms))
        if self.normalisation == "softmax":
            out = np.exp(out)
        if self.normalisation != "none":
            out = out / sum_in_order(out)
        return out


@dataclass(frozen=True, slots=True)
class Network:
    """Inputs, layers, and which neuron of the last layer is which output.

    Attributes:
        outputs: For each class of the signature (or the one value) its neuron.
    """

    norms: tuple[Norm, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]

    @property
    def approximate(self) -> str:
        """See `Core.approximate`. Even without `exp`: the engine adds up a neuron's terms in an order of its own."""
        return "the sums of a network"

    def compute(self, matrix: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
        """The outputs of each record: (n, outputs), and which records miss an input. See `Core`."""
        step = max(1, _MOST_PRODUCTS // max(layer.weights.size for layer in self.layers))
        if len(matrix) <= step:
            return self._compute(matrix)
        pieces = [self._compute(matrix[at : at + step]) for at in range(0, len(matrix), step)]
        return np.concatenate([found for found, _ in pieces]), np.concatenate([null for _, null in pieces])

    def _compute(self, matrix: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
        values = np.array([norm.compute(matrix) for norm in self.norms])
        is_null: NDArray[np.bool_] = np.isnan(values).any(axis=0)
        for layer in self.layers:
            values = layer.compute(values)
        found = np.ascontiguousarray(values[list(self.outputs)].T)
        found[is_null] = np.nan
        return found, is_null
