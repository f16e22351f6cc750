"""What happens on the control log, as small events for people and programs that follow it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from control_api.schemas.shape import rfc3339
from model_store.core.catalogue import Catalogue, LogEntry
from model_store.core.control_records import (
    Announced,
    Invalid,
    ModelReport,
    Unknown,
    WorkerStarted,
)


@dataclass(frozen=True, slots=True)
class Happening:
    """One event.

    Attributes:
        number: Counts the events of this process, from 0.
        control_offset: Of the record that it is about; `None` for a worker that went, which is in no log.
        kind: `published`, `invalid`, `live`, `refused`, `retired`, `retrying`, `elsewhere`, `worker-started`,
            `worker-gone` or `unknown`.
        data: What is said about it.
    """

    number: int
    control_offset: int | None
    kind: str
    data: dict[str, Any]


def happening_of(entry: LogEntry, after: Catalogue) -> tuple[str, dict[str, Any]]:
    """Kind and data of the event that a record is, given the catalogue that it led to."""
    place = {"control_offset": entry.offset, "at": rfc3339(max(0, entry.timestamp_ms))}
    record = entry.record
    match record:
        case Announced(descriptor=d):
            version = after.version_at(entry.offset)
            return "published", place | {
                "model": d.name,
                "version": str(version.version) if version is not None else None,
                "data_type": d.data_type,
                "type": d.model_type,
                "is_retry": after.announcement_of(entry.offset) != entry.offset,
            }
        case Invalid(reason=reason, name=name, data_type=data_type):
            return "invalid", place | {"model": name, "data_type": data_type, "reason": reason}
        case WorkerStarted() as started:
            return "worker-started", place | {"worker": started.worker, "epoch": started.epoch, "host": started.host}
        case ModelReport() as report:
            return report.state.value, place | {
                "worker": report.worker,
                "model": report.model,
                "version": str(report.model_version),
                "data_type": report.data_type,
                "descriptor_offset": report.control_offset,
                "reason": report.reason,
                "problem": report.problem,
                "load_ms": report.load_ms,
                "swap_ms": report.swap_ms,
            }
        case Unknown(record_type=record_type):
            return "unknown", place | {"record_type": record_type}
        case _:
            assert_never(record)


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
