"""How long to let records gather before the next read: not at all where cores are free.

What a batch of a few records costs hardly depends on how many they are, and a sleeper's caches are cold: the same batch takes
three times the CPU after a pause of 4 ms (measured). Where more work waits for cores than there are, a worker that reads at once
makes many small batches, each of which waits for a core again, and takes the cores from Kafka meanwhile. So it rests, the
longer the longer it had to wait. Decision 14 has what that was measured to gain.
"""

from __future__ import annotations

import os
from typing import Final

_WAITS: Final = "/proc/thread-self/schedstat"
"""Linux: nanoseconds on a core, nanoseconds of waiting for one, slices (kernel documentation, `sched-stats`)."""

_FACTOR: Final = 2.0
_LONGEST_SECONDS: Final = 0.008
_SEVERAL_RECORDS: Final = 8
"""With fewer a rest gains little and costs each record some milliseconds (decision 14, 500 records a second)."""
_MANY_RECORDS: Final = 500
"""From so many on, what a batch costs is the records' and no longer the batch's (docs/size.md)."""


class Pace:
    """Of the thread that makes it; only that thread may use it. Where the system does not tell waits, nobody rests."""

    def __init__(self, waits: str = _WAITS) -> None:
        """Open what tells how long this thread waited for cores."""
        try:
            self._file: int | None = os.open(waits, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None
        self._waited = self._now()

    def rest_seconds(self, records: int) -> float:
        """How long to rest after a read of so many records: twice what it waited for cores since the last call, at most 8 ms."""
        before, self._waited = self._waited, self._now()
        if not _SEVERAL_RECORDS <= records < _MANY_RECORDS:
            return 0.0
        return min(_LONGEST_SECONDS, _FACTOR * (self._waited - before))

    def close(self) -> None:
        """Nobody asks again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _now(self) -> float:
        """Seconds that this thread has waited for a core in its life."""
        if self._file is None:
            return 0.0
        return int(os.pread(self._file, 96, 0).split()[1]) * 1e-9
