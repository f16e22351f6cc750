"""A persistent mapping of bounded size: the entry that was set longest ago makes room for a new one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from immutables import Map

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class BoundedMap(Generic[K, V]):
    """At most `capacity` entries, in the order in which they were last set. Values in, values out: it never changes.

    Attributes:
        capacity: Most entries, at least 1.
        entries: Key -> (when it was set, value).
        order: When it was set -> key.
        clock: Counts the calls of `set`.
        oldest: No entry was set earlier than this.
    """

    capacity: int
    entries: Map[K, tuple[int, V]] = field(default_factory=Map)
    order: Map[int, K] = field(default_factory=Map)
    clock: int = 0
    oldest: int = 0

    def set(self, key: K, value: V) -> BoundedMap[K, V]:
        """The same mapping with this entry, as its newest. Amortised O(log n)."""
        before = self.entries.get(key)
        order = self.order if before is None else self.order.delete(before[0])
        entries = self.entries.set(key, (self.clock, value))
        order = order.set(self.clock, key)
        oldest = self.oldest
        while len(entries) > self.capacity or (oldest < self.clock and oldest not in order):
            dropped = order.get(oldest)
            if dropped is not None:
                entries, order = entries.delete(dropped), order.delete(oldest)
            oldest += 1
        return BoundedMap(self.capacity, entries, order, self.clock + 1, oldest)

    def get(self, key: K) -> V | None:
        """The value, or `None`."""
        found = self.entries.get(key)
        return None if found is None else found[1]

    def newest_first(self) -> Iterator[tuple[K, V]]:
        """All entries, the one that was set last first. O(n log n)."""
        for key, (_, value) in sorted(self.entries.items(), key=lambda entry: -entry[1][0]):
            yield key, value

    def __contains__(self, key: object) -> bool:
        return key in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[K]:
        return iter(self.entries)
