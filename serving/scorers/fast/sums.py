"""Sums whose terms are added one after another, so that they are the engine's to the last bit, in a batch of any size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sum_in_order(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over the first axis, term by term.

    numpy adds in pairs along an axis that is contiguous in memory, and goes term by term along any other; a single record
    would make the first axis contiguous, so it is accumulated instead. `terms` is C-contiguous. The sum begins with the first
    term and not with nought, so that negative noughts add up to a negative one.
    """
    if terms[0].size == 1:
        total: NDArray[np.float64] = np.add.accumulate(terms, axis=0)[-1]
        return total
    summed: NDArray[np.float64] = np.add.reduce(terms, axis=0, initial=-0.0)
    return summed
