"""What was seen of small batches, kept until it is worth looking at: to look at one record costs as much as at two hundred.

Counting a batch of one record by itself took 87 of the 760 us that the loop's thread has for it at 500 records a second
(measured). Here it is put aside; some hundred records together are looked at in the time of two batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.core.histogram import buckets_of_milliseconds
from model_store.core.sketch import NO_PREDICTIONS
from model_store.core.stats import Batch, Series, observe_batch
from serving.core.scored import Scored
from serving.core.signals import SAMPLE_ROWS, observe_predictions

SMALL: Final = 64
"""Larger batches are not put aside: they are looked at alone for little a record."""

_MOST_BATCHES: Final = 64
"""Together they take about as long as one large batch."""


class Seen(NamedTuple):
    """One small batch of one model.

    Attributes:
        series: Model, version and data type.
        records: Given to the model, the failed ones included; at least 1.
        errors: Those that failed.
        seconds: What the batch took in scoring.
        at_ms: When, milliseconds since 1970 UTC.
        timestamps_ms: Kafka timestamps of the records, int64; -1 where a record had none.
        values: Of the records that did not fail; `None` for none. Nobody may change them.
    """

    series: Series
    records: int
    errors: int
    seconds: float
    at_ms: int
    timestamps_ms: NDArray[np.int64]
    values: Scored | None


class Gathering:
    """Small batches that nobody has looked at yet. Belongs to whoever holds the collector's lock."""

    def __init__(self) -> None:
        """Start with none."""
        self._seen: list[Seen] = []
        self._records = 0

    def has_room_for(self, count: int) -> bool:
        """Whether so many records more are still looked at without leaving any out."""
        return len(self._seen) < _MOST_BATCHES and self._records + count <= SAMPLE_ROWS

    def add(self, seen: Seen) -> None:
        """Put a batch aside."""
        self._seen.append(seen)
        self._records += seen.records

    def take(self) -> Iterable[tuple[Series, Batch]]:
        """All of them, measured. What their records tell is told by the last batch of each model."""
        taken, self._seen, self._records = self._seen, [], 0
        by_model: dict[Series, list[Seen]] = {}
        for seen in taken:
            by_model.setdefault(seen.series, []).append(seen)
        for series, batches in by_model.items():
            measured = [observe_batch(each.records, each.errors, each.seconds, each.at_ms) for each in batches]
            predictions = NO_PREDICTIONS
            for values in _by_form(batches):
                told = observe_predictions(Scored.joined(values))
                predictions = told if predictions is NO_PREDICTIONS else predictions.merged(told)
            measured[-1] = replace(measured[-1], latency=_latencies(batches), predictions=predictions)
            for batch in measured:
                yield series, batch


def _by_form(batches: Iterable[Seen]) -> Iterable[Sequence[Scored]]:
    found: dict[object, list[Scored]] = {}
    for each in batches:
        if each.values is not None:
            found.setdefault(each.values.form, []).append(each.values)
    return found.values()


def _latencies(batches: Sequence[Seen]) -> dict[int, int]:
    timestamps = np.concatenate([each.timestamps_ms for each in batches])
    at = np.repeat([each.at_ms for each in batches], [len(each.timestamps_ms) for each in batches])
    known = timestamps >= 0
    return buckets_of_milliseconds((at - timestamps)[known])
