"""Which change of a route scored what: every result must be on the right side of every cut.

Theory of operation: each result names the change of the route that it was scored under. For one data type and one partition
the offsets of a change's results are an interval; those of later changes lie behind it, and a promised cut lies between. So
the first and the last offset of each change, version and partition are all that must be kept. Arms that share the records
of one change interleave within its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Served = tuple[str, int]
"""Model and version."""


@dataclass(frozen=True, slots=True)
class CutOver:
    """One exact change of a route, as the control API tells it.

    Attributes:
        data_type: Key of the route.
        change: Its id, which results carry.
        topic: Data topic.
        cuts: Partition -> first offset that the change's plan scores.
        serves: What its plan serves, not dark.
        cut_over_ms: From the last worker that was ready to the last cut that was promised; `None` if that was not seen.
    """

    data_type: str
    change: int
    topic: str
    cuts: Mapping[int, int]
    serves: frozenset[Served]
    cut_over_ms: float | None = None

    @property
    def place(self) -> str:
        """For example `wine.records 0@8120 1@8033`."""
        return f"{self.topic} " + " ".join(f"{partition}@{cut}" for partition, cut in sorted(self.cuts.items()))


@dataclass(slots=True)
class Span:
    """First and last offset of some results in one partition."""

    first: int
    last: int

    def include(self, first: int, last: int) -> None:
        """Make it reach over both."""
        self.first, self.last = min(self.first, first), max(self.last, last)


@dataclass(slots=True)
class Spans:
    """What each change scored. One thread.

    Attributes:
        topic: Data topic, for messages.
    """

    topic: str = "records"
    _found: dict[tuple[str, int], dict[int, dict[Served, Span]]] = field(default_factory=dict)

    def count(
        self, data_type: str, change: int, served: Served, partitions: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> None:
        """Count a batch of results of one change and version, by the place of their records."""
        for partition in np.unique(partitions).tolist():
            mine = offsets[partitions == partition]
            first, last = int(mine.min()), int(mine.max())
            versions = self._found.setdefault((data_type, partition), {}).setdefault(change, {})
            versions.setdefault(served, Span(first, last)).include(first, last)

    def violations(self, cut_overs: Iterable[CutOver] = ()) -> list[str]:
        """What is on the wrong side, with coordinates; empty if nothing is.

        Args:
            cut_overs: The cuts that are known. Changes that are not among them only have to follow one another.
        """
        known = {(each.data_type, each.change): each for each in cut_overs}
        complaints: list[str] = []
        for (data_type, partition), changes in sorted(self._found.items()):
            place = f"{data_type} in {self.topic}/{partition}"
            cuts = {
                change: cut
                for (key, change), each in known.items()
                if key == data_type and (cut := each.cuts.get(partition)) is not None
            }
            complaints += _out_of_order(place, changes)
            complaints += _beyond_cuts(place, changes, cuts)
            for change, versions in sorted(changes.items()):
                if (each := known.get((data_type, change))) is not None:
                    complaints += _not_served(place, each, versions)
        return complaints


def _out_of_order(place: str, changes: Mapping[int, Mapping[Served, Span]]) -> list[str]:
    complaints = []
    last, by = -1, -1
    for change, versions in sorted(changes.items()):
        first = min(span.first for span in versions.values())
        if first <= last:
            complaints.append(f"{place}: change {change} scored offset {first}, but change {by} before it {last}")
        end = max(span.last for span in versions.values())
        if end > last:
            last, by = end, change
    return complaints


def _beyond_cuts(place: str, changes: Mapping[int, Mapping[Served, Span]], cuts: Mapping[int, int]) -> list[str]:
    complaints = []
    for change, cut in sorted(cuts.items()):
        for other, versions in sorted(changes.items()):
            first = min(span.first for span in versions.values())
            last = max(span.last for span in versions.values())
            if other < change and last >= cut:
                complaints.append(f"{place}: change {other} scored offset {last}, but change {change} cut at {cut}")
            if other >= change and first < cut:
                complaints.append(f"{place}: change {other} scored offset {first}, but change {change} cut at {cut}")
    return complaints


def _not_served(place: str, cut_over: CutOver, versions: Mapping[Served, Span]) -> list[str]:
    return [
        f"{place}: change {cut_over.change} scored offset {span.first} with {served[0]} version {served[1]}, which it does "
        "not serve"
        for served, span in sorted(versions.items())
        if served not in cut_over.serves
    ]
