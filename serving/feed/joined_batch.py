"""Batches of several partitions that were read together, as one: what a batch costs, whatever its size, is paid once.

At a few records a read, that is most of what a record costs (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn
from serving.feed.batch import ColumnBatch, Output, Segment, hand_back, offset_column, segment_of
from serving.feed.runs import Header


class JoinedBatch:
    """See `Records`. All of it is used as a `ColumnBatch` is: `with joined:`, and `done` inside, once."""

    def __init__(self, batches: Sequence[ColumnBatch]) -> None:
        """Take batches of one topic, at least one."""
        self._batches = batches
        self.topic = batches[0].topic
        self.segments: Sequence[Segment] = _segments(batches)
        self.offsets: NDArray[np.int64] = np.concatenate([offset_column(batch.offsets) for batch in batches])
        self.values = _side_by_side([batch.values for batch in batches])
        self.keys = _side_by_side([batch.keys for batch in batches])
        self.timestamps: NDArray[np.int64] = np.concatenate([batch.timestamps for batch in batches])
        self.headers: list[list[Header]] | None = None
        if batches[0].headers is not None:
            self.headers = [headers for batch in batches for headers in batch.headers or ()]

    def __len__(self) -> int:
        return len(self.offsets)

    def headers_of(self, row: int) -> list[Header]:
        """See `ColumnBatch`."""
        which = segment_of(self.segments, row)
        return self._batches[which].headers_of(row - self.segments[which].start)

    def done(self, *outputs: Output) -> None:
        """See `ColumnBatch`; all are handed back together."""
        hand_back(self._batches, outputs)

    def __enter__(self) -> JoinedBatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for batch in self._batches:
            batch.__exit__(kind, error, traceback)


def _segments(batches: Sequence[ColumnBatch]) -> list[Segment]:
    found: list[Segment] = []
    start = 0
    for batch in batches:
        found.append(Segment(batch.partition, start, start + len(batch)))
        start += len(batch)
    return found


def _side_by_side(columns: Sequence[Sequence[bytes | None]]) -> Sequence[bytes | None]:
    if all(isinstance(column, ByteColumn) for column in columns):
        return ByteColumn.joined(cast(Sequence[ByteColumn], columns))
    return [each for column in columns for each in column]
