"""Runs of records that were read in bulk: rows of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.feed.lent_messages import LentMessages
from serving.feed.runs import Header


@dataclass(frozen=True, slots=True)
class Columns:
    """Records that were read together.

    Attributes:
        offsets: int64 (n,).
        timestamps: int64 (n,), milliseconds since 1970; -1 where there is none.
        keys: One a record.
        values: One a record.
        lent: The messages, for their headers.
    """

    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    lent: LentMessages


class ColumnRun:
    """See `Run`: rows of what was read together."""

    __slots__ = ("_columns", "_start", "_stop")

    def __init__(self, columns: Columns, start: int, stop: int) -> None:
        """Take the rows from `start` up to, not including, `stop`."""
        self._columns = columns
        self._start = start
        self._stop = stop

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def first(self) -> int:
        """See `Run`."""
        return int(self._columns.offsets[self._start])

    @property
    def last(self) -> int:
        """See `Run`."""
        return int(self._columns.offsets[self._stop - 1])

    def split(self, offset: int) -> tuple[ColumnRun | None, ColumnRun | None]:
        """See `Run`."""
        row = self._start + int(np.searchsorted(self._columns.offsets[self._start : self._stop], offset))
        return self._part(self._start, row), self._part(row, self._stop)

    def offsets(self) -> Sequence[int]:
        """See `Run`."""
        first, last = self.first, self.last
        if last - first + 1 == len(self):
            return range(first, last + 1)
        found: list[int] = self._columns.offsets[self._start : self._stop].tolist()
        return found

    def timestamps(self) -> NDArray[np.int64]:
        """See `Run`."""
        return self._columns.timestamps[self._start : self._stop]

    def keys(self) -> Sequence[bytes | None]:
        """See `Run`."""
        return self._columns.keys[self._start : self._stop]

    def values(self) -> Sequence[bytes | None]:
        """See `Run`."""
        return self._columns.values[self._start : self._stop]

    def headers_of(self, row: int) -> list[Header]:
        """See `Run`; none after the consumer was closed."""
        return self._columns.lent.headers_of(self._start + row)

    def _part(self, start: int, stop: int) -> ColumnRun | None:
        return ColumnRun(self._columns, start, stop) if start < stop else None
