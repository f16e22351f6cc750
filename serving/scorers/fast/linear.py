"""Weighted sums of numbers and their products, and what is made of the sums: a value, or the probability of each class.

Terms are computed and added in the order of the document, one after another, so that the sums are the engine's to the
last bit: a product and an addition are what IEEE 754 says, in numpy as in Java. `exp` and `pow` are numpy's and not Java's; they
differ in the last bit now and then, so a model with one of them is only approximately the engine's, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.scorers.fast.sums import sum_in_order

Numbers = NDArray[np.float64]

_MOST_PLAIN_ROWS: Final = 4
"""Records up to which plain Python is quicker than numpy's calls."""


@dataclass(frozen=True, slots=True)
class Term:
    """`coefficient * product of column ** exponent`.

    Attributes:
        coefficient: Finite.
        factors: (column, exponent).
        zero_wins: A factor of nought makes the product nought, whatever the others are: missing ones too.
    """

    coefficient: float
    factors: tuple[tuple[int, float], ...]
    zero_wins: bool = False

    def compute(self, matrix: Numbers) -> Numbers:
        """The term of each record: (n,)."""
        if self.zero_wins:
            return self._product(matrix) * self.coefficient
        if len(self.factors) == 1:
            column, exponent = self.factors[0]
            values = matrix[:, column]
            return (values if exponent == 1.0 else np.power(values, exponent)) * self.coefficient
        total = np.full(len(matrix), self.coefficient)
        for column, exponent in self.factors:
            values = matrix[:, column]
            total *= values if exponent == 1.0 else np.power(values, exponent)
        return total

    def _product(self, matrix: Numbers) -> Numbers:
        total, is_zero = np.ones(len(matrix)), np.zeros(len(matrix), np.bool_)
        for column, exponent in self.factors:
            values = matrix[:, column]
            powers = values if exponent == 1.0 else np.power(values, exponent)
            total *= powers
            is_zero |= powers == 0.0
        return np.where(is_zero, 0.0, total)


class WeightedSum:
    """An intercept and terms. Thread-safe."""

    def __init__(self, intercept: float, terms: list[Term]) -> None:
        self._intercept = intercept
        self._terms = terms
        self._is_plain = all(len(term.factors) == 1 and term.factors[0][1] == 1.0 for term in terms)
        self._columns = [term.factors[0][0] for term in terms] if self._is_plain else []
        self._coefficients = [term.coefficient for term in terms]
        self._column = np.array(self._coefficients)[:, None]

    @property
    def approximate(self) -> str | None:
        """See `Core.approximate`."""
        return None if all(exponent == 1.0 for term in self._terms for _, exponent in term.factors) else "a power"

    def compute(self, matrix: Numbers) -> Numbers:
        """The sum of each record: (n,)."""
        if not self._terms:
            return np.full(len(matrix), self._intercept)
        if not self._is_plain:
            total = np.full(len(matrix), self._intercept)
            for term in self._terms:
                total += term.compute(matrix)
            return total
        if len(matrix) <= _MOST_PLAIN_ROWS:
            return np.array([self._sum(record) for record in matrix.tolist()])
        terms = np.empty((len(self._terms) + 1, len(matrix)))
        terms[0] = self._intercept
        chosen = matrix.T if self._columns == list(range(matrix.shape[1])) else matrix.T[self._columns]
        np.multiply(chosen, self._column, out=terms[1:])
        return sum_in_order(terms)

    def _sum(self, record: list[float]) -> float:
        total = self._intercept
        for column, coefficient in zip(self._columns, self._coefficients, strict=True):
            total += record[column] * coefficient
        return total


INVERSE_LINKS: Final = frozenset({"identity", "log", "logit", "logc"})


def inverse_link(name: str, sums: Numbers) -> Numbers:
    """The value of a generalised linear model; `name` is one of `INVERSE_LINKS`."""
    if name == "identity":
        return sums
    if name == "log":
        return np.exp(sums)
    if name == "logc":
        return 1.0 - np.exp(sums)
    return 1.0 / (1.0 + np.exp(-sums))


@dataclass(frozen=True, slots=True)
class Value:
    """A sum, and how it becomes the value: `none`, `exp`, `logit`, `softmax` (which is the same for one sum)."""

    weighted: WeightedSum
    link: str

    @property
    def approximate(self) -> str | None:
        """See `Core.approximate`."""
        return self.weighted.approximate if self.link == "identity" else f"the link {self.link!r}"

    def compute(self, matrix: Numbers) -> tuple[Numbers, None]:
        """The value of each record: (n, 1). See `Core`."""
        sums = self.weighted.compute(matrix)
        return inverse_link(self.link, sums)[:, None], None


@dataclass(frozen=True, slots=True)
class Shares:
    """A sum for each class, and how they become probabilities.

    Attributes:
        sums: In the order of the document.
        positions: Of each sum's class among the classes of the signature.
        method: `softmax`, `simplemax`, or `logit` and `none` for two classes.
    """

    sums: tuple[WeightedSum, ...]
    positions: tuple[int, ...]
    method: str

    @property
    def approximate(self) -> str | None:
        """See `Core.approximate`."""
        if self.method not in ("simplemax", "none"):
            return f"normalisation by {self.method!r}"
        return next((weighted.approximate for weighted in self.sums if weighted.approximate), None)

    def compute(self, matrix: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
        """The probabilities of each record: (n, classes), and which have a sum that is not a number. See `Core`."""
        sums = np.array([weighted.compute(matrix) for weighted in self.sums])
        is_null = np.isnan(sums).any(axis=0)
        if self.method == "softmax":
            powers = np.exp(sums)
            shares = powers / sum_in_order(powers)
        elif self.method == "simplemax":
            shares = sums / sum_in_order(sums)
        elif self.method == "logit":
            # Of two classes one has the sum nought; the engine looks for it in the last place, record by record.
            is_last_trivial = sums[1] == 0.0
            chance = 1.0 / (1.0 + np.exp(-np.where(is_last_trivial, sums[0], sums[1])))
            shares = np.where(is_last_trivial, [chance, 1.0 - chance], [1.0 - chance, chance])
        else:
            first = np.where(sums[0] < 0.0, 0.0, np.where(sums[0] > 1.0, 1.0, sums[0]))
            shares = np.array([first, 1.0 - first])
        shares[:, is_null] = math.nan
        ordered = np.empty((len(matrix), len(self.sums)))
        ordered[:, list(self.positions)] = shares.T
        return ordered, is_null
