"""The newest events of this process, kept for those who follow; what a record is as events is in `log_events`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Happening:
    """One event.

    Attributes:
        number: Counts the events of this process, from 0.
        control_offset: Of the record that it ends: whoever has seen it goes on after that record. `None` for all but the last
            event of a record, and for a worker that went, which is in no log.
        kind: See `log_events.KINDS`.
        data: What is said about it.
    """

    number: int
    control_offset: int | None
    kind: str
    data: dict[str, Any]


class Happenings:
    """The newest events, a bounded number of them; a follower holds a number, not a queue.

    Any thread may call it.
    """

    def __init__(self, kept: int) -> None:
        self._events: deque[Happening] = deque(maxlen=kept)
        self._next = 0
        self._lock = threading.Lock()

    @property
    def next_number(self) -> int:
        """The number that the next event will have."""
        return self._next

    @property
    def oldest_number(self) -> int:
        """The number of the oldest event that is kept, or of the next one."""
        with self._lock:
            return self._events[0].number if self._events else self._next

    def note(self, control_offset: int | None, kind: str, data: dict[str, Any]) -> None:
        """Add one."""
        with self._lock:
            self._events.append(Happening(self._next, control_offset, kind, data))
            self._next += 1

    def since(self, number: int, most: int = 200) -> Sequence[Happening]:
        """Events from `number` on, at most `most`; older ones than are kept are missing."""
        found: list[Happening] = []
        events = self._snapshot()
        for event in reversed(events):
            if event.number < number:
                break
            found.append(event)
        found.reverse()
        return found[:most]

    def number_after(self, control_offset: int) -> int:
        """The number of the first event that is about a later record than `control_offset`."""
        number = self._next
        for event in reversed(self._snapshot()):
            if event.control_offset is not None and event.control_offset <= control_offset:
                break
            number = event.number
        return number

    def _snapshot(self) -> tuple[Happening, ...]:
        with self._lock:
            return tuple(self._events)
