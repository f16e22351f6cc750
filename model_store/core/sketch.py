"""What the predictions of a model look like: how often each label, and how many numbers in each bucket, exactly mergeable.

Labels. At most `LABELS_KEPT` labels are counted by name: those with the lowest CRC-32 of their UTF-8 bytes among all that
were ever seen. The others are counted in `OTHER_CELLS` cells, by the low bits of the same CRC. Which labels are kept
depends on the set of labels alone, and a label that is kept in the end was kept in every part; so the counts of the kept
ones are exact, and merging associates and commutes. (Keeping the most frequent ones would not: a label that is rare in
each part may be frequent in all.) Up to `LABELS_KEPT` different labels nothing is lost at all; of a model with hundreds, a
cell holds labels of all sorts, and a shift from one to another shows less than it would among few.

Numbers. Magnitudes from 2^-30 to 2^40 have `PARTS_OF_OCTAVE` buckets of equal width between two powers of two, so a bucket
is at most 1/32 of its values wide, and which one it is follows from the bits of the double, with no logarithm to round.
Negative numbers have the same buckets with a negative sign. What is smaller is bucket 0, what is larger the last one.

Samples. Where one row in w of a batch was looked at, each counts w times, so that large batches keep their share among
small ones, and batches of one kind of record theirs among others. `PredictionCounts.effective` says how much is known.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

LABELS_KEPT: Final = 50
OTHER_CELLS: Final = 16
FEW: Final = 24
"""Up to so many predictions numpy's calls cost more than a loop, measured."""
LABEL_CHARACTERS: Final = 100
"""Of longer labels only the beginning counts."""

PARTS_OF_OCTAVE: Final = 32
_LOWEST_EXPONENT: Final = -30
_HIGHEST_EXPONENT: Final = 40
_LOWEST_MAGNITUDE: Final = 2.0 ** (_LOWEST_EXPONENT - 1)
_HIGHEST_MAGNITUDE: Final = 2.0**_HIGHEST_EXPONENT
_BITS_BELOW_PARTS: Final = 52 - (PARTS_OF_OCTAVE.bit_length() - 1)  # IEEE 754: a double has 52 bits of fraction
_PARTS_BELOW_LOWEST: Final = (1023 + _LOWEST_EXPONENT) * PARTS_OF_OCTAVE - 1  # and an exponent that is 1023 too large
LAST_BUCKET: Final = (_HIGHEST_EXPONENT - _LOWEST_EXPONENT) * PARTS_OF_OCTAVE + 1

Kind = Literal["labels", "numbers", "mixed", "nothing"]


@dataclass(frozen=True, slots=True)
class PredictionCounts:
    """Counts of predictions. A commutative monoid under `merged`, with `NO_PREDICTIONS` as its identity.

    Attributes:
        labels: Label -> count, all positive; at most `LABELS_KEPT`. Never changed after construction.
        other: Cell, 0 to `OTHER_CELLS` - 1 -> count of the labels that are not kept, all positive.
        numbers: Bucket, -`LAST_BUCKET` to `LAST_BUCKET` -> count, all positive.
        missing: Predictions that are NaN, and records without a label.
        excess: Sum of w * (w - 1) over the rows that were counted w times each; 0 where all rows were looked at.
    """

    labels: Mapping[str, int] = field(default_factory=dict)
    other: Mapping[int, int] = field(default_factory=dict)
    numbers: Mapping[int, int] = field(default_factory=dict)
    missing: int = 0
    excess: int = 0

    @property
    def total(self) -> int:
        """How many predictions these stand for."""
        parts = (self.labels, self.other, self.numbers)
        return self.missing + sum(sum(counts.values()) for counts in parts)

    @property
    def effective(self) -> float:
        """How many predictions, each counted once, would tell as much: (sum of w)^2 / sum of w^2 over the rows that were
        looked at (L. Kish, "Survey Sampling", Wiley 1965). At most `total`.
        """
        total = self.total
        return total * total / (total + self.excess) if total else 0.0

    @property
    def kind(self) -> Kind:
        """What was counted; missing ones are of any kind."""
        if self.labels or self.other:
            return "mixed" if self.numbers else "labels"
        return "numbers" if self.numbers else "nothing"

    def merged(self, other: PredictionCounts) -> PredictionCounts:
        """Both together."""
        if not other.total:
            return self
        tally = PredictionTally()
        tally.add(self)
        tally.add(other)
        return tally.frozen()

    def keeping(self, labels: Iterable[str]) -> PredictionCounts:
        """The same counts with these labels by name, those of them that are kept here, and all other labels in cells."""
        wanted = set(labels)
        kept = {label: count for label, count in self.labels.items() if label in wanted}
        cells = dict(self.other)
        for label, count in self.labels.items():
            if label not in wanted:
                cell = _cell(label)
                cells[cell] = cells.get(cell, 0) + count
        return PredictionCounts(kept, cells, self.numbers, self.missing, self.excess)


NO_PREDICTIONS: Final = PredictionCounts()


