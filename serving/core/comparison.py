"""How two models differ over the same records: a value that is made for each batch and merged. No I/O.

`compare` looks at n records at once; `Comparison.merged` is associative and commutative (but for the last digits of the
sum of deltas, and for which rare class changes are still listed), with `Comparison()` as its identity. So parts may be made
in any order, and by segment.

Words. The *baseline* is what a *candidate* is compared with. A record is *paired* if both have a result for it. A paired
record is *identical* if all values are equal bit for bit (NaN equals NaN). Its *delta* is candidate minus baseline: of the
predictions, else of the element of `scores` that differs most; a delta that is not finite is counted and left out. Its
*class* is the label, else the index of the largest of several scores. The two *disagree* if their classes do; where
they have no classes, if the delta is beyond the tolerance, not finite, or cannot be had.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_store.core.histogram import Histogram, buckets_of
from serving.core.columns import TextColumn
from serving.core.scored import Scored

MAX_EXAMPLES: Final = 5
MAX_CLASS_PAIRS: Final = 400
_LONGEST_TEXT: Final = 200
_Z95: Final = 1.959963984540054
"""97.5 % of a standard normal lie below."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no result.

    Attributes:
        stage: Where the record failed, as `DeadLetter.Stage` names it; empty: nothing is known of it.
        reason: A sentence.
    """

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Side:
    """What one model said of n records.

    Attributes:
        prediction: float64 (n,).
        has_prediction: bool (n,); where it is false, `prediction` means nothing.
        label: n labels, code -1 where there is none.
        scores: float64 (n, d).
        widths: int64 (n,): how many of a row's scores there are, from the left.
        missing: Row -> why it has no result; its cells mean nothing.
    """

    prediction: NDArray[np.float64]
    has_prediction: NDArray[np.bool_]
    label: TextColumn
    scores: NDArray[np.float64]
    widths: NDArray[np.int64]
    missing: Mapping[int, Missing] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.prediction)

    def take(self, rows: NDArray[np.intp]) -> Side:
        """The same for some rows only."""
        missing = {i: self.missing[row] for i, row in enumerate(rows.tolist()) if row in self.missing}
        return Side(
            self.prediction[rows],
            self.has_prediction[rows],
            self.label.take(rows),
            self.scores[rows],
            self.widths[rows],
            missing,
        )


def side_of(count: int, values: Scored | None, missing: Mapping[int, Missing]) -> Side:
    """The side of a model that scored here; `values` is `None` where it failed on all `count` records."""
    prediction = None if values is None else values.prediction
    scores = np.empty((count, 0)) if values is None or values.scores is None else values.scores
    nothing = TextColumn(np.full(count, -1, np.int64), ())
    return Side(
        np.full(count, np.nan) if prediction is None else prediction,
        np.full(count, prediction is not None),
        nothing if values is None or values.label is None else values.label,
        scores,
        np.full(count, scores.shape[1], np.int64),
        missing,
    )


@dataclass(frozen=True, slots=True)
class Example:
    """Where a record stands, and what became of it."""

    partition: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failures:
    """Records without a result of one side.

    Attributes:
        counts: Stage -> records; the empty stage: nothing is known of them.
        examples: Stage -> the first `MAX_EXAMPLES` of them by partition and offset.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)

    def merged(self, other: Failures) -> Failures:
        """Both together."""
        examples = dict(self.examples)
        for stage, rows in other.examples.items():
            examples[stage] = _first((*examples.get(stage, ()), *rows))
        return Failures(_added(self.counts, other.counts), examples)


