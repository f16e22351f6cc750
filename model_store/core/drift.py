"""How far the predictions of one model are from those of another, as the population stability index.

    PSI = sum over bins of (a - e) * ln(a / e)

where e and a are the shares of the bin among the expected and among the actual predictions (N. Siddiqi, "Credit Risk
Scorecards", Wiley 2006, chapter 6). It is the symmetric divergence of H. Jeffreys (1946): 0 for equal shares, positive
otherwise, the same both ways. By scorecard practice less than 0.1 is stability and more than 0.25 a significant shift.

Bins. A label is a bin, so is a cell of labels that are not told apart, and so are missing predictions. Numbers are put
into at most `NUMBER_BINS` bins of neighbouring buckets, each with about as large a share of both models' predictions
together; cutting by both, not by the expected ones as is usual, keeps the index symmetric.

Smoothing. Half a prediction is added to each bin, which keeps empty ones finite and matters less the more there are. Of a
weighted sample, as many predictions count here as would tell as much (`PredictionCounts.effective`).

Chance. Two samples of the same distribution do not have PSI 0: for n and m predictions in B bins it is distributed about
as (1/n + 1/m) times chi-squared with B - 1 degrees of freedom (B. Yurdakul and J. Naranjo, "Statistical properties of the
population stability index", Journal of Risk Model Validation 14(4), 2020). `Drift.chance` is where that is exceeded once
in a thousand times, so a value below it says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from model_store.core.sketch import PredictionCounts, number_range

NUMBER_BINS: Final = 10
PSEUDO_COUNT: Final = 0.5
_NORMAL_999: Final = 3.0902
"""What a standard normal variable exceeds once in a thousand times."""

Bins = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a comparison.

    Attributes:
        name: The label, or the range of the numbers.
        expected: Predictions in it, of those that were expected, weighted.
        actual: Predictions in it, of the actual ones, weighted.
        part: What it adds to the index; at least 0.
    """

    name: str
    expected: int
    actual: int
    part: float


@dataclass(frozen=True, slots=True)
class Drift:
    """A comparison of two samples of predictions.

    Attributes:
        psi: The index, at least 0.
        chance: What it would exceed by chance once in a thousand times, if nothing differed; 0 for a single bin.
        bins: The bins, the one that adds most first.
    """

    psi: float
    chance: float
    bins: tuple[Bin, ...]


def drift(expected: PredictionCounts, actual: PredictionCounts) -> Drift | None:
    """The population stability index of two samples; `None` if they cannot be compared, because either is empty, or one
    has labels and the other numbers.
    """
    if not (expected.total and actual.total and _are_comparable(expected, actual)):
        return None
    bins = _bins(expected, actual)
    expected_scale, actual_scale = expected.effective / expected.total, actual.effective / actual.total
    expected_whole = expected.effective + PSEUDO_COUNT * len(bins)
    actual_whole = actual.effective + PSEUDO_COUNT * len(bins)
    parts = []
    for name, (one, two) in bins.items():
        e = (one * expected_scale + PSEUDO_COUNT) / expected_whole
        a = (two * actual_scale + PSEUDO_COUNT) / actual_whole
        parts.append(Bin(name, one, two, (a - e) * math.log(a / e)))
    ordered = tuple(sorted(parts, key=lambda part: (-part.part, part.name)))
    scale = 1 / expected.effective + 1 / actual.effective
    return Drift(math.fsum(part.part for part in ordered), scale * _chi_squared_999(len(bins) - 1), ordered)


def _are_comparable(one: PredictionCounts, two: PredictionCounts) -> bool:
    # Samples of nothing but missing predictions are of any kind, and their drift is just what one wants to know.
    return one.kind == two.kind or "nothing" in (one.kind, two.kind)


def _bins(expected: PredictionCounts, actual: PredictionCounts) -> Bins:
    # The names that both together keep are told exactly by both; any other may be hidden in the cells of one of them.
    names = expected.merged(actual).labels
    one, two = expected.keeping(names), actual.keeping(names)
    bins: dict[str, tuple[int, int]] = {
        f"label {label}": (one.labels.get(label, 0), two.labels.get(label, 0)) for label in sorted(names)
    }
    for cell in sorted({*one.other, *two.other}):
        bins[f"other labels, cell {cell}"] = (one.other.get(cell, 0), two.other.get(cell, 0))
    bins |= _number_bins(one, two)
    if one.missing or two.missing:
        bins["missing"] = (one.missing, two.missing)
    return bins


def _number_bins(one: PredictionCounts, two: PredictionCounts) -> Bins:
    bins: dict[str, tuple[int, int]] = {}
    buckets = sorted({*one.numbers, *two.numbers})
    wholes = max(1, sum(one.numbers.values())), max(1, sum(two.numbers.values()))
    wanted = 1 / NUMBER_BINS
    first, counts, share = None, (0, 0), 0.0
    for bucket in buckets:
        first = bucket if first is None else first
        here = one.numbers.get(bucket, 0), two.numbers.get(bucket, 0)
        counts = counts[0] + here[0], counts[1] + here[1]
        share = (counts[0] / wholes[0] + counts[1] / wholes[1]) / 2
        # The last bin takes what is left; a sliver of its own would be noise.
        if share >= wanted and len(bins) < NUMBER_BINS - 1:
            bins[_range_name(first, bucket)] = counts
            first, counts = None, (0, 0)
    if first is not None:
        bins[_range_name(first, buckets[-1])] = counts
    return bins


def _range_name(first: int, last: int) -> str:
    return f"{number_range(first)[0]:.6g} to {number_range(last)[1]:.6g}"


def _chi_squared_999(freedom: int) -> float:
    """The 99.9 % quantile, by the cube-root approximation of Wilson and Hilferty (PNAS 17, 1931); at most 4 % too much."""
    if freedom <= 0:
        return 0.0
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + _NORMAL_999 * math.sqrt(spread)) ** 3)
