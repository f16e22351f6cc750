"""States of the registry that were, to answer `as_of`.

Catalogues are persistent, so an old one costs only what has changed since. One is kept for each record that changed a model, a
version's notes or a route, the newest so many of them; what workers say makes none. The state as of an instant is the last one
whose record is not later, in the order of the log: a record that claims to be older than the one before it is as old as that.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import replace
from typing import Final

from model_store.core.catalogue import EMPTY, Catalogue

PAST_KEPT: Final = 10_000


class TooLongAgoError(Exception):
    """What was then is no longer known.

    Attributes:
        oldest_ms: The earliest instant that is, milliseconds since 1970 UTC.
    """

    def __init__(self, oldest_ms: int) -> None:
        super().__init__(f"states before {oldest_ms} ms are no longer kept")
        self.oldest_ms = oldest_ms


class Past:
    """See the module. Any thread may call it."""

    def __init__(self, kept: int = PAST_KEPT) -> None:
        self._kept = kept
        self._times: list[int] = []
        self._states: list[Catalogue] = []
        self._is_cut = False
        self._lock = threading.Lock()

    def note(self, before: Catalogue, after: Catalogue, at_ms: int) -> None:
        """Keep the state after a record, if the record changed the registry."""
        if before.models is after.models and before.notes is after.notes and before.routes is after.routes:
            return
        slim = replace(after, workers=EMPTY.workers, lanes=EMPTY.lanes, jobs=EMPTY.jobs, outcomes=EMPTY.outcomes)
        with self._lock:
            if self._states and after.offset <= self._states[-1].offset:
                self._times, self._states, self._is_cut = [], [], False  # The log was replaced by another.
            if not self._states and before.offset >= 0 and before.models:
                self._is_cut = True  # Reading began at a snapshot of the state.
            self._times.append(max(at_ms, self._times[-1]) if self._times else at_ms)
            self._states.append(slim)
            if len(self._states) > self._kept + self._kept // 10:
                self._times, self._states, self._is_cut = self._times[-self._kept :], self._states[-self._kept :], True

    def at(self, at_ms: int) -> Catalogue:
        """The registry as it was at an instant, milliseconds since 1970 UTC; without workers, lanes and jobs.

        Raises:
            TooLongAgoError: The instant is before all that is kept.
        """
        with self._lock:
            found = bisect_right(self._times, at_ms)
            if found:
                return self._states[found - 1]
            if self._is_cut:
                raise TooLongAgoError(self._times[0])
            return EMPTY
