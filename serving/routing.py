"""Which plan scores which record on this worker: the routes of the catalogue, lane by lane, ready for the hot path.

All of it is asked of `model_store.core.timeline`, the same functions by which the control API answers, and of nothing that
only this worker knows: what it scores by is on the log before it scores by it.

The common question, one data type whose newest plan began before this batch, is one look into a dictionary. Belongs to
the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from model_store.core.lanes import Lane
from model_store.core.routes import Route, RouteEntry, is_pattern
from model_store.core.state import EMPTY, Catalogue
from model_store.core.timeline import cut_of, intervals, segments
from serving.core.active_plan import ActivePlan, activate

Key = tuple[str, int]
"""Topic and partition."""

_CACHED: Final = 10_000
"""Lanes times data types; hostile records can name any number of data types."""

_PLANS: Final = 16
"""Of each route: a lane that is far behind needs more than the newest two, and what was forgotten can be made again."""

_LANES: Final = 64
"""Lanes times routes may be more than that: so many lanes of each."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Offsets of a lane that one plan scores.

    Attributes:
        start: First offset, inclusive.
        plan: `None` where no route serves.
    """

    start: int
    plan: ActivePlan | None


@dataclass(slots=True)
class Routing:
    """See the module.

    Attributes:
        group: Consumer group of this worker's lanes.
        catalogue: What the log says; set by `follow`.
    """

    group: str
    catalogue: Catalogue = EMPTY
    _stretches: dict[tuple[Key, str], list[Stretch]] = field(default_factory=dict)
    _plans: dict[str, dict[int, ActivePlan]] = field(default_factory=dict)  # route -> change -> plan

    def follow(self, catalogue: Catalogue) -> None:
        """The log goes on."""
        before, self.catalogue = self.catalogue, catalogue
        if catalogue.lanes is not before.lanes:
            self._stretches.clear()
        elif catalogue.routes is not before.routes and self._stretches:
            self._forget(before)

    def _forget(self, before: Catalogue) -> None:
        """What was found out of data types whose routes are other ones now. Among a thousand routes one is changed at a time."""
        earlier, now = before.routes, self.catalogue.routes
        changed = {key for key, route in now.items() if earlier.get(key) is not route}
        changed.update(key for key in earlier if key not in now)
        if any(map(is_pattern, changed)):
            self._stretches.clear()
            return
        self._stretches = {at: found for at, found in self._stretches.items() if at[1] not in changed}

    def stretches(self, key: Key, data_type: str, first: int, last: int) -> Sequence[Stretch]:
        """What scores the records `first` to `last` (inclusive) of a lane, ascending; the first covers `first`."""
        cached = self._stretches.get((key, data_type))
        if cached is None or cached[0].start > first:
            cached = self._computed(key, data_type, first)
        if cached[-1].start <= first:
            return cached[-1:]
        begin = max(i for i, stretch in enumerate(cached) if stretch.start <= first)
        return [stretch for stretch in cached[begin:] if stretch.start <= last]

    def cut(self, entry: RouteEntry, key: Key) -> int | None:
        """First offset of an entry in a lane."""
        return cut_of(self.catalogue, entry, Lane(self.group, *key))

    def plan_of(self, route_key: str, entry: RouteEntry) -> ActivePlan | None:
        """The plan of an entry, ready for use."""
        if entry.plan is None:
            return None
        plans = self._plans.setdefault(route_key, {})
        known = plans.get(entry.change)
        if known is None:
            if len(plans) >= _PLANS:
                del plans[min(plans)]
            known = plans[entry.change] = activate(self.catalogue, route_key, entry.change, entry.plan)
        return known

    def in_force(self, route: Route, key: Key, offset: int) -> list[RouteEntry]:
        """The entries of a route that score records of a lane from `offset` on, newest first."""
        return [each.entry for each in intervals(self.catalogue, route, Lane(self.group, *key), offset)]

    def _computed(self, key: Key, data_type: str, first: int) -> list[Stretch]:
        if len(self._stretches) >= max(_CACHED, _LANES * len(self.catalogue.routes)):
            self._stretches.clear()
        found = segments(self.catalogue, data_type, Lane(self.group, *key), first)
        stretches = [
            Stretch(each.start, self.plan_of(each.key, each.entry) if each.entry is not None else None)
            for each in found
        ]
        self._stretches[key, data_type] = stretches
        return stretches
