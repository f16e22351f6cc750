"""Corrections: records whose live result a bad version made, scored again by a good one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from model_store.core.jobs import Correction
from serving.core.comparison import Failures, Missing, failures_of
from serving.feed.batch import Output
from serving.feed.runs import Header
from serving.formats.base import Provenance, ResultFormat, ScoredColumns, Supersedes
from serving.formats.headers import ResultHeaders
from serving.replay.marks import Marks
from serving.replay.ranges import Cut, RecordBatch, Slice
from serving.replay.recorded import Outcomes, Recorded
from serving.replay.report import Progress, described_cut, described_failures
from serving.replay.scoring import score
from serving.replay.transactions import Transactions
from serving.replay.versions import LoadedVersion
from serving.streams import OpenedStream

Group = tuple[str, int]
"""Data type, and `control_offset` of the results that no longer hold."""


class CorrectionRun:
    """One run of one job. Everything that reads, loads or writes is given; `transactions` is started."""

    def __init__(
        self,
        job: Correction,
        stream: OpenedStream,
        cut: Cut,
        read: Callable[[Slice], Iterator[RecordBatch]],
        good: LoadedVersion,
        live: Outcomes,
        transactions: Transactions,
        oversized: Callable[[Output], Sequence[int]],
        results: ResultFormat,
        headers: ResultHeaders | None,
        progress: Progress,
    ) -> None:
        """Args:
        live: Where the live results are found; frozen after `transactions` was started.
        oversized: Rows of an output that its topic would not take.
        results: Of the stream.
        headers: Of the stream.
        """
        self._job, self._stream, self._cut, self._read = job, stream, cut, read
        self._good, self._live, self._transactions, self._oversized = good, live, transactions, oversized
        self._results, self._headers, self._progress = results, headers, progress
        self._done = Marks(cut.slices)
        self._failures = Failures()
        self._counts: Counter[str] = Counter()
        self._by_partition: dict[int, list[int]] = {}

    def run(self) -> dict[str, object]:
        """Find what the job wrote before, write what is missing; the report."""
        self._live.each_correction(self._job.id, self._job.since_ms, self._done.add)
        done = 0
        for part in self._cut.slices:
            for batch in self._read(part):
                self._take(batch, part.end)
                at = int(batch.offsets[-1])
                self._progress(part.partition, at, done + at + 1 - part.first, corrected=self._counts["corrected"])
            done += part.end - part.first
        return self._report()

    def _take(self, batch: RecordBatch, end: int) -> None:
        rest = batch
        while len(rest):
            known = self._live.cover(rest.partition, rest.offsets, end, rest.timestamps)
            found = [self._live.of(offset) for offset in rest.offsets[:known].tolist()]
            self._counts["records"] += known
            affected = np.array([i for i, item in enumerate(found) if self._is_affected(item)], np.intp)
            if len(affected):
                self._correct(rest.take(affected), [item for i in affected.tolist() if (item := found[i]) is not None])
            rest = rest.take(np.arange(known, len(rest), dtype=np.intp))

    def _is_affected(self, live: Recorded | None) -> bool:
        """Its live result is to be superseded; counts it, and whether that was done by an earlier run."""
        if live is None or (live.model, live.version) != (self._job.bad.model, self._job.bad.version):
            return False
        if self._job.data_type is not None and live.data_type != self._job.data_type:
            return False
        self._counts["affected"] += 1
        first, last, count = self._by_partition.get(live.partition, [live.offset, live.offset, 0])
        self._by_partition[live.partition] = [min(first, live.offset), max(last, live.offset), count + 1]
        if self._done.has(live.partition, live.offset):
            self._counts["corrected_before"] += 1
            return False
        return True

    def _correct(self, batch: RecordBatch, live: Sequence[Recorded]) -> None:
        """Score a few records and write their results in one transaction."""
        decoded = self._stream.records.decode(batch.values)
        self._note(batch, {bad.row: Missing(bad.stage, bad.reason) for bad in decoded.bad})
        values: list[bytes | None] = [None] * len(batch)
        headers: list[Sequence[Header] | None] = [None] * len(batch)
        groups: dict[Group, list[int]] = {}
        for row, position in enumerate(decoded.rows.tolist()):
            groups.setdefault((live[position].data_type, live[position].control_offset), []).append(row)
        for group, rows in groups.items():
            scored = score(self._good, self._stream, decoded, np.array(rows, np.intp))
            positions = decoded.rows[rows]
            self._note(batch, {int(positions[row]): why for row, why in scored.missing.items()})
            kept = np.array([row for row in range(len(rows)) if row not in scored.missing], np.intp)
            if scored.values is None or not len(kept):
                continue
            positions, chosen = positions[kept], scored.values.take(kept)
            columns = ScoredColumns(
                batch.offsets[positions], batch.timestamps[positions], chosen.prediction, chosen.label, chosen.scores
            )
            provenance = self._provenance(group, batch.partition)
            for position, value in zip(positions.tolist(), self._results.encode(provenance, columns), strict=True):
                values[position] = value
            if self._headers is not None:
                own = self._headers(provenance, columns, [batch.headers[i] for i in positions.tolist()])
                for position, header in zip(positions.tolist(), own, strict=True):
                    headers[position] = header
        self._write(batch, values, headers)

    def _write(
        self, batch: RecordBatch, values: Sequence[bytes | None], headers: Sequence[Sequence[Header] | None]
    ) -> None:
        rows = np.array([row for row, value in enumerate(values) if value is not None], np.intp)
        whole = self._output(batch, rows, values, headers)
        if len(rows) and (refused := self._oversized(whole)):
            self._note(
                batch, {int(rows[i]): Missing("result", "the result is too large for its topic") for i in refused}
            )
            rows = np.delete(rows, list(refused))
            whole = self._output(batch, rows, values, headers)
        if len(rows):
            self._transactions.write(whole)
            self._counts["corrected"] += len(rows)

    def _output(
        self,
        batch: RecordBatch,
        rows: NDArray[np.intp],
        values: Sequence[bytes | None],
        headers: Sequence[Sequence[Header] | None],
    ) -> Output:
        chosen = rows.tolist()
        return Output(
            self._stream.plan.result_topic,
            [batch.keys[i] for i in chosen],
            [values[i] for i in chosen],
            None if self._headers is None else [headers[i] for i in chosen],
        )

    def _provenance(self, group: Group, partition: int) -> Provenance:
        data_type, control_offset = group
        at, bad = self._good.at, self._job.bad
        return Provenance(
            at.model,
            at.version,
            self._good.loaded.sha256,
            data_type,
            self._stream.settings.topic,
            partition,
            at.control_offset,
            f"correction-{self._job.id}",
            reason="corrected",
            supersedes=Supersedes(self._job.id, bad.model, bad.version, control_offset),
        )

    def _note(self, batch: RecordBatch, missing: dict[int, Missing]) -> None:
        self._counts["failed"] += len(missing)
        self._failures = self._failures.merged(failures_of(batch.partition, batch.offsets, missing))

    def _report(self) -> dict[str, object]:
        counts = {
            name: self._counts[name] for name in ("records", "affected", "corrected_before", "corrected", "failed")
        }
        return {
            "event": "report",
            "kind": "correction",
            "id": self._job.id,
            **described_cut(self._cut),
            **counts,
            "affected_ranges": [
                {"partition": partition, "first": first, "last": last, "records": count}
                for partition, (first, last, count) in sorted(self._by_partition.items())
            ],
            "errors": described_failures(self._failures),
        }
