"""Histograms of durations with buckets of constant relative width, so that they merge by addition.

Bucket `i` holds the durations in `(G^(i-1), G^i]` nanoseconds, with G = 1.04; a percentile is answered by the bucket's
middle `2 G^i / (G + 1)`, which is at most 2 % (`RELATIVE_ERROR`) off any duration in the bucket. Durations of a
nanosecond and less, negative ones among them, are in bucket 0. The scheme is that of DDSketch (Masson, Rim and Lee,
VLDB 2019, section 2), without its collapsing: an hour is bucket 738, so the range needs no bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

GROWTH: Final = 1.04
RELATIVE_ERROR: Final = (GROWTH - 1) / (GROWTH + 1)
_LOG_GROWTH: Final = math.log(GROWTH)
_FEW: Final = 24  # up to there numpy's calls cost more than a loop, measured
_WIDEST: Final = 4  # as many cells as this for each record cost less than its logarithm


def bucket_of(nanoseconds: float) -> int:
    """The bucket of one duration."""
    return 0 if nanoseconds <= 1 else math.ceil(math.log(nanoseconds) / _LOG_GROWTH)


def buckets_of(nanoseconds: NDArray[np.float64]) -> dict[int, int]:
    """The buckets of many durations, each with how many of them are in it. Vectorised.

    Args:
        nanoseconds: (n,), finite.
    """
    if len(nanoseconds) == 0:
        return {}
    counts = np.bincount(_indices(nanoseconds))
    filled = np.flatnonzero(counts)
    return dict(zip(filled.tolist(), counts[filled].tolist(), strict=True))


def buckets_of_milliseconds(milliseconds: NDArray[np.int64]) -> dict[int, int]:
    """`buckets_of` of whole milliseconds: the records of a batch are of few different ages, and one logarithm each does.

    Args:
        milliseconds: (n,).
    """
    count = len(milliseconds)
    if count <= _FEW:
        found: dict[int, int] = {}
        for each in milliseconds.tolist():
            bucket = bucket_of(each * 1e6)
            found[bucket] = found.get(bucket, 0) + 1
        return found
    lowest, highest = int(milliseconds.min()), int(milliseconds.max())
    if lowest == highest:
        return {bucket_of(lowest * 1e6): count}
    if highest - lowest > _WIDEST * count:
        return buckets_of(_nanoseconds(milliseconds))
    counts = np.bincount(milliseconds - lowest)
    (different,) = counts.nonzero()
    # As floating-point numbers these counts are exact.
    sums = np.bincount(_indices(_nanoseconds(different + lowest)), counts[different])
    (filled,) = sums.nonzero()
    return dict(zip(filled.tolist(), sums[filled].astype(np.int64).tolist(), strict=True))


def _nanoseconds(milliseconds: NDArray[np.int64]) -> NDArray[np.float64]:
    return milliseconds.astype(np.float64) * 1e6


def _indices(nanoseconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.ceil(np.log(np.maximum(nanoseconds, 1.0)) / _LOG_GROWTH).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many durations are in each bucket. A commutative monoid under `merged`, with `Histogram()` as its identity.

    Attributes:
        counts: Bucket -> count, all positive. Never changed after construction.
    """

    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many durations there are."""
        return sum(self.counts.values())

    def merged(self, other: Histogram) -> Histogram:
        """Both together."""
        counts = dict(self.counts)
        for bucket, count in other.counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
        return Histogram(counts)

    def quantile_seconds(self, quantile: float) -> float | None:
        """The duration that a share of all is at or below, within `RELATIVE_ERROR`; `None` of an empty histogram.

        Args:
            quantile: 0 to 1: 0.99 is the 99th percentile.
        """
        return next(iter(self.quantiles_seconds((quantile,))))

    def quantiles_seconds(self, quantiles: Iterable[float]) -> list[float | None]:
        """Several quantiles at once; see `quantile_seconds`."""
        buckets = sorted(self.counts)
        if not buckets:
            return [None for _ in quantiles]
        cumulated = np.cumsum([self.counts[bucket] for bucket in buckets])
        total = int(cumulated[-1])
        ranks = [max(1, math.ceil(quantile * total)) for quantile in quantiles]
        return [_middle_seconds(buckets[int(np.searchsorted(cumulated, rank))]) for rank in ranks]

    def count_up_to_seconds(self, seconds: float) -> int:
        """How many durations are in buckets that end at or below `seconds`; for cumulative metrics."""
        last = math.floor(math.log(seconds * 1e9) / _LOG_GROWTH + 1e-9) if seconds > 1e-9 else 0
        return sum(count for bucket, count in self.counts.items() if bucket <= last)

    def sum_seconds(self) -> float:
        """All durations together, within `RELATIVE_ERROR`."""
        return sum(_middle_seconds(bucket) * count for bucket, count in self.counts.items())


def _middle_seconds(bucket: int) -> float:
    return 0.0 if bucket <= 0 else float(2 * GROWTH**bucket / (GROWTH + 1) * 1e-9)
