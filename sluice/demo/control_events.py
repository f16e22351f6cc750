"""What the control log says about times while the demo runs: followed in a thread, asked by the story.

How long a version took to load is what workers report a moment after its change is committed; how long the change took from
then on is the time between two of its records. Nothing here is estimated: what was not seen is `None`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import datetime
from typing import TypeVar

from sluice.client import Client
from sluice.client.answers import ServerEvent

Found = TypeVar("Found")


class ControlEvents:
    """See the module. Any thread may ask; each question waits a moment, because events come a moment late."""

    def __init__(self, client: Client) -> None:
        """Nothing is followed before `begin`."""
        self._client = client
        self._came = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ready: dict[int, datetime] = {}
        self._committed: dict[int, datetime] = {}
        self._loads: dict[int, dict[str, float]] = {}

    def begin(self, offset: int) -> None:
        """Follow the log from this control offset on; later calls change nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, args=(str(offset - 1),), name="events", daemon=True)
            self._thread.start()

    def load_ms(self, version: int, workers: Collection[str] = (), seconds: float = 2.0) -> float | None:
        """Longest time that a worker took to load a version, while the one before scored.

        Args:
            version: Control offset of the version.
            workers: Who is awaited; nobody in particular: anybody.
            seconds: Longest wait for their reports.
        """

        def longest() -> float | None:
            reports = self._loads.get(version, {})
            return max(reports.values()) if reports and reports.keys() >= set(workers) else None

        return self._await(longest, seconds)

    def cut_over_ms(self, change: int, seconds: float = 2.0) -> float | None:
        """From the last worker's word that it is ready to the last partition's cut, by the log's timestamps.

        Args:
            change: Its id.
            seconds: Longest wait for its events.
        """

        def between() -> float | None:
            ready, committed = self._ready.get(change), self._committed.get(change)
            return None if ready is None or committed is None else (committed - ready).total_seconds() * 1e3

        return self._await(between, seconds)

    def note(self, event: ServerEvent) -> None:
        """Take in one event; those of other kinds are not looked at."""
        data = event.data
        with self._came:
            match event.kind:
                case "change-ready":
                    self._ready[data["change"]] = datetime.fromisoformat(data["at"])
                case "change-committed":
                    self._committed[data["change"]] = datetime.fromisoformat(data["at"])
                case "live":
                    self._loads.setdefault(data["descriptor_offset"], {})[data["worker"]] = float(data["load_ms"])
                case _:
                    return
            self._came.notify_all()

    def _follow(self, after: str) -> None:
        try:
            for followed in self._client.events(after=after):
                self.note(followed.item)
        except Exception:  # times are told where they are known; the story itself asks the API, and fails if that does
            return

    def _await(self, find: Callable[[], Found | None], seconds: float) -> Found | None:
        with self._came:
            self._came.wait_for(lambda: find() is not None, seconds)
            return find()
