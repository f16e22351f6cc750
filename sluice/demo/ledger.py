"""The ledger: which records came back, how often, by which version, how fast, and by which change of the route.

Theory of operation: a record's identity is its place in the data topic, `(partition, offset)`. For each partition the
ledger has one small counter for every offset from where the run began; an answer (a result or a dead letter) adds one
to the counter of the record it names. When all is sent, every record between the first and the last offset must have
the counter 1: a 0 is a lost record, a 2 a duplicated one. Batches are counted with numpy, so that the ledger keeps up
with what it watches.

For the cost of a swap, the slowest answer of each `BUCKET_SECONDS` is kept for each data type. What each change scored is kept
in `cuts.Spans`, who a canary scored in `entities.Entities`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sluice.demo.cuts import Spans
from sluice.demo.entities import Entities

BUCKET_SECONDS = 0.05
# Latencies are counted in whole milliseconds, as Kafka's timestamps are; a minute is more than any record may take.
_LATENCY_LIMIT_MS = 60_000

Version = tuple[str, str, int]
"""Data type, model, version."""

Source = tuple[str, str, int, int, str]
"""What a result says of where it comes from: data type, model, version, change of the route, arm (empty: the primary one)."""


@dataclass(slots=True)
class Seen:
    """What was seen of one version.

    Attributes:
        results: Number of results.
        first_ms: When its first result was written, milliseconds since 1970.
        last_ms: When the newest was.
    """

    results: int = 0
    first_ms: int = 0
    last_ms: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """The account of all records between two sets of offsets.

    Attributes:
        records: Records in the topic.
        answered: Records that have a result or a dead letter, or several.
        lost: Records that have none.
        duplicated: Answers beyond the first, summed over all records.
    """

    records: int
    answered: int
    lost: int
    duplicated: int


@dataclass(frozen=True, slots=True)
class Answers:
    """A batch of answers to records of one data topic, as columns of the same length.

    Attributes:
        partitions: Partition of each answered record.
        offsets: Offset of each.
    """

    partitions: NDArray[np.int64]
    offsets: NDArray[np.int64]


@dataclass(slots=True)
class Ledger:
    """Counts answers. One thread.

    Attributes:
        starts: Offset of each partition at which the run began; answers to older records are not counted.
        results: Results counted.
        dead_letters: Dead letters counted.
        versions: What was seen of each version.
        canary_of: Data type whose entities are followed.
        spans: What each change scored.
        entities: Of `canary_of`.
    """

    starts: Mapping[int, int]
    canary_of: str = ""
    spans: Spans = field(default_factory=Spans)
    entities: Entities = field(default_factory=Entities)
    results: int = 0
    dead_letters: int = 0
    versions: dict[Version, Seen] = field(default_factory=dict)
    _counters: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    _latencies: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_LATENCY_LIMIT_MS, np.int64))
    _worst: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        """Results and dead letters counted."""
        return self.results + self.dead_letters

    def count_results(
        self,
        answers: Answers,
        sources: Sequence[Source],
        keys: Sequence[bytes | None],
        record_ms: NDArray[np.int64],
        written_ms: NDArray[np.int64],
        read_ms: int,
    ) -> None:
        """Count a batch of results.

        Args:
            answers: The records they answer.
            sources: What scored each.
            keys: Key of each record.
            record_ms: Timestamp of each record, milliseconds since 1970.
            written_ms: Timestamp of each result.
            read_ms: Now.
        """
        kept = self._count(answers)
        self.results += int(kept.sum())
        latencies = np.clip(read_ms - record_ms[kept], 0, _LATENCY_LIMIT_MS - 1)
        self._latencies += np.bincount(latencies, minlength=_LATENCY_LIMIT_MS)
        numbers: dict[Source, int] = {}
        which = np.fromiter((numbers.setdefault(source, len(numbers)) for source in sources), np.int64, len(sources))
        for source, number in numbers.items():
            mine = kept & (which == number)
            if mine.any():
                data_type, model, version, change, arm = source
                self._see((data_type, model, version), written_ms[mine], record_ms[mine])
                places = answers.partitions[mine], answers.offsets[mine]
                self.spans.count(data_type, change, (model, version), *places)
                if data_type == self.canary_of:
                    of_mine = [keys[row] for row in np.flatnonzero(mine).tolist()]
                    self.entities.count((model, version), bool(arm), of_mine, places[1])

    def count_dead_letters(self, answers: Answers) -> None:
        """Count a batch of dead letters."""
        self.dead_letters += int(self._count(answers).sum())

    def latency_ms(self, *shares: float) -> list[float]:
        """From sent to read back: for each share of all results so far, the milliseconds within which it came; NaN before any."""
        total = np.cumsum(self._latencies)
        if total[-1] == 0:
            return [float("nan")] * len(shares)
        return [float(np.searchsorted(total, share * total[-1])) for share in shares]

    def forget_latencies(self) -> None:
        """Start a new period of `latency_ms`."""
        self._latencies[:] = 0

    def worst_ms(self, data_type: str, from_ms: int, until_ms: int) -> int:
        """Slowest answer, from record to result, among the results of `data_type` written in the period; 0 without any."""
        width = round(BUCKET_SECONDS * 1000)
        buckets = range(from_ms // width, until_ms // width + 1)
        worst = self._worst.get(data_type, {})
        return max((worst.get(bucket, 0) for bucket in buckets), default=0)

    def balance(self, ends: Mapping[int, int]) -> Balance:
        """The account of the records from `starts` up to, not including, `ends`."""
        records = answered = duplicated = 0
        for partition, end in ends.items():
            size = end - self.starts[partition]
            counters = self._counters.get(partition, np.zeros(0, np.uint8))[:size]
            records += size
            answered += int(np.count_nonzero(counters))
            duplicated += int(counters.sum(dtype=np.int64)) - int(np.count_nonzero(counters))
        return Balance(records, answered, records - answered, duplicated)

    def _count(self, answers: Answers) -> NDArray[np.bool_]:
        """Add to the counters; returns which of the answers belong to this run."""
        kept = np.zeros(len(answers.offsets), np.bool_)
        for partition, start in self.starts.items():
            mine = (answers.partitions == partition) & (answers.offsets >= start)
            if mine.any():
                places = answers.offsets[mine] - start
                np.add.at(self._room(partition, int(places.max()) + 1), places, 1)
                kept |= mine
        return kept

    def _room(self, partition: int, size: int) -> NDArray[np.uint8]:
        """The counters of `partition`, at least `size` of them. Past 255 a counter would wrap, which is past caring."""
        counters = self._counters.get(partition, np.zeros(1 << 16, np.uint8))
        if len(counters) < size:
            counters = np.concatenate([counters, np.zeros(max(size, 2 * len(counters)) - len(counters), np.uint8)])
        self._counters[partition] = counters
        return counters

    def _see(self, version: Version, written_ms: NDArray[np.int64], record_ms: NDArray[np.int64]) -> None:
        seen = self.versions.setdefault(version, Seen(first_ms=int(written_ms.min())))
        seen.results += len(written_ms)
        seen.first_ms = min(seen.first_ms, int(written_ms.min()))
        seen.last_ms = max(seen.last_ms, int(written_ms.max()))
        worst = self._worst.setdefault(version[0], {})
        buckets = written_ms // round(BUCKET_SECONDS * 1000)
        for bucket in np.unique(buckets).tolist():
            slowest = int((written_ms - record_ms)[buckets == bucket].max())
            worst[bucket] = max(worst.get(bucket, 0), slowest)
