"""How a model version did: counts and durations that merge over batches, windows, workers and restarts.

All numbers are integers (durations in nanoseconds), so that merging is exactly commutative and associative: it does not
matter in which order, or on which of the workers and API replicas, parts are put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.core.histogram import Histogram, bucket_of, buckets_of_milliseconds
from model_store.core.pairs import NO_PAIRS, PairCounts
from model_store.core.sketch import NO_PREDICTIONS, PredictionCounts, PredictionTally


class Series(NamedTuple):
    """What statistics are kept by."""

    model: str
    version: int
    data_type: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was observed of one series. A commutative monoid under `merged`, with `NOTHING` as its identity.

    Attributes:
        count: Records that were given to the model, the failed ones included.
        errors: Records that the model failed on.
        duration_ns: Time spent in scoring, in total.
        min_ns: Shortest scoring time of a record; `None` where there was none. A batch of n records that took s counts
            as n records of s / n each.
        max_ns: Longest scoring time of a record; `None` where there was none.
        score: Scoring times of the records.
        latency: From a record's Kafka timestamp to its score, of the records that had a timestamp.
        first_ms: When the first batch was scored, milliseconds since 1970 UTC; `None` where there was none.
        last_ms: When the last batch was scored, milliseconds since 1970 UTC; `None` where there was none.
        batches: Scoring times of a record as in `score`, but once a batch: the records of a batch share one measurement,
            so this is how often what was measured.
        predictions: What the predictions look like, of a sample of each batch.
        pairs: How they compare with those of the model that these records' results came from, where both were asked.
    """

    count: int = 0
    errors: int = 0
    duration_ns: int = 0
    min_ns: int | None = None
    max_ns: int | None = None
    score: Histogram = field(default_factory=Histogram)
    latency: Histogram = field(default_factory=Histogram)
    first_ms: int | None = None
    last_ms: int | None = None
    batches: Histogram = field(default_factory=Histogram)
    predictions: PredictionCounts = NO_PREDICTIONS
    pairs: PairCounts = NO_PAIRS

    def merged(self, other: Statistics) -> Statistics:
        """Both together."""
        return Statistics(
            self.count + other.count,
            self.errors + other.errors,
            self.duration_ns + other.duration_ns,
            _least(self.min_ns, other.min_ns),
            _most(self.max_ns, other.max_ns),
            self.score.merged(other.score),
            self.latency.merged(other.latency),
            _least(self.first_ms, other.first_ms),
            _most(self.last_ms, other.last_ms),
            self.batches.merged(other.batches),
            self.predictions.merged(other.predictions),
            self.pairs.merged(other.pairs),
        )


NOTHING: Final = Statistics()


def merge_all(parts: Iterable[Statistics]) -> Statistics:
    """All parts together."""
    tally = Tally()
    for part in parts:
        tally.add(part)
    return tally.frozen()


def merge_by_series(parts: Iterable[Mapping[Series, Statistics]]) -> dict[Series, Statistics]:
    """Each series' parts together, for example those of several workers."""
    tallies: dict[Series, Tally] = {}
    for part in parts:
        for series, statistics in part.items():
            tallies.setdefault(series, Tally()).add(statistics)
    return {series: tally.frozen() for series, tally in tallies.items()}


@dataclass(frozen=True, slots=True)
class Batch:
    """One scored batch, as it is observed.

    Attributes:
        count: Records given to the model, the failed ones included; at least 1.
        errors: Records that failed, at most `count`.
        duration_ns: What the batch took in scoring.
        at_ms: When it was scored, milliseconds since 1970 UTC.
        score_bucket: Histogram bucket of the scoring time of one record.
        latency: Histogram buckets of the latencies.
        predictions: What the predictions look like, of a sample.
        pairs: How they compare with another model's for the same records.
    """

    count: int
    errors: int
    duration_ns: int
    at_ms: int
    score_bucket: int
    latency: Mapping[int, int]
    predictions: PredictionCounts = NO_PREDICTIONS
    pairs: PairCounts = NO_PAIRS


