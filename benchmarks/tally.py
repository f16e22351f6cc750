"""Results as they are read: counted, compared with the known answers, traced to their records."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import Consumer

from benchmarks.accounting import Known, Ledger, judge
from benchmarks.reader import Decoder, next_chunk
from sluice.demo.wine import ROWS

_QUIET_SECONDS = 60.0  # more than the 45 s for which a broker by default waits for a consumer that was killed
_LATE_SECONDS = 2.0


@dataclass(slots=True)
class Tally:
    """What was read so far.

    Attributes:
        consumer: Of the results.
        decoder: Of the system that writes them.
        known: Models that may have scored.
        ledger: How often each record came back.
        results: How many were read.
        checked: Those whose answer is known; `wrong` of them had another.
        flawed: Those with a field that is missing or not true.
        value_bytes: Sum of their sizes.
        offsets: Partition of the results -> the last offset that was read.
        version: Of the last result.
        last_seen: `time.monotonic()` of the last chunk.
    """

    consumer: Consumer
    decoder: Decoder
    known: list[Known]
    ledger: Ledger = field(default_factory=Ledger)
    results: int = 0
    checked: int = 0
    wrong: int = 0
    flawed: int = 0
    value_bytes: int = 0
    offsets: dict[int, int] = field(default_factory=dict)
    version: int = 0
    last_seen: float = field(default_factory=time.monotonic)

    @property
    def mean_bytes(self) -> float:
        """Size of a result; 0 before the first."""
        return round(self.value_bytes / max(1, self.results), 1)

    def take(self) -> None:
        """One chunk, if one comes in 50 ms."""
        messages = next_chunk(self.consumer, 0.05)
        if not messages:
            return
        results = self.decoder.decode(messages)
        verdict = judge(results, self.known, ROWS)
        self.ledger.add(results.index)
        self.results += len(results)
        self.checked += verdict.checked
        self.wrong += verdict.wrong
        self.flawed += verdict.flawed
        self.value_bytes += int(results.size.sum())
        self.version = int(results.version[-1])
        for message in messages:
            self.offsets[message.partition()] = message.offset()
        self.last_seen = time.monotonic()

    def pump(self, is_enough: Callable[[], bool], timeout_seconds: float) -> bool:
        """Read until it is enough (True) or time is up."""
        deadline = time.monotonic() + timeout_seconds
        while not is_enough():
            if time.monotonic() > deadline:
                return False
            self.take()
        return True

    def pump_for(self, seconds: float) -> None:
        """Read for so long."""
        self.pump(lambda: False, seconds)

    def finish(self, sent: int, timeout_seconds: float) -> None:
        """Read until each of the first `sent` records has a result, or none has come for a minute, or time is up.

        Then two seconds more: a repetition may come after the last first result.
        """
        self.last_seen = time.monotonic()
        self.pump(
            lambda: self.ledger.distinct() >= sent or time.monotonic() - self.last_seen > _QUIET_SECONDS,
            timeout_seconds,
        )
        self.pump_for(_LATE_SECONDS)
