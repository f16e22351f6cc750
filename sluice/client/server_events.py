"""Server-sent events, read from bytes as they come (HTML standard, section 9.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from sluice.client.answers import ServerEvent

Item = TypeVar("Item")

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Followed(Generic[Item]):
    """One thing of a stream that is followed.

    Attributes:
        item: What came.
        cursor: Resumes the stream behind it, as `after`; `None` if it cannot be resumed there.
    """

    item: Item
    cursor: str | None


class EventReader:
    """Turns the bytes of one event stream into events.

    Attributes:
        last_id: Id of the last event, for `Last-Event-ID`; survives a new connection.
        retry_seconds: How long to wait before connecting again, as the server asked.
    """

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self.retry_seconds = 2.0
        self.reconnected()

    def reconnected(self) -> None:
        """Forget what a broken connection left unfinished."""
        self._rest = b""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that `chunk` completes.

        Raises:
            msgspec.DecodeError: An event's data is not JSON.
        """
        # A carriage return at the end may be half of a line end; it waits for its other half.
        read = self._rest + chunk
        *lines, self._rest = _LINE_END.split(read)
        if not self._rest and read.endswith(b"\r") and lines:
            self._rest = lines.pop() + b"\r"
        for line in lines:
            if line:
                self._take(line.decode(errors="replace"))
            elif event := self._finished():
                yield event

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_id = value or None
            case "retry" if value.isdecimal():
                self.retry_seconds = int(value) / 1000

    def _finished(self) -> ServerEvent | None:
        kind, data = self._kind, self._data
        self._kind, self._data = "", []
        if not data:
            return None
        return ServerEvent(kind=kind or "message", data=msgspec.json.decode("\n".join(data)), id=self.last_id)
