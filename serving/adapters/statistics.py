"""What the models of this worker did: counted on the event loop, written to Redis by a thread.

Theory of operation. `Collector` holds tallies: one sheet of them since the start, and one for each time slot that Redis
does not have yet. Batches are counted on a sheet of their own, which is added to the others when somebody looks at them,
about once a second, and when a slot ends. So counting a batch costs ten to forty microseconds, by how many buckets or
labels its predictions have, and hardly more for a large batch than for a small one. Small ones are put aside first, and
counted some together (`gathering`).
`StatisticsWriter` wakes each second, freezes what changed, and writes that; after a failure, and where Redis has fewer
series than there are, all of it. So while Redis is down nothing piles up but unwritten time slots, which are dropped when
they are older than anybody may ask for, and when it is back one write catches up. A slot is forgotten once it is over and
written. Scoring never waits for Redis.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from model_store.core.decider_counts import NO_DECISIONS, DeciderCounts, DeciderKey
from model_store.core.errors import StatisticsUnavailableError
from model_store.core.pairs import NO_PAIRS, PairCounts
from model_store.core.sketch import NO_PREDICTIONS, PredictionCounts
from model_store.core.stats import Batch, Series, Statistics, Tally, observe_batch
from model_store.core.stats_codec import decode_statistics, encode_statistics
from model_store.core.stats_windows import Slot, slots_at
from model_store.stats_store import RedisStatistics, Sheet
from serving.adapters.gathering import SMALL, Gathering, Seen
from serving.core.scored import Scored
from serving.core.signals import observe_predictions

log = structlog.get_logger(__name__)

_SLOTS_PER_WRITE: Final = 64
_PACKED_AFTER_MS: Final = 60_000
"""A series that was not counted for so long is kept as bytes: 1 kB instead of 8 to 14 (measured)."""
_REPEAT_MS: Final = 30_000
"""After this long something is written though nothing changed: it tells whether Redis still has the totals."""


def wall_clock_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Collector:
    """Counts what models do. Any thread may call anything; calls are short."""

    def __init__(self, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        """Start with nothing. `clock_ms` gives milliseconds since 1970 UTC; where it steps back, time stands still."""
        self._clock_ms = clock_ms
        self._keeps_slots = False
        self._now_ms = clock_ms()
        self._lock = threading.Lock()
        self._changes = 0
        self._total = _Ledger()
        self._changed: set[Series] = set()  # in the total, since `changed_total`
        self._slots: dict[Slot, _Ledger] = {}
        self._recent = _Ledger()  # what is in neither yet; all of it of the same slots
        self._gathering = Gathering()  # what is not even in that
        self._recent_slots = slots_at(self._now_ms)

    def observe(
        self,
        series: Series,
        scored: int,
        errors: int,
        seconds: float,
        record_timestamps_ms: NDArray[np.int64] | None = None,
        predictions: PredictionCounts = NO_PREDICTIONS,
        pairs: PairCounts = NO_PAIRS,
    ) -> None:
        """Count one batch of one model.

        Args:
            series: Model, version and data type.
            scored: Records that were scored, without the errors.
            errors: Records that the model failed on.
            seconds: What the scoring of all of them took.
            record_timestamps_ms: Kafka timestamps of the scored records, int64; -1 where a record had none.
            predictions: What the predictions look like: `serving.core.signals.observe_predictions`.
            pairs: How they compare with the primary's for the same records: `serving.core.signals.compare`.
        """
        count = scored + errors
        if not count:
            return
        with self._lock:
            now_ms = self._advance()
            batch = observe_batch(count, errors, seconds, now_ms, record_timestamps_ms, predictions, pairs)
            self._counting(now_ms).observe(series, batch)

    def observe_values(
        self,
        series: Series,
        scored: int,
        errors: int,
        seconds: float,
        record_timestamps_ms: NDArray[np.int64],
        values: Scored | None,
        pairs: PairCounts = NO_PAIRS,
    ) -> None:
        """Count one batch of one model by what the model said: `observe`, but small ones are looked at some together.

        Args:
            series: Model, version and data type.
            scored: Records that were scored, without the errors.
            errors: Records that the model failed on.
            seconds: What the scoring of all of them took.
            record_timestamps_ms: Kafka timestamps of the records, int64; -1 where a record had none.
            values: What the model said of those that did not fail, `None` if all did. Nobody may change them later.
            pairs: See `observe`; a batch that has some is counted at once.
        """
        count = scored + errors
        if count > SMALL or pairs is not NO_PAIRS:
            predictions = NO_PREDICTIONS if values is None else observe_predictions(values)
            self.observe(series, scored, errors, seconds, record_timestamps_ms, predictions, pairs)
        elif count:
            with self._lock:
                now_ms = self._advance()
                ledger = self._counting(now_ms)
                if not self._gathering.has_room_for(count):
                    self._count_gathered(ledger)
                self._gathering.add(Seen(series, count, errors, seconds, now_ms, record_timestamps_ms, values))

    def dead_letters(self, stage: str, count: int = 1) -> None:
        """Count records that took the side road at a stage: `decode`, `features`, `route`, `score` or `result`."""
        with self._lock:
            self._counting(self._advance()).count_dead_letters(stage, count)

    def decided(self, key: DeciderKey, counts: DeciderCounts) -> None:
        """Count what a decider did with one batch."""
        with self._lock:
            self._counting(self._advance()).count_decisions(key, counts)

    def total(self) -> Sheet:
        """Everything since the start."""
        with self._lock:
            self._settle()
            sheet, packed = self._total.sheet(), dict(self._total.packed)
        # Thousands of versions take tens of milliseconds, in which nobody could count.
        resting = {series: decode_statistics(part)[0][series] for series, part in packed.items()}
        return replace(sheet, series={**resting, **sheet.series})

    def changed_total(self) -> tuple[Sheet, int]:
        """What `total` says of the series that changed since this was last asked, and how many it has. For one writer."""
        with self._lock:
            self._settle()
            changed, self._changed = self._changed, set()
            return self._total.sheet(changed), len(self._total)

    def keep_slots(self) -> None:
        """From now on, count by time slots as well: for who says what is `written` of them. Without, they would only add up."""
        with self._lock:
            self._keeps_slots = True

    def unwritten(self) -> dict[Slot, tuple[Sheet, int]]:
        """The time slots that changed since they were last `written`, oldest first, each with the count of its changes."""
        with self._lock:
            self._settle()
            self._forget(self._advance())
            return {
                slot: (ledger.sheet(), ledger.changes)
                for slot, ledger in sorted(self._slots.items(), key=lambda item: item[0].expires_ms)
                if ledger.changes != ledger.written_changes
            }

    def written(self, slots: Mapping[Slot, int]) -> None:
        """These slots were written as they were at that count of changes."""
        with self._lock:
            self._settle()
            current = slots_at(self._advance())
            for slot, changes in slots.items():
                ledger = self._slots.get(slot)
                if ledger is None:
                    continue
                ledger.written_changes = changes
                if slot not in current and ledger.changes == changes:
                    del self._slots[slot]

    @property
    def changes(self) -> int:
        """How often anything was counted."""
        return self._changes

    def now_ms(self) -> int:
        """The time that the next batch would be counted at, milliseconds since 1970 UTC."""
        with self._lock:
            return self._advance()

    def _advance(self) -> int:
        # A slot that was written and forgotten must not be opened again: it would overwrite what Redis has.
        self._now_ms = max(self._now_ms, self._clock_ms())
        return self._now_ms

    def _counting(self, now_ms: int) -> _Ledger:
        """What a change at this time is counted on."""
        fine = self._recent_slots[0]
        if now_ms >= (fine.number + 1) * fine.seconds * 1000:
            self._settle()
            self._recent_slots = slots_at(now_ms)
        self._changes += 1
        return self._recent

    def _count_gathered(self, ledger: _Ledger) -> None:
        for series, batch in self._gathering.take():
            ledger.observe(series, batch)

    def _settle(self) -> None:
        """Add what was counted since the last time to where it belongs."""
        self._count_gathered(self._recent)
        if self._recent.changes:
            recent, self._recent = self._recent, _Ledger()
            self._changed |= recent.sheet().series.keys()
            for ledger in (self._total, *map(self._slot, self._recent_slots if self._keeps_slots else ())):
                ledger.add(recent)
            self._total.pack(self._now_ms - _PACKED_AFTER_MS)

    def _slot(self, slot: Slot) -> _Ledger:
        ledger = self._slots.get(slot)
        if ledger is None:
            ledger = self._slots[slot] = _Ledger()
        return ledger

    def _forget(self, now_ms: int) -> None:
        """Drop what is too old, and what is over and was written while it was open."""
        current = slots_at(now_ms)
        for slot, ledger in list(self._slots.items()):
            is_done = slot not in current and ledger.changes == ledger.written_changes
            if is_done or slot.expires_ms <= now_ms:
                del self._slots[slot]


class StatisticsWriter:
    """Writes a collector's statistics to Redis each second, in a thread of its own."""

    def __init__(
        self, collector: Collector, store: RedisStatistics, worker: str, epoch: str, interval_seconds: float = 1.0
    ) -> None:
        """Make ready; nothing is written before `start`.

        Args:
            collector: What to write.
            store: Where to. Closed by `stop`.
            worker: Worker id.
            epoch: Unique for this start of the process.
            interval_seconds: Pause between two writes.
        """
        collector.keep_slots()
        self._collector = collector
        self._store = store
        self._worker = worker
        self._epoch = epoch
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="statistics", daemon=True)
        self._written_changes = -1
        self._written_ms = 0
        self._is_behind = True
        self._is_up = True

    @property
    def is_up(self) -> bool:
        """The last write succeeded."""
        return self._is_up

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, if Redis answers, and end the thread. Blocks for at most about three time-outs of Redis."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._store.close()

    def write_now(self) -> bool:
        """Write what changed since the last write; whether Redis has everything now. For the writer's thread, and tests."""
        try:
            self._write()
        except StatisticsUnavailableError as error:
            if self._is_up:
                log.warning("statistics.unavailable", reason=str(error))
            self._is_up = False
            return False
        if not self._is_up:
            log.info("statistics.caught_up")
        self._is_up = True
        return True

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            self.write_now()
        self.write_now()

    def _write(self) -> None:
        now_ms = self._collector.now_ms()
        changes = self._collector.changes
        unwritten = list(self._collector.unwritten().items())
        is_unchanged = changes == self._written_changes and not unwritten
        if is_unchanged and now_ms - self._written_ms < _REPEAT_MS:
            return
        total, known = self._collector.changed_total()
        if self._is_behind:
            total = self._collector.total()
        self._is_behind = True  # and so it stays where this fails
        for start in range(0, max(1, len(unwritten)), _SLOTS_PER_WRITE):
            some = unwritten[start : start + _SLOTS_PER_WRITE]
            kept = self._store.write(
                self._worker, self._epoch, now_ms, total, {slot: sheet for slot, (sheet, _) in some}
            )
            self._collector.written({slot: count for slot, (_, count) in some})
        if kept < known:  # Redis came back without what it had, and nobody noticed
            self._store.write(self._worker, self._epoch, now_ms, self._collector.total(), {})
        self._is_behind = False
        self._written_changes, self._written_ms = changes, now_ms


