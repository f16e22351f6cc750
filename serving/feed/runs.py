"""Records of one partition, in order, as the two ways of reading them give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Header = tuple[str, bytes | None]
"""One Kafka header."""


class Run(Protocol):
    """Records of one partition, at least one, with rising offsets."""

    def __len__(self) -> int:
        """How many."""

    @property
    def first(self) -> int:
        """The first offset."""

    @property
    def last(self) -> int:
        """The last offset."""

    def split(self, offset: int) -> tuple[Self | None, Self | None]:
        """The records below an offset, and the others; `None` for none."""

    def offsets(self) -> Sequence[int]:
        """One a record; a `range` unless there are gaps."""

    def timestamps(self) -> NDArray[np.int64]:
        """One a record, in milliseconds since 1970; -1 where there is none."""

    def keys(self) -> Sequence[bytes | None]:
        """One a record."""

    def values(self) -> Sequence[bytes | None]:
        """One a record."""

    def headers_of(self, row: int) -> list[Header]:
        """Those of one record."""


class MessageRun:
    """See `Run`: a list of the Python client's messages."""

    __slots__ = ("_messages",)

    def __init__(self, messages: Sequence[Any]) -> None:
        """Take messages without errors."""
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def first(self) -> int:
        """See `Run`."""
        return int(self._messages[0].offset())

    @property
    def last(self) -> int:
        """See `Run`."""
        return int(self._messages[-1].offset())

    def split(self, offset: int) -> tuple[MessageRun | None, MessageRun | None]:
        """See `Run`."""
        below = [message for message in self._messages if message.offset() < offset]
        rest = self._messages[len(below) :]
        return MessageRun(below) if below else None, MessageRun(rest) if rest else None

    def offsets(self) -> Sequence[int]:
        """See `Run`."""
        first, last = self.first, self.last
        if last - first + 1 == len(self):
            return range(first, last + 1)
        return [message.offset() for message in self._messages]

    def timestamps(self) -> NDArray[np.int64]:
        """See `Run`."""
        return np.array([message.timestamp()[1] for message in self._messages], np.int64)

    def keys(self) -> Sequence[bytes | None]:
        """See `Run`."""
        return [message.key() for message in self._messages]

    def values(self) -> Sequence[bytes | None]:
        """See `Run`."""
        return [message.value() for message in self._messages]

    def headers_of(self, row: int) -> list[Header]:
        """See `Run`."""
        return self._messages[row].headers() or []