@dataclass(frozen=True, slots=True)
class Deltas:
    """Finite deltas.

    Attributes:
        count: How many there are.
        total: Their sum.
        lowest: The smallest, infinity if there is none.
        highest: The largest, minus infinity if there is none.
        sizes: Their absolute values, in units of 1e-9: what the histogram calls a second is a delta of 1.
        not_finite: Records whose delta is not finite, for example because one side is NaN.
    """

    count: int = 0
    total: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf
    sizes: Histogram = field(default_factory=Histogram)
    not_finite: int = 0

    def merged(self, other: Deltas) -> Deltas:
        """Both together."""
        return Deltas(
            self.count + other.count,
            self.total + other.total,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.sizes.merged(other.sizes),
            self.not_finite + other.not_finite,
        )


@dataclass(frozen=True, slots=True)
class ClassChanges:
    """A confusion matrix.

    Attributes:
        pairs: (class of the baseline, class of the candidate) -> records; at most `MAX_CLASS_PAIRS`, the frequent ones.
        unlisted_same: Records of pairs that are not listed, of the same class.
        unlisted_changed: Records of pairs that are not listed, of different classes.
    """

    pairs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unlisted_same: int = 0
    unlisted_changed: int = 0

    def merged(self, other: ClassChanges) -> ClassChanges:
        """Both together."""
        return _bounded(
            _added(self.pairs, other.pairs),
            self.unlisted_same + other.unlisted_same,
            self.unlisted_changed + other.unlisted_changed,
        )

    @property
    def records(self) -> int:
        """Records for which both sides have a class."""
        return sum(self.pairs.values()) + self.unlisted_same + self.unlisted_changed

    @property
    def changed(self) -> int:
        """Those of them whose classes differ."""
        return sum(count for (old, new), count in self.pairs.items() if old != new) + self.unlisted_changed


@dataclass(frozen=True, slots=True)
class Comparison:
    """See the module.

    Attributes:
        records: All that were looked at.
        paired: Those for which both sides have a result.
        identical: Those of them whose values are the same.
        disagreements: Those of them on which the sides disagree.
        unpaired: Why a record is not paired: `candidate`, `baseline` or `both` have no result -> records.
        deltas: Of the paired records.
        classes: Of the paired records that have one on both sides.
        baseline_failures: Records without a result of the baseline.
        candidate_failures: Records without a result of the candidate.
        latency: Seconds that the candidate took for a record: those of its batch, divided by the batch's records.
    """

    records: int = 0
    paired: int = 0
    identical: int = 0
    disagreements: int = 0
    unpaired: Mapping[str, int] = field(default_factory=dict)
    deltas: Deltas = field(default_factory=Deltas)
    classes: ClassChanges = field(default_factory=ClassChanges)
    baseline_failures: Failures = field(default_factory=Failures)
    candidate_failures: Failures = field(default_factory=Failures)
    latency: Histogram = field(default_factory=Histogram)

    def merged(self, other: Comparison) -> Comparison:
        """Both together."""
        return Comparison(
            self.records + other.records,
            self.paired + other.paired,
            self.identical + other.identical,
            self.disagreements + other.disagreements,
            _added(self.unpaired, other.unpaired),
            self.deltas.merged(other.deltas),
            self.classes.merged(other.classes),
            self.baseline_failures.merged(other.baseline_failures),
            self.candidate_failures.merged(other.candidate_failures),
            self.latency.merged(other.latency),
        )

    def disagreement_interval(self) -> tuple[float, float] | None:
        """Where the rate of disagreement lies with 95 % confidence; `None` without paired records.

        The score interval of Wilson (1927): right also for rates near 0 and 1, and for few records. It takes records as
        independent of each other.
        """
        n = self.paired
        if not n:
            return None
        rate, z2 = self.disagreements / n, _Z95**2
        middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z95 / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
        low = 0.0 if self.disagreements == 0 else max(0.0, middle - half)
        return low, 1.0 if self.disagreements == n else min(1.0, middle + half)


