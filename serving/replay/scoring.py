"""A batch of records scored by one version: bytes to columns, columns to values, as a worker does it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.core.comparison import Missing
from serving.core.isolation import score_isolated
from serving.core.scored import Scored, scored
from serving.dispatch import by_data_type
from serving.formats.base import DecodedBatch
from serving.replay.ranges import RecordBatch
from serving.replay.versions import LoadedVersion
from serving.streams import OpenedStream

NDRows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """What a version said of n records.

    Attributes:
        values: n rows, or `None` if it failed on all of them. Rows of failures mean nothing.
        missing: Row -> why it has no values.
        seconds: What scoring took.
    """

    values: Scored | None
    missing: dict[int, Missing]
    seconds: float


def rows_of_type(stream: OpenedStream, batch: RecordBatch, decoded: DecodedBatch, data_type: str | None) -> NDRows:
    """Which decoded rows are of a data type (`None`: all), ascending."""
    everything = np.arange(len(decoded.rows), dtype=np.intp)
    if data_type is None:
        return everything
    rows = dict(by_data_type(stream.plan, batch.keys, batch.headers, decoded)).get(data_type, everything[:0])
    return everything if rows is None else rows


def score(version: LoadedVersion, stream: OpenedStream, decoded: DecodedBatch, rows: NDRows) -> ScoredBatch:
    """Score some of the decoded rows. Never raises for what a record or a model does wrong."""
    texts = [decoded.texts[i].take(rows) for i in stream.plan.feature_texts]
    scorer = version.loaded.scorer
    features = version.loaded.bindings[stream.settings.name].features(np.ascontiguousarray(decoded.matrix[rows]), texts)
    start = time.perf_counter()
    predictions = score_isolated(scorer.score, features)
    seconds = time.perf_counter() - start
    missing = {row: Missing("score", reason) for row, reason in predictions.failures.items()}
    values = scored(scorer.signature, predictions) if len(missing) < len(rows) else None
    return ScoredBatch(values, missing, seconds)
