"""A batch of records as columns, and what the agent gives back for it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from serving.feed.errors import BatchNotReturnedError
from serving.feed.lanes import Ticket
from serving.feed.runs import Header, Run


@dataclass(frozen=True, slots=True)
class Output:
    """Records to write to one topic; row i of every column belongs to the same record.

    Attributes:
        topic: Where to.
        keys: One key a record (`None` for no key), or `None` when no record has one.
        values: One value a record.
        headers: One list of headers a record, or `None`. Headers make a record twice as dear to write.
        rows: Which record of the batch each is about, rising; `None` if one is about each. Asked for only where batches
            were joined and not all of them are wanted any more.
    """

    topic: str
    keys: Sequence[bytes | None] | None
    values: Sequence[bytes | None]
    headers: Sequence[Sequence[Header] | None] | None = None
    rows: NDArray[np.intp] | None = None

    def about(self, start: int, stop: int) -> Output:
        """What is about the records from `start` up to, not including, `stop`."""
        if self.rows is not None:
            start, stop = np.searchsorted(self.rows, (start, stop)).tolist()
        part = slice(start, stop)
        keys = None if self.keys is None else self.keys[part]
        return Output(self.topic, keys, self.values[part], None if self.headers is None else self.headers[part])


class Segment(NamedTuple):
    """Records of a batch that are of one partition.

    Attributes:
        partition: Theirs.
        start: Row of the first.
        stop: Row after the last.
    """

    partition: int
    start: int
    stop: int


def segment_of(segments: Sequence[Segment], row: int) -> int:
    """Which of the segments of a batch a row belongs to."""
    return bisect_right(segments, row, key=lambda segment: segment.stop)


def offset_column(offsets: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Offsets of a batch as int64 (n,)."""
    return np.arange(offsets.start, offsets.stop) if isinstance(offsets, range) else np.asarray(offsets, np.int64)


class Records(Protocol):
    """Records of one topic as columns of equal length; see `ColumnBatch` for each."""

    topic: str
    segments: Sequence[Segment]
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    timestamps: NDArray[np.int64]
    headers: list[list[Header]] | None

    @property
    def offsets(self) -> Sequence[int] | NDArray[np.int64]:
        """One a record, rising in each segment."""

    def __len__(self) -> int:
        """How many."""

    def headers_of(self, row: int) -> list[Header]:
        """Headers of one record."""

    def done(self, *outputs: Output) -> None:
        """Hand the batch back with everything that is to be written for it."""

    def __enter__(self) -> Self:
        """The batch is worked on."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """It was handed back, or never will be."""


class ColumnBatch:
    """Records of one partition, in order, as columns of equal length.

    An agent uses it as `with batch:` and calls `done` inside, once. An exception inside, or leaving without `done`, ends
    the worker; nothing of the batch is committed, so it is read again by the next owner of the partition.
    All of it happens on the event loop's thread, but the columns may be read by any thread.

    Attributes:
        topic: Where the records came from.
        partition: And its partition.
        offsets: One offset a record, rising: a `range` unless the log has gaps.
        values: One value a record; `None` is a tombstone.
        keys: One key a record, or `None`.
        timestamps: int64, milliseconds since 1970 a record, -1 where the record has none.
        headers: One list of headers a record for topics whose headers were asked for, else `None`.
        segments: One: its partition.
        is_followed: Another batch that was read together with this one is handed out next.
    """

    __slots__ = (
        "_fail",
        "_run",
        "_take_back",
        "headers",
        "is_followed",
        "keys",
        "offsets",
        "partition",
        "segments",
        "ticket",
        "timestamps",
        "topic",
        "values",
    )

    def __init__(
        self,
        ticket: Ticket,
        run: Run,
        *,
        wants_headers: bool,
        take_back: TakeBack,
        fail: Callable[[BaseException], None],
    ) -> None:
        """Made by the feed of records of one partition."""
        self.ticket = ticket
        self.topic = ticket.lane.topic
        self.partition = ticket.lane.partition
        self.offsets: Sequence[int] = run.offsets()
        self.values: Sequence[bytes | None] = run.values()
        self.keys: Sequence[bytes | None] = run.keys()
        self.timestamps: NDArray[np.int64] = run.timestamps()
        self.headers: list[list[Header]] | None = (
            [run.headers_of(row) for row in range(len(run))] if wants_headers else None
        )
        self.segments: Sequence[Segment] = (Segment(self.partition, 0, len(run)),)
        self.is_followed = False
        self._run: Run | None = run
        self._take_back = take_back
        self._fail = fail

    def __len__(self) -> int:
        return len(self.values)

    def headers_of(self, row: int) -> list[Header]:
        """Headers of one record, for the few that need them; works for every topic until `done` was called."""
        return [] if self._run is None else self._run.headers_of(row)

    def done(self, *outputs: Output) -> None:
        """Hand the batch back with everything that is to be written for it; without outputs it is finished at once.

        The batch's offsets are committed only after the broker acknowledged all outputs (or in the same transaction).
        If the partition was taken away meanwhile the outputs are dropped: the new owner makes them again.

        Raises:
            BatchNotReturnedError: It was handed back before.
            OutputRefusedError: An output cannot be written; the worker ends.
        """
        hand_back([self], outputs)

    def __enter__(self) -> ColumnBatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._fail(error)
        elif not self.ticket.is_returned:
            self._fail(
                BatchNotReturnedError(
                    f"the agent left {len(self)} records of {self.topic}/{self.partition} without batch.done()"
                )
            )


TakeBack = Callable[[Sequence[ColumnBatch], Sequence[Output]], None]
"""Called with batches of one feed, and with the outputs of all of them: their rows count from the first to the last."""


def hand_back(batches: Sequence[ColumnBatch], outputs: Sequence[Output]) -> None:
    """`ColumnBatch.done` of several batches together, at least one.

    Raises:
        BatchNotReturnedError: One of them was handed back before.
        OutputRefusedError: An output cannot be written; the worker ends.
    """
    for batch in batches:
        if batch.ticket.is_returned:
            raise BatchNotReturnedError(f"a batch of {batch.topic}/{batch.partition} was handed back twice")
    for batch in batches:
        batch._run = None
    batches[0]._take_back(batches, outputs)


def wanted(batches: Sequence[ColumnBatch], outputs: Sequence[Output]) -> list[tuple[list[Ticket], list[Output]]]:
    """What is to be written together, without what nobody wants: of partitions that were taken away meanwhile."""
    if all(batch.ticket.lane.is_alive for batch in batches):
        return [([batch.ticket for batch in batches], _not_empty(outputs))]
    found = []
    start = 0
    for batch in batches:
        stop = start + len(batch)
        if batch.ticket.lane.is_alive:
            found.append(([batch.ticket], _not_empty([output.about(start, stop) for output in outputs])))
        start = stop
    return found


def _not_empty(outputs: Sequence[Output]) -> list[Output]:
    return [output for output in outputs if len(output.values)]