def compare(
    partition: int,
    offsets: NDArray[np.int64],
    baseline: Side,
    candidate: Side,
    *,
    tolerance: float = 0.0,
    seconds_per_record: float | None = None,
) -> Comparison:
    """Compare the two sides of n records of one partition.

    Args:
        partition: Where the records come from.
        offsets: int64 (n,).
        baseline: n rows.
        candidate: n rows.
        tolerance: See the module.
        seconds_per_record: What the candidate took, where it was measured.
    """
    count = len(offsets)
    rows = np.array([i for i in range(count) if i not in baseline.missing and i not in candidate.missing], np.intp)
    latency = Histogram()
    if seconds_per_record is not None and count:
        latency = Histogram(dict.fromkeys(buckets_of(np.array([seconds_per_record * 1e9])), count))
    whole = Comparison(
        records=count,
        paired=len(rows),
        unpaired=_unpaired(baseline.missing, candidate.missing),
        baseline_failures=failures_of(partition, offsets, baseline.missing),
        candidate_failures=failures_of(partition, offsets, candidate.missing),
        latency=latency,
    )
    return whole.merged(_paired(baseline.take(rows), candidate.take(rows), tolerance)) if len(rows) else whole


def failures_of(partition: int, offsets: NDArray[np.int64], missing: Mapping[int, Missing]) -> Failures:
    """Count records without a result, and keep the first few of each stage; `missing` has rows of `offsets`."""
    counts: Counter[str] = Counter()
    examples: dict[str, tuple[Example, ...]] = {}
    for row in sorted(missing):
        why = missing[row]
        counts[why.stage] += 1
        if counts[why.stage] <= MAX_EXAMPLES:
            example = Example(partition, int(offsets[row]), _short(why.reason))
            examples[why.stage] = (*examples.get(why.stage, ()), example)
    return Failures(counts, examples)


def _paired(baseline: Side, candidate: Side, tolerance: float) -> Comparison:
    delta = _delta(baseline, candidate)
    has_delta = (baseline.has_prediction & candidate.has_prediction) | (
        (baseline.widths == candidate.widths) & (baseline.widths > 0)
    )
    finite = has_delta & np.isfinite(delta)
    values = delta[finite]
    deltas = Deltas(not_finite=int((has_delta & ~finite).sum()))
    if len(values):
        with np.errstate(over="ignore"):
            sizes = np.minimum(np.abs(values) * 1e9, 1e300)
        deltas = Deltas(
            len(values),
            float(values.sum()),
            float(values.min()),
            float(values.max()),
            Histogram(buckets_of(sizes)),
            deltas.not_finite,
        )
    names, old, new = _classes(baseline, candidate)
    has_class = (old >= 0) & (new >= 0)
    with np.errstate(invalid="ignore"):
        differs = np.where(has_class, old != new, ~(finite & (np.abs(delta) <= tolerance)))
    identical = _identical(baseline, candidate)
    # Without classes and numbers on either side (a label that no model gave) the same nothing is no disagreement.
    differs &= ~identical
    return Comparison(
        identical=int(identical.sum()),
        disagreements=int(differs.sum()),
        deltas=deltas,
        classes=_changes(names, old[has_class], new[has_class]),
    )


def _delta(baseline: Side, candidate: Side) -> NDArray[np.float64]:
    """float64 (n,): NaN where it is not finite or cannot be had."""
    with np.errstate(invalid="ignore", over="ignore"):
        delta = _difference(baseline.prediction, candidate.prediction)
        by_scores = ~(baseline.has_prediction & candidate.has_prediction)
        same = by_scores & (baseline.widths == candidate.widths) & (baseline.widths > 0)
        if same.any():
            width = int(baseline.widths[same].max())
            parts = _difference(baseline.scores[same, :width], candidate.scores[same, :width])
            parts[np.arange(width) >= baseline.widths[same][:, None]] = 0.0
            most = np.argmax(np.abs(parts), axis=1)  # takes the first NaN, if there is one
            delta[same] = parts[np.arange(len(parts)), most]
        delta[by_scores & ~same] = np.nan
    return delta


