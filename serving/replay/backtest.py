"""Back-tests: a candidate over retained records, compared with what was live or with another version."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from model_store.core.jobs import Backtest
from serving.core.comparison import Comparison, Failures, Missing, Side, compare, failures_of, side_of
from serving.formats.base import DecodedBatch
from serving.replay.ranges import Cut, RecordBatch, Slice
from serving.replay.recorded import Outcomes, Recorded, side_of_recorded
from serving.replay.report import Progress, described, described_cut, described_failures
from serving.replay.scoring import ScoredBatch, rows_of_type, score
from serving.replay.segments import Segments
from serving.replay.versions import LoadedVersion
from serving.streams import OpenedStream

ReadSlice = Callable[[Slice], Iterator[RecordBatch]]


class BacktestRun:
    """One run of one job. Everything that reads or loads is given."""

    def __init__(
        self,
        job: Backtest,
        stream: OpenedStream,
        cut: Cut,
        read: ReadSlice,
        candidate: LoadedVersion,
        baseline: LoadedVersion | Sequence[Outcomes],
        progress: Progress,
    ) -> None:
        """`baseline` is a version, or where the live outcomes are found: results first, then dead letters."""
        self._job, self._stream, self._cut, self._read = job, stream, cut, read
        self._candidate, self._baseline, self._progress = candidate, baseline, progress
        self._segments = Segments(stream.records, job.segment_by)
        self._parts: dict[str, Comparison] = {}
        self._undecoded = Failures()
        self._sources: Counter[str] = Counter()
        self._taken = 0

    def run(self) -> dict[str, object]:
        """Score and compare all of it; the report."""
        total = sum(part.end - part.first for part in self._cut.slices)
        done = 0
        for part in self._cut.slices:
            room = self._room(part, total)
            for batch in self._read(part):
                room -= self._take(batch, part.end, room)
                self._progress(part.partition, int(batch.offsets[-1]), done + int(batch.offsets[-1]) + 1 - part.first)
                if room <= 0:
                    break
            done += part.end - part.first
        return self._report()

    def _room(self, part: Slice, total: int) -> int:
        """How many records of a slice may be taken: its share of `max_records`."""
        most = self._job.max_records
        if most is None:
            return part.end - part.first
        return min(most - self._taken, math.ceil(most * (part.end - part.first) / total))

    def _take(self, batch: RecordBatch, end: int, room: int) -> int:
        decoded = self._stream.records.decode(batch.values)
        self._note_undecoded(batch, decoded)
        rows = rows_of_type(self._stream, batch, decoded, self._job.data_type)[:room]
        taken = len(rows)
        while len(rows):
            positions = decoded.rows[rows]
            known = self._cover(batch, positions, end)
            self._compare(batch, decoded, rows[:known])
            rows = rows[known:]
        self._taken += taken
        return taken

    def _cover(self, batch: RecordBatch, positions: NDArray[np.int64], end: int) -> int:
        """Of how many of the records the live outcomes are at hand now; of all, if none are needed."""
        if isinstance(self._baseline, LoadedVersion):
            return len(positions)
        offsets, timestamps = batch.offsets[positions], batch.timestamps[positions]
        return min(source.cover(batch.partition, offsets, end, timestamps) for source in self._baseline)

    def _compare(self, batch: RecordBatch, decoded: DecodedBatch, rows: NDArray[np.intp]) -> None:
        offsets = batch.offsets[decoded.rows[rows]]
        candidate = score(self._candidate, self._stream, decoded, rows)
        sides = self._baseline_side(decoded, rows, offsets), _side(candidate, len(rows))
        seconds = candidate.seconds / len(rows)
        for name, places in self._segments.split(decoded, rows):
            part = compare(
                batch.partition,
                offsets[places],
                sides[0].take(places),
                sides[1].take(places),
                tolerance=self._job.tolerance,
                seconds_per_record=seconds,
            )
            self._parts[name] = self._parts.get(name, Comparison()).merged(part)

    def _baseline_side(self, decoded: DecodedBatch, rows: NDArray[np.intp], offsets: NDArray[np.int64]) -> Side:
        if isinstance(self._baseline, LoadedVersion):
            return _side(score(self._baseline, self._stream, decoded, rows), len(rows))
        found = [self._live_outcome(offset) for offset in offsets.tolist()]
        self._sources.update(f"{item.model} v{item.version}" for item in found if item and not item.failure)
        return side_of_recorded(found)

    def _live_outcome(self, offset: int) -> Recorded | None:
        assert not isinstance(self._baseline, LoadedVersion)
        return next((item for source in self._baseline if (item := source.of(offset)) is not None), None)

    def _note_undecoded(self, batch: RecordBatch, decoded: DecodedBatch) -> None:
        missing = {bad.row: Missing(bad.stage, bad.reason) for bad in decoded.bad}
        self._undecoded = self._undecoded.merged(failures_of(batch.partition, batch.offsets, missing))

    def _report(self) -> dict[str, object]:
        whole = Comparison()
        for part in self._parts.values():
            whole = whole.merged(part)
        report: dict[str, object] = {
            "event": "report",
            "kind": "backtest",
            "id": self._job.id,
            **described_cut(self._cut),
            "not_decoded": described_failures(self._undecoded),
            "baseline_versions": dict(self._sources.most_common(100)),
            **described(whole),
        }
        if self._job.segment_by is not None:
            report["segments"] = {name: described(part) for name, part in sorted(self._parts.items())}
        return report


def _side(batch: ScoredBatch, count: int) -> Side:
    return side_of(count, batch.values, batch.missing)
