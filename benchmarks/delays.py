"""From arrivals to delays: quantiles, and the worst record near a swap beside the worst elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.accounting import Results

AFTER_SWAP_US = 500_000
"""A swap is over so long after the first result of the new model: what queued up meanwhile has drained by then."""
_QUANTILES = 200
_WORST = 50


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from sending to arrival.

    Attributes:
        p50: Median; `p99` and `p999` likewise.
        worst: Of all.
        curve: Quantiles 0, 1/200, ... 1, for a plot.
        longest: The fifty worst, longest first: what the curve is too coarse for.
    """

    p50: float
    p99: float
    p999: float
    worst: float
    curve: tuple[float, ...]
    longest: tuple[float, ...]


def delays_of(milliseconds: NDArray[np.float64]) -> Delays:
    """Of at least one record.

    Raises:
        ValueError: There is none.
    """
    if not len(milliseconds):
        raise ValueError("no record of the measured time came back")
    ordered = np.sort(milliseconds)

    def at(quantile: float) -> float:
        return round(float(np.quantile(ordered, quantile)), 3)

    curve = tuple(at(step / _QUANTILES) for step in range(_QUANTILES + 1))
    longest = tuple(round(float(each), 3) for each in ordered[::-1][:_WORST])
    return Delays(at(0.5), at(0.99), at(0.999), longest[0], curve, longest)


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap, as the results show it.

    Attributes:
        took_ms: From giving the model to the first of its results in the reader's hands.
        worst_ms: The slowest record sent from giving the model until half a second after its first result.
        mixed: Results of the old model for records that follow, in their partition, one that the new model scored.
    """

    took_ms: float
    worst_ms: float
    mixed: int


@dataclass(frozen=True, slots=True)
class Column:
    """What delays are taken from: one row a record, its first arrival.

    Attributes:
        index: int64 (n,), ascending.
        sent_us: int64 (n,).
        arrived_us: int64 (n,).
        version: uint64 (n,); 0 where it is not known which model scored.
    """

    index: NDArray[np.int64]
    sent_us: NDArray[np.int64]
    arrived_us: NDArray[np.int64]
    version: NDArray[np.uint64]

    @property
    def milliseconds(self) -> NDArray[np.float64]:
        """Delay of each."""
        return (self.arrived_us - self.sent_us) / 1_000.0

    def where(self, mask: NDArray[np.bool_]) -> Column:
        """Some of the rows."""
        return Column(self.index[mask], self.sent_us[mask], self.arrived_us[mask], self.version[mask])


def first_arrivals(results: Results, arrived_us: NDArray[np.int64], version: NDArray[np.uint64]) -> Column:
    """Each record once; results of no record left out. `version` says which model each is taken to be of."""
    rows = np.flatnonzero(results.index >= 0)
    _, first = np.unique(results.index[rows], return_index=True)
    rows = rows[first]
    return Column(results.index[rows], results.sent_us[rows], arrived_us[rows], version[rows])


def swap_seen(column: Column, given_us: int, new: Sequence[int], partitions: int) -> Swap | None:
    """The swap to one of the versions `new`, asked for at `given_us`; None if no result of it came."""
    is_new = np.isin(column.version, np.array(list(new), np.uint64)) & (column.arrived_us >= given_us)
    if not is_new.any():
        return None
    first_us = int(column.arrived_us[is_new].min())
    near = is_near(column, given_us, first_us + AFTER_SWAP_US)
    mixed = 0
    for partition in range(partitions):
        here = column.index % partitions == partition
        if (is_new & here).any():
            begin = column.index[is_new & here].min()
            after = here & (column.index > begin) & (column.sent_us <= first_us + AFTER_SWAP_US)
            mixed += int((after & ~is_new & (column.version != 0)).sum())
    worst = column.milliseconds[near].max() if near.any() else 0.0
    return Swap(round((first_us - given_us) / 1_000, 2), round(float(worst), 2), mixed)


def is_near(column: Column, begin_us: int, end_us: int) -> NDArray[np.bool_]:
    """The records sent in a span of time."""
    return np.asarray((column.sent_us >= begin_us) & (column.sent_us <= end_us))