def _difference(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """New minus old; 0 where both are the same, also the same infinity or both NaN."""
    return np.where(_same(old, new), 0.0, new - old)


def _same(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Equal bit for bit, or both NaN."""
    bits = np.ascontiguousarray(old).view(np.int64) == np.ascontiguousarray(new).view(np.int64)
    return np.asarray(bits | (np.isnan(old) & np.isnan(new)))


def _identical(baseline: Side, candidate: Side) -> NDArray[np.bool_]:
    same = baseline.has_prediction == candidate.has_prediction
    same &= ~baseline.has_prediction | _same(baseline.prediction, candidate.prediction)
    _, old, new = _coded(baseline.label, candidate.label)
    same &= old == new
    same &= baseline.widths == candidate.widths
    width = min(baseline.scores.shape[1], candidate.scores.shape[1])
    unused = np.arange(width) >= baseline.widths[:, None]
    same &= (_same(baseline.scores[:, :width], candidate.scores[:, :width]) | unused).all(axis=1)
    return np.asarray(same)


def _classes(baseline: Side, candidate: Side) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """The classes of both sides as codes of one list; -1 where there is none."""
    return _coded(_class_column(baseline), _class_column(candidate))


def _class_column(side: Side) -> TextColumn:
    codes, values = side.label.codes, list(side.label.values)
    if side.scores.shape[1] < 2:
        return side.label
    used = np.arange(side.scores.shape[1]) < side.widths[:, None]
    filled = np.where(used & ~np.isnan(side.scores), side.scores, -np.inf)
    ranked = (codes < 0) & (side.widths >= 2) & (filled > -np.inf).any(axis=1)
    largest = np.argmax(filled, axis=1) + len(values)
    return TextColumn(np.where(ranked, largest, codes), [*values, *(f"#{i}" for i in range(side.scores.shape[1]))])


def _coded(first: TextColumn, second: TextColumn) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    index: dict[str, int] = {}

    def code(column: TextColumn) -> NDArray[np.int64]:
        table = np.array([index.setdefault(value, len(index)) for value in column.values] + [-1], np.int64)
        return table[column.codes]

    old, new = code(first), code(second)
    return list(index), old, new


def _changes(names: Sequence[str], old: NDArray[np.int64], new: NDArray[np.int64]) -> ClassChanges:
    combined, counts = np.unique(old * max(1, len(names)) + new, return_counts=True)
    pairs: Counter[tuple[str, str]] = Counter()
    for pair, count in zip(combined.tolist(), counts.tolist(), strict=True):
        before, after = divmod(pair, len(names))
        pairs[_short(names[before]), _short(names[after])] += count
    return _bounded(pairs, 0, 0)


def _bounded(pairs: Mapping[tuple[str, str], int], same: int, changed: int) -> ClassChanges:
    if len(pairs) <= MAX_CLASS_PAIRS:
        return ClassChanges(pairs, same, changed)
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    for (old, new), count in ranked[MAX_CLASS_PAIRS:]:
        if old == new:
            same += count
        else:
            changed += count
    return ClassChanges(dict(ranked[:MAX_CLASS_PAIRS]), same, changed)


def _unpaired(baseline: Mapping[int, Missing], candidate: Mapping[int, Missing]) -> dict[str, int]:
    both = len(baseline.keys() & candidate.keys())
    counts = {"baseline": len(baseline) - both, "candidate": len(candidate) - both, "both": both}
    return {side: count for side, count in counts.items() if count}


def _first(examples: Sequence[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda item: (item.partition, item.offset))[:MAX_EXAMPLES])


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."


_Key = TypeVar("_Key", str, tuple[str, str])


def _added(first: Mapping[_Key, int], second: Mapping[_Key, int]) -> dict[_Key, int]:
    counts = dict(first)
    for key, count in second.items():
        counts[key] = counts.get(key, 0) + count
    return counts
