"""A batch of records that no feed read: for what measures a worker's way of a batch without Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn
from serving.feed.batch import Output, Segment
from serving.feed.runs import Header

NOW_MS = 1_700_000_000_000
_FIRST = 1_000_000


class Batch:
    """See `serving.feed.batch.Records`; the columns are as the feed reads them, and `done` does nothing."""

    def __init__(self, values: Sequence[bytes], keys: Sequence[bytes | None], topic: str, partitions: int = 1) -> None:
        """Take records, shared out evenly among so many partitions."""
        count = len(values)
        self.topic = topic
        cuts = [count * i // partitions for i in range(partitions + 1)]
        self.segments: Sequence[Segment] = [
            Segment(i, start, stop) for i, (start, stop) in enumerate(pairwise(cuts)) if start < stop
        ]
        self.offsets: Sequence[int] = range(_FIRST, _FIRST + count)
        self.values: Sequence[bytes | None] = ByteColumn.of(values)
        self.keys = keys if None in keys else ByteColumn.of([key for key in keys if key is not None])
        self.timestamps: NDArray[np.int64] = np.full(count, NOW_MS - 5)
        self.headers: list[list[Header]] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def headers_of(self, _row: int) -> list[Header]:
        """Of one record: none."""
        return []

    def done(self, *outputs: Output) -> None:
        """Nobody writes them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass
