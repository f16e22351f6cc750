"""How long to let records gather before the next read: not at all where cores are free.

What a batch of a few records costs hardly depends on how many they are, and a sleeper's caches are cold: the same batch takes
three times the CPU after a pause of 4 ms (measured). Where more work waits for cores than there are, a worker that reads at once
makes many small batches, each of which waits for a core again, and takes the cores from Kafka meanwhile. So it rests, the
longer the longer it had to wait. Decision 14 has what that was measured to gain.
"""

from __future__ import annotations

from typing import Final

from serving.waits import Waits

_FACTOR: Final = 2.0
_LONGEST_SECONDS: Final = 0.008
_SEVERAL_RECORDS: Final = 8
"""With fewer a rest gains little and costs each record some milliseconds (decision 14, 500 records a second)."""
_MANY_RECORDS: Final = 500
"""From so many on, what a batch costs is the records' and no longer the batch's (docs/size.md)."""


class Pace:
    """Of the thread that makes it; only that thread may use it. Where the system does not tell waits, nobody rests."""

    def __init__(self, waits: Waits | None = None) -> None:
        self._waits = waits or Waits()

    def rest_seconds(self, records: int) -> float:
        """How long to rest after a read of so many records: twice what it waited for cores since the last call, at most 8 ms."""
        waited = self._waits.seconds()
        if not _SEVERAL_RECORDS <= records < _MANY_RECORDS:
            return 0.0
        return min(_LONGEST_SECONDS, _FACTOR * waited)

    def close(self) -> None:
        """Nobody asks again."""
        self._waits.close()
