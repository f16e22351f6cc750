"""How fast a job may go: a token bucket that is asked once a batch."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Lets `rate` records a second through on average, and at most one second's worth at once.

    A batch may be larger than the bucket: it goes when the bucket is full, and what it takes beyond is paid off before the
    next one goes. So over any time t, measured from the start of a batch, at most `rate * (t + 1)` records plus one batch go.
    """

    def __init__(
        self,
        rate: float,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Args:
        rate: Records a second, more than 0.
        now: Seconds of a clock that never goes back.
        wait: Called with seconds; may return early.
        """
        self._rate, self._now, self._wait = rate, now, wait
        self._tokens = rate
        self._at = now()

    def take(self, records: int) -> None:
        """Wait until so many records may go. Returns at once if `wait` gives up early and is never satisfied."""
        self._fill()
        missing = min(records, self._rate) - self._tokens
        if missing > 0:
            self._wait(missing / self._rate)
            self._fill()
        self._tokens -= records

    def _fill(self) -> None:
        now = self._now()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
