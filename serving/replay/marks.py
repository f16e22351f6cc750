"""Which records are done, one bit each."""

from __future__ import annotations

from collections.abc import Iterable

from serving.replay.ranges import Slice


class Marks:
    """A set of offsets that lie in the slices of a job. A slice of a million records takes 125 kB."""

    def __init__(self, slices: Iterable[Slice]) -> None:
        self._bits = [(part, bytearray((part.end - part.first + 7) // 8)) for part in slices]
        self.count = 0

    def add(self, partition: int, offset: int) -> None:
        """Mark a record; nothing happens if it is in no slice."""
        for part, bits in self._bits:
            if part.partition == partition and part.first <= offset < part.end:
                place, bit = divmod(offset - part.first, 8)
                self.count += not bits[place] >> bit & 1
                bits[place] |= 1 << bit

    def has(self, partition: int, offset: int) -> bool:
        """Whether a record is marked."""
        for part, bits in self._bits:
            if part.partition == partition and part.first <= offset < part.end:
                place, bit = divmod(offset - part.first, 8)
                return bool(bits[place] >> bit & 1)
        return False
