"""A persistent mapping of bounded size: the entry that was set longest ago makes room for a new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from immutables import Map

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class BoundedMap(Generic[K, V]):
    """At most `capacity` entries, in the order in which they were last set. Values in, values out: it never changes.

    It holds more only where more must be kept (`set`).

    Attributes:
        capacity: Most entries, at least 1.
        entries: Key -> (when it was set, value).
        order: When it was set -> key.
        clock: Larger than all keys of `order`.
        oldest: No entry was set earlier than this.
    """

    capacity: int
    entries: Map[K, tuple[int, V]] = field(default_factory=Map)
    order: Map[int, K] = field(default_factory=Map)
    clock: int = 0
    oldest: int = 0

    def set(self, key: K, value: V, is_kept: Callable[[V], bool] | None = None) -> BoundedMap[K, V]:
        """The same mapping with this entry, as its newest. Amortised O(log n), times the share of entries that are kept.

        Args:
            key: Of the entry.
            value: Of the entry.
            is_kept: Says of a value whose turn it is to go that it stays: it then counts as set anew.
        """
        before = self.entries.get(key)
        order = self.order if before is None else self.order.delete(before[0])
        entries = self.entries.set(key, (self.clock, value))
        order = order.set(self.clock, key)
        oldest, clock = self.oldest, self.clock + 1
        # No further than this entry: if all before it are kept, there are more than `capacity`.
        while oldest < self.clock and (len(entries) > self.capacity or oldest not in order):
            due = order.get(oldest)
            if due is not None:
                order = order.delete(oldest)
                kept = entries[due][1]
                if is_kept is not None and is_kept(kept):
                    entries, order, clock = entries.set(due, (clock, kept)), order.set(clock, due), clock + 1
                else:
                    entries = entries.delete(due)
            oldest += 1
        return BoundedMap(self.capacity, entries, order, clock, oldest)

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
