"""Keeps what serves in step with the control log: fold, find out what is needed, load, change plans, report.

    apply      each record of the log, in order, on the loop's thread: folded into the catalogue, nothing more
    settle     after the log was read to its end, and for partitions that came: carry out every decision there is;
               the feed hands out no record before
    run        from then on: wake at each change, decide, start loads, take part in exact changes, make immediate ones

Which plan scores which record is then a matter of offsets (`routing`); nothing is assigned between two batches but the
offset at which an immediate change begins in each lane. Everything is reported on the log. Belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from model_store.core.catalogue import Catalogue, LogEntry, fold
from model_store.core.changes import Change, ChangeState
from model_store.core.control_records import PartitionOffset
from model_store.core.routes import Route, RouteEntry
from model_store.core.versions import ModelVersion
from serving.loads import Loads, Refusal
from serving.needs import Needs, RouteNeeds, plan_versions, versions_of
from serving.participant import Participant
from serving.reports import Reports
from serving.routing import Key, Routing

log = structlog.get_logger(__name__)

_REST = 4.0
"""Times as long as a decision took, so long the next one waits for more loads to end."""

_SHORT_TICK_SECONDS = 0.02
_TICK_SECONDS = 0.5
"""How often positions are looked at while partitions are held: for the pace of lanes, and for plans that are over."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """All that decisions about routes go by: values that never change, so the same object says that nothing changed."""

    parts: tuple[object, ...]
    claims: frozenset[tuple[Key, str]]
    counts: tuple[int, int]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Seen)
            and all(one is another for one, another in zip(self.parts, other.parts, strict=True))
            and (self.claims, self.counts) == (other.claims, other.counts)
        )


@dataclass(slots=True)
class Swapper:
    """See the module.

    Attributes:
        routing: Which plan scores which record.
        loads: What is loaded.
        participant: This worker's part in exact changes.
        reports: What others are told.
        placed_here: Which of these route keys belong on this worker now.
        positions: Lane -> the offset to be handed out next and the committed one, for the lanes that are held.
        why_not: A reason to refuse a change that has nothing to do with loading.
        on_change: Called after what serves changed, with the seconds that it took the loop; `None`: nothing was swapped.
        follow: Called with the state at each decision, for whoever else goes by it.
    """

    routing: Routing
    loads: Loads
    participant: Participant
    reports: Reports
    placed_here: Callable[[Iterable[str]], set[str]]
    positions: Callable[[], Mapping[Key, tuple[int, int]]]
    why_not: Callable[[Change], Refusal | None]
    on_change: Callable[[float | None], None]
    follow: Callable[[Catalogue], None]
    catalogue: Catalogue = field(default_factory=Catalogue)
    in_force: dict[str, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _needs: Needs = field(init=False)
    _lane_changes: int = 0
    _urgent: set[int] = field(default_factory=set)
    _committed: dict[Key, int] = field(default_factory=dict)
    _calm_at: _Seen | None = None

    def __post_init__(self) -> None:
        self._needs = Needs(self.routing, self.loads.is_hopeless)

    def begin(self, catalogue: Catalogue) -> None:
        """Start from a state instead of from nothing. Before the first record is applied; any thread."""
        self.catalogue = catalogue

    def apply(self, entry: LogEntry) -> None:
        """Fold one record of the log."""
        before, self.catalogue = self.catalogue, fold(self.catalogue, entry)
        after = self.catalogue
        if (
            after.routes is not before.routes
            or after.changes is not before.changes
            or after.lanes is not before.lanes
            or after.jobs is not before.jobs
        ):
            self._changed.set()

    def wake(self, _version: ModelVersion | None = None) -> None:
        """Something changed that the log does not say: a load ended, partitions came or went."""
        self._changed.set()

    def lanes_changed(self) -> None:
        """Partitions came or went: what belongs here is decided anew."""
        self._lane_changes += 1
        self._changed.set()

    def caught_up(self) -> None:
        """The log was read to the end it had at start: versions that were replaced before need no report."""
        self.reports.first_to_report = self.catalogue.offset + 1

    async def settle(self) -> None:
        """Load until what serves is what the log says, as far as it can be had."""
        while True:
            began = time.perf_counter()
            self.decide()
            spent = time.perf_counter() - began
            waited_for = self.loads.under_way(self._urgent)
            if not waited_for:
                return
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            # With many models a decision takes milliseconds: it is made for several loads at once, a fifth of the time.
            await asyncio.wait(waited_for, timeout=_REST * spent)

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            self._changed.clear()
            self.decide()
            try:
                await asyncio.wait_for(self._changed.wait(), self._next_look())
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """End loads and close what serves. Only after the last batch was handed back."""
        await self.loads.stop()

    def decide(self) -> None:
        """Do what is to be done now, and start what takes longer.

        Looking at all routes takes milliseconds where there are a thousand. So where all that was decided before is done, and
        nothing is another than it was then, only the lanes are looked at.
        """
        catalogue = self.catalogue
        self.routing.follow(catalogue)
        self.participant.follow(catalogue)
        positions = self.positions()
        self._committed = {
            key: offset
            if offset >= 0
            else self._committed.get(key, position)  # unknown for a while after a refused commit
            for key, (position, offset) in positions.items()
        }
        seen = self._seen(positions)
        if seen == self._calm_at:
            self.participant.step({}, self.why_not, {})
        else:
            is_calm = self._decide_all(positions)
            self._calm_at = seen if is_calm and not self.participant.is_impatient else None
        self.follow(catalogue)

    def _decide_all(self, positions: Mapping[Key, tuple[int, int]]) -> bool:
        """Look at all routes; says whether nothing is left to be done before something changes."""
        catalogue = self.catalogue
        here = self.placed_here(catalogue.routes)
        routes = [route for key, route in catalogue.routes.items() if key in here]
        needs = self._needs.of_routes(routes, self._committed, (self._lane_changes, self.loads.changes))
        under_way = self._under_way(here)
        self._load(needs, under_way)
        self._change_at_once(routes, positions)
        self._note_in_force(routes, needs)
        blocked = self._blocked(routes, needs, positions)
        self.participant.step(under_way, self.why_not, blocked)
        self._drop(needs, under_way)
        self.reports.rest(catalogue, here, self.in_force)
        is_open = bool(under_way or blocked or self.participant.beginnings())
        is_settled = all(each.is_settled for each in needs.values())
        return is_settled and not is_open and self.loads.next_try() is None

    def _seen(self, positions: Mapping[Key, tuple[int, int]]) -> _Seen:
        catalogue = self.catalogue
        parts = (catalogue.routes, catalogue.changes, catalogue.lanes, self.loads.live.by_version)
        claims = frozenset((key, claim) for key, claim in self.participant.claims.items() if key in positions)
        return _Seen(parts, claims, (self._lane_changes, self.loads.changes))

    def _next_look(self) -> float | None:
        times = [self.loads.next_try()]
        if self.participant.claims:
            times.append(_SHORT_TICK_SECONDS if self.participant.is_impatient else _TICK_SECONDS)
        return min((seconds for seconds in times if seconds is not None), default=None)

    def _under_way(self, here: set[str]) -> dict[int, list[int]]:
        """Exact change -> the versions that it needs here."""
        found = {}
        for change_id in self.catalogue.open_changes:
            change = self.catalogue.changes.get(change_id)
            if change is not None:
                is_here = change.key in here
                found[change_id] = plan_versions(self.catalogue, change.plan) if is_here else []
        return found

    # ------------------------------------------------------------------ loading

    def _load(self, needs: Mapping[str, RouteNeeds], under_way: Mapping[int, Sequence[int]]) -> None:
        wanted = [offset for each in needs.values() for offset in each.versions]
        self._urgent = set(wanted)
        for change_id, offsets in under_way.items():
            wanted += offsets
            change = self.catalogue.changes.get(change_id)
            if change is not None and change.state is ChangeState.PROPOSED:
                self._urgent.update(offsets)
        for version in versions_of(self.catalogue, dict.fromkeys(wanted)):
            self.loads.start(version)
            trouble = self.loads.trouble(version.control_offset)
            if trouble is not None:
                self.reports.trouble(version, trouble)

    def _drop(self, needs: Mapping[str, RouteNeeds], under_way: Mapping[int, Sequence[int]]) -> None:
        loaded = self.loads.live.by_version
        if not loaded:
            return
        kept = {offset for each in needs.values() for offset in each.versions}
        kept.update(offset for offsets in under_way.values() for offset in offsets)
        for offset in [offset for offset in loaded if offset not in kept]:
            model = self.loads.drop(offset)
            if model is not None:
                log.info("model.dropped", model=model.model, version=model.version)
                self.on_change(None)

    # ------------------------------------------------------------------ changes

    def _change_at_once(self, routes: Iterable[Route], positions: Mapping[Key, tuple[int, int]]) -> None:
        """Let immediate entries begin in the lanes where they do not score yet, if all that they need is here."""
        me = self.participant
        claimed = {key: positions[key][0] for key in me.claims if key in positions}
        for route in routes:
            newest = route.current
            if newest is None or newest.is_exact or not claimed:
                continue
            start, is_swapped = time.perf_counter(), False
            for key, position in claimed.items():
                entry = self._not_begun(route, key)
                if entry is not None:
                    is_first = not self.routing.in_force(route, key, position)
                    has_begun = me.begin(entry.change, route.key, key, is_first=is_first)
                    is_swapped = is_swapped or (has_begun and not is_first)
            if is_swapped:
                self.on_change(time.perf_counter() - start)
        for change, route_key, key in me.beginnings():
            found = self.catalogue.routes[route_key].entry_of(change)
            if found is None or self.routing.cut(found[1], key) is not None:
                me.has_begun(change, key)

    def _not_begun(self, route: Route, key: Key) -> RouteEntry | None:
        """The newest immediate entry that can begin in a lane now; `None` if a better one scores there or is on its way."""
        for entry in route.newest_first():
            if entry.is_exact or self.routing.cut(entry, key) is not None:
                return None
            missing = self._missing(entry)
            if not missing:
                return entry
            if not any(self.loads.is_hopeless(offset) for offset in missing):
                return None
        return None

    def _note_in_force(self, routes: Iterable[Route], needs: Mapping[str, RouteNeeds]) -> None:
        """Say which plan serves each route from now on, once all of it is loaded."""
        has_changed = False
        for route in routes:
            entry = needs[route.key].wanted
            if entry is None or self.in_force.get(route.key) == entry.change:
                continue
            if entry.plan is None:
                self.in_force[route.key] = entry.change
                log.info("route.removed", route=route.key, control_offset=entry.change)
                continue
            if self._missing(entry):
                continue
            if not entry.is_exact and any(self.routing.cut(entry, key) is None for key in self.participant.claims):
                continue  # the log does not say yet where it begins
            self.in_force[route.key] = entry.change
            self._report_live(route, entry)
            has_changed = True
        if has_changed:
            self.on_change(None)

    def _report_live(self, route: Route, entry: RouteEntry) -> None:
        assert entry.plan is not None
        cuts = {key: self.routing.cut(entry, key) for key in self.participant.claims}
        since = tuple(PartitionOffset(*key, cut) for key, cut in sorted(cuts.items()) if cut is not None)
        log.info(
            "route.changed", route=route.key, control_offset=entry.change, exact=entry.is_exact,
            model=entry.plan.primary.target.model, version=entry.plan.primary.target.version, arms=len(entry.plan.arms),
        )  # fmt: skip
        targets = [self.catalogue.version(target) for target in entry.plan.serving_targets()]
        served = [version for version in dict.fromkeys(targets) if version is not None]
        for version in reversed(served):  # the primary is the last word on the route
            self.reports.live(version, route.key, self.loads.loaded.get(version.control_offset), since)

    def _blocked(
        self, routes: Iterable[Route], needs: Mapping[str, RouteNeeds], positions: Mapping[Key, tuple[int, int]]
    ) -> dict[Key, int]:
        """Lanes in which records must wait, because the plan that they are for was committed and is not loaded here now."""
        blocked: dict[Key, int] = {}
        claimed = {key: positions[key][0] for key in self.participant.claims if key in positions}
        for route in routes:
            current, is_settled = route.current, needs[route.key].is_settled
            if current is None or (is_settled and self.in_force.get(route.key) == current.change):
                continue
            for key, position in claimed.items():
                for entry in (current,) if is_settled else self.routing.in_force(route, key, position):
                    cut = self.routing.cut(entry, key)
                    if cut is not None and self._is_to_come(entry):
                        at = max(cut, position)
                        blocked[key] = min(at, blocked.get(key, at))
        return blocked

    def _missing(self, entry: RouteEntry) -> list[int]:
        """Versions of an entry that are not loaded here."""
        return [offset for offset in plan_versions(self.catalogue, entry.plan) if not self.loads.has(offset)]

    def _is_to_come(self, entry: RouteEntry) -> bool:
        """An exact plan that is not loaded here, and may be."""
        missing = self._missing(entry)
        return entry.is_exact and bool(missing) and not any(offset in self.loads.refused for offset in missing)