def observe_batch(
    count: int,
    errors: int,
    seconds: float,
    at_ms: int,
    record_timestamps_ms: NDArray[np.int64] | None = None,
    predictions: PredictionCounts = NO_PREDICTIONS,
    pairs: PairCounts = NO_PAIRS,
) -> Batch:
    """Measure one batch, once, for all the tallies that it goes to. Costs a few microseconds and a few more with timestamps.

    Args:
        count: Records given to the model, the failed ones included; at least 1.
        errors: Records that failed, at most `count`.
        seconds: What the batch took in scoring.
        at_ms: When it was scored, milliseconds since 1970 UTC.
        record_timestamps_ms: Kafka timestamps of the records, int64 (n,); -1 where a record had none.
        predictions: What the predictions look like, of a sample of the batch.
        pairs: How they compare with another model's for the same records.
    """
    duration_ns = max(0, round(seconds * 1e9))
    latency: dict[int, int] = {}
    if record_timestamps_ms is not None:
        known = record_timestamps_ms[record_timestamps_ms >= 0]
        latency = buckets_of_milliseconds(at_ms - known)
    return Batch(count, errors, duration_ns, at_ms, bucket_of(duration_ns / count), latency, predictions, pairs)


class Tally:
    """Statistics that grow in place. For one thread; `frozen` gives a value that any thread may read."""

    __slots__ = (
        "batches",
        "count",
        "duration_ns",
        "errors",
        "first_ms",
        "last_ms",
        "latency",
        "max_ns",
        "min_ns",
        "pairs",
        "predictions",
        "score",
    )

    def __init__(self) -> None:
        self.count = self.errors = self.duration_ns = 0
        self.min_ns: int | None = None
        self.max_ns: int | None = None
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.score: dict[int, int] = {}
        self.latency: dict[int, int] = {}
        self.batches: dict[int, int] = {}
        self.predictions: PredictionTally | None = None
        self.pairs = NO_PAIRS

    def observe(self, batch: Batch) -> None:
        """Count one batch in."""
        each = batch.duration_ns // batch.count
        self.count += batch.count
        self.errors += batch.errors
        self.duration_ns += batch.duration_ns
        self.min_ns, self.max_ns = _least(self.min_ns, each), _most(self.max_ns, each)
        self.first_ms, self.last_ms = _least(self.first_ms, batch.at_ms), _most(self.last_ms, batch.at_ms)
        self.score[batch.score_bucket] = self.score.get(batch.score_bucket, 0) + batch.count
        _add(self.latency, batch.latency)
        self.batches[batch.score_bucket] = self.batches.get(batch.score_bucket, 0) + 1
        self._compare(batch.predictions, batch.pairs)

    def add(self, part: Statistics) -> None:
        """Count other statistics in."""
        self.count += part.count
        self.errors += part.errors
        self.duration_ns += part.duration_ns
        self.min_ns, self.max_ns = _least(self.min_ns, part.min_ns), _most(self.max_ns, part.max_ns)
        self.first_ms, self.last_ms = _least(self.first_ms, part.first_ms), _most(self.last_ms, part.last_ms)
        _add(self.score, part.score.counts)
        _add(self.latency, part.latency.counts)
        _add(self.batches, part.batches.counts)
        self._compare(part.predictions, part.pairs)

    def frozen(self) -> Statistics:
        """What was counted so far, as a value."""
        return Statistics(
            self.count,
            self.errors,
            self.duration_ns,
            self.min_ns,
            self.max_ns,
            Histogram(dict(self.score)),
            Histogram(dict(self.latency)),
            self.first_ms,
            self.last_ms,
            Histogram(dict(self.batches)),
            NO_PREDICTIONS if self.predictions is None else self.predictions.frozen(),
            self.pairs,
        )

    def _compare(self, predictions: PredictionCounts, pairs: PairCounts) -> None:
        if predictions is not NO_PREDICTIONS:
            self.predictions = self.predictions or PredictionTally()
            self.predictions.add(predictions)
        if pairs is not NO_PAIRS:
            self.pairs = self.pairs.merged(pairs)


def _add(counts: dict[int, int], more: Mapping[int, int]) -> None:
    for bucket, count in more.items():
        counts[bucket] = counts.get(bucket, 0) + count


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _most(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
