"""Which versions scored each entity: while a canary grows, an entity may go over to it once, and never back.

An entity is what has the same key, so all of it is in one partition, in order. For each version and entity the first and the
last offset are kept; where those of two versions overlap, the entity went back and forth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", np.int64, np.bool_)

_NEVER = np.iinfo(np.int64).max


@dataclass(slots=True)
class Entities:
    """Counts the results of one data type. One thread."""

    _numbers: dict[bytes, int] = field(default_factory=dict)
    _first: dict[tuple[str, int], NDArray[np.int64]] = field(default_factory=dict)
    _last: dict[tuple[str, int], NDArray[np.int64]] = field(default_factory=dict)
    _on_canary: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def count(
        self, served: tuple[str, int], is_canary: bool, keys: Sequence[bytes | None], offsets: NDArray[np.int64]
    ) -> None:
        """Count a batch of results of one version.

        Args:
            served: Model and version.
            is_canary: It was an arm beside the primary one.
            keys: Of the records; one without a key is no entity.
            offsets: Of the records.
        """
        numbers = self._numbers
        which = np.fromiter(
            (-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys), np.int64, len(keys)
        )
        offsets, which = offsets[which >= 0], which[which >= 0]
        first = _grown(self._first.get(served, np.zeros(0, np.int64)), len(numbers), _NEVER)
        last = _grown(self._last.get(served, np.zeros(0, np.int64)), len(numbers), -1)
        np.minimum.at(first, which, offsets)
        np.maximum.at(last, which, offsets)
        self._first[served], self._last[served] = first, last
        if is_canary:
            self._on_canary = _grown(self._on_canary, len(numbers), False)
            self._on_canary[which] = True

    @property
    def on_canary(self) -> int:
        """Entities that a canary arm scored."""
        return int(np.count_nonzero(self._on_canary))

    def wavering(self) -> list[str]:
        """The keys of entities that went to a version, away from it, and back; in order."""
        size = len(self._numbers)
        spans = [(_grown(self._first[s], size, _NEVER), _grown(self._last[s], size, -1)) for s in self._first]
        is_wavering = np.zeros(size, np.bool_)
        for (first, last), (other_first, other_last) in combinations(spans, 2):
            is_wavering |= np.maximum(first, other_first) <= np.minimum(last, other_last)
        return sorted(key.decode(errors="replace") for key, number in self._numbers.items() if is_wavering[number])


def _grown(found: NDArray[Scalar], size: int, filler: int) -> NDArray[Scalar]:
    return np.concatenate([found, np.full(size - len(found), filler, found.dtype)])