class _Ledger:
    """Tallies of a span of time. Belongs to whoever holds the collector's lock.

    A series is held once: as a tally while it changes, frozen from when it was asked for, and packed when it rests. The total
    holds each version that ever served here, for as long as the worker runs.
    """

    __slots__ = ("changes", "dead_letters", "deciders", "frozen", "packed", "tallies", "written_changes")

    def __init__(self) -> None:
        self.tallies: dict[Series, Tally] = {}
        self.frozen: dict[Series, Statistics] = {}  # in the order in which they changed last
        self.packed: dict[Series, bytes] = {}
        self.dead_letters: dict[str, int] = {}
        self.deciders: dict[DeciderKey, DeciderCounts] = {}
        self.changes = 0
        self.written_changes = 0

    def __len__(self) -> int:
        return len(self.tallies) + len(self.frozen) + len(self.packed)

    def observe(self, series: Series, batch: Batch) -> None:
        self._tally(series).observe(batch)
        self.changes += 1

    def count_dead_letters(self, stage: str, count: int) -> None:
        self.dead_letters[stage] = self.dead_letters.get(stage, 0) + count
        self.changes += 1

    def count_decisions(self, key: DeciderKey, counts: DeciderCounts) -> None:
        self.deciders[key] = self.deciders.get(key, NO_DECISIONS).merged(counts)
        self.changes += 1

    def add(self, other: _Ledger) -> None:
        sheet = other.sheet()
        for series, statistics in sheet.series.items():
            self._tally(series).add(statistics)
        for stage, count in sheet.dead_letters.items():
            self.count_dead_letters(stage, count)
        for key, counts in sheet.deciders.items():
            self.count_decisions(key, counts)
        self.changes += 1

    def sheet(self, wanted: Iterable[Series] | None = None) -> Sheet:
        """Of these series; for `None` of all that are not packed."""
        self._freeze()
        series = dict(self.frozen) if wanted is None else {each: self._one(each) for each in wanted}
        return Sheet(series, dict(self.dead_letters), dict(self.deciders))

    def pack(self, before_ms: int) -> None:
        """Pack what was last counted before then."""
        self._freeze()
        resting = takewhile(lambda item: (item[1].last_ms or 0) < before_ms, self.frozen.items())
        for series, part in list(resting):
            self.packed[series] = encode_statistics({series: part})
            del self.frozen[series]

    def _freeze(self) -> None:
        self.frozen |= {series: tally.frozen() for series, tally in self.tallies.items()}
        self.tallies.clear()

    def _one(self, series: Series) -> Statistics:
        frozen = self.frozen.get(series)
        return decode_statistics(self.packed[series])[0][series] if frozen is None else frozen

    def _tally(self, series: Series) -> Tally:
        """To be changed."""
        tally = self.tallies.get(series)
        if tally is None:
            tally = self.tallies[series] = Tally()
            if (frozen := self.frozen.pop(series, None)) is not None:
                tally.add(frozen)
            elif series in self.packed:
                tally.add(self._one(series))
                del self.packed[series]
        return tally