class PredictionTally:
    """Counts of predictions that grow in place. For one thread; `frozen` gives a value that any thread may read."""

    __slots__ = ("excess", "labels", "missing", "numbers", "other")

    def __init__(self) -> None:
        self.labels: dict[str, int] = {}
        self.other: dict[int, int] = {}
        self.numbers: dict[int, int] = {}
        self.missing = self.excess = 0

    def add(self, part: PredictionCounts) -> None:
        """Count others in. Some microseconds, by how many labels and buckets `part` has, at most 50 and its sample."""
        labels, numbers = self.labels, self.numbers
        for label, count in part.labels.items():
            labels[label] = labels.get(label, 0) + count
        for cell, count in part.other.items():
            self.other[cell] = self.other.get(cell, 0) + count
        for bucket, count in part.numbers.items():
            numbers[bucket] = numbers.get(bucket, 0) + count
        self.missing += part.missing
        self.excess += part.excess
        if len(labels) > LABELS_KEPT:
            self._overflow()

    def frozen(self) -> PredictionCounts:
        """What was counted so far, as a value."""
        return PredictionCounts(dict(self.labels), dict(self.other), dict(self.numbers), self.missing, self.excess)

    def _overflow(self) -> None:
        for label in sorted(self.labels, key=_rank)[LABELS_KEPT:]:
            cell = _cell(label)
            self.other[cell] = self.other.get(cell, 0) + self.labels.pop(label)


def counts_of_labels(counts: Iterable[tuple[str, int]], missing: int = 0, weight: int = 1) -> PredictionCounts:
    """Labels with how often each came, in any order; a label may come more than once.

    Args:
        counts: Label, and how many rows got it; at least 1.
        missing: Rows that got none.
        weight: How often each row counts, at least 1.
    """
    tally = PredictionTally()
    rows = missing
    for label, count in counts:
        name = _name(label)
        tally.labels[name] = tally.labels.get(name, 0) + count * weight
        rows += count
    tally.add(PredictionCounts(missing=missing * weight, excess=rows * weight * (weight - 1)))
    return tally.frozen()


def counts_of_numbers(values: NDArray[np.float64], weight: int = 1) -> PredictionCounts:
    """Numbers in their buckets. Vectorised, but where they are few: then calls of numpy would be most of the cost.

    Args:
        values: float64 (n,); NaN is a missing one, and infinity is beyond the last bound.
        weight: How often each counts, at least 1.
    """
    if len(values) <= FEW:
        return _counts_of_few(values.tolist(), weight)
    known = values[values == values]
    counts = np.bincount(number_buckets(known) + LAST_BUCKET)
    (found,) = counts.nonzero()
    return PredictionCounts(
        numbers=dict(zip((found - LAST_BUCKET).tolist(), (counts[found] * weight).tolist(), strict=True)),
        missing=(len(values) - len(known)) * weight,
        excess=len(values) * weight * (weight - 1),
    )


def _counts_of_few(values: list[float], weight: int) -> PredictionCounts:
    numbers: dict[int, int] = {}
    missing = 0
    for value in values:
        if value == value:
            bucket = _bucket(value)
            numbers[bucket] = numbers.get(bucket, 0) + weight
        else:
            missing += weight
    return PredictionCounts(numbers=numbers, missing=missing, excess=len(values) * weight * (weight - 1))


def _bucket(value: float) -> int:
    """As `number_buckets`, of one number."""
    magnitude = min(max(abs(value), _LOWEST_MAGNITUDE), _HIGHEST_MAGNITUDE)
    fraction, exponent = math.frexp(magnitude)
    part = int(fraction * (2 * PARTS_OF_OCTAVE)) - PARTS_OF_OCTAVE
    bucket = max((exponent - (_LOWEST_EXPONENT + 1)) * PARTS_OF_OCTAVE + part + 1, 0)
    return -bucket if value < 0 else bucket


def number_buckets(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket of each number, int64 (n,). Grows with the number; the negative number has the negative bucket.

    Args:
        values: float64 (n,), without NaN.
    """
    # The bits of a double without its sign grow with its magnitude: the exponent first, then the parts of the octave.
    parts = np.abs(values).view(np.int64) >> _BITS_BELOW_PARTS
    buckets = np.minimum(np.maximum(parts - _PARTS_BELOW_LOWEST, 0), LAST_BUCKET)
    signed: NDArray[np.int64] = np.where(values < 0, -buckets, buckets)
    return signed


def number_range(bucket: int) -> tuple[float, float]:
    """Between which two numbers a bucket's are: the one nearer to zero belongs to it, the other does not.

    Bucket 0 lies between the two bounds and holds neither. The outer bound of the last bucket is infinite.
    """
    if bucket < 0:
        low, high = number_range(-bucket)
        return -high, -low
    if bucket == 0:
        return -(2.0**_LOWEST_EXPONENT), 2.0**_LOWEST_EXPONENT
    return _lower_bound(bucket), float("inf") if bucket >= LAST_BUCKET else _lower_bound(bucket + 1)


def _lower_bound(bucket: int) -> float:
    octave, part = divmod(bucket - 1, PARTS_OF_OCTAVE)
    return float((1 + part / PARTS_OF_OCTAVE) * 2.0 ** (octave + _LOWEST_EXPONENT))


@lru_cache(maxsize=4096)
def _name(label: str) -> str:
    # Half a surrogate pair, which a model may well give, cannot be written as UTF-8.
    return label[:LABEL_CHARACTERS].encode(errors="replace").decode()


@lru_cache(maxsize=4096)
def _rank(label: str) -> str:
    # As text, eight digits and the label to tell equal ones apart, because text sorts faster than pairs do.
    return f"{zlib.crc32(label.encode()):08x}{label}"


@lru_cache(maxsize=4096)
def _cell(label: str) -> int:
    return zlib.crc32(label.encode()) % OTHER_CELLS
