"""Which plan scores which record: of every lane and every offset, from the log alone.

A route's entries say when it was given which plan; an entry's cut in a lane is the first offset that this plan scores
there. The plan of an offset is that of the newest entry whose cut is at or below it. Workers score by these functions
and the control API answers by them, so a result and the answer about it cannot disagree.

An exact entry has a cut in each lane that promised. A lane that did not take part (its group was away, or it did not
exist) changed where its next owner began. An entry of an immediate change has a cut where a worker said that it changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model_store.core.lanes import Lane
from model_store.core.plans import Arm, Plan, Target
from model_store.core.routes import Route, RouteEntry
from model_store.core.slots import arm_at, slot_of
from model_store.core.state import Catalogue


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of one lane that one entry scores.

    Attributes:
        start: First offset, inclusive; 0 for the first entry of a route.
        end: Last offset, exclusive; `None`: to the end.
        entry: What scores it.
    """

    start: int
    end: int | None
    entry: RouteEntry


@dataclass(frozen=True, slots=True)
class Choice:
    """What scored, or will score, one record.

    Attributes:
        key: Of the route.
        entry: Of the route.
        start: First offset of the entry in this lane.
        arm: That of the entity, or the primary where it has none; a rule goes before it. `None` where a decider picks.
        target: The version of that arm.
        reason: `primary`, `arm`, `pin`, or `rule` where the plan has rules, which go before what is said here.
    """

    key: str
    entry: RouteEntry
    start: int
    arm: Arm | None
    target: Target | None
    reason: str

    @property
    def plan(self) -> Plan:
        """Of the entry; an entry without one scores nothing and is never chosen."""
        assert self.entry.plan is not None
        return self.entry.plan


def cut_of(catalogue: Catalogue, entry: RouteEntry, lane: Lane) -> int | None:
    """First offset of an entry in a lane; `None` if it has none there yet."""
    cut = entry.cuts.get(lane)
    if cut is not None or not entry.is_exact:
        return cut
    state = catalogue.lanes.get(lane)
    return state.start_after(entry.offset) if state is not None else None


def intervals(catalogue: Catalogue, route: Route, lane: Lane, start: int = 0) -> list[Interval]:
    """What scores a lane from `start` on, newest first, without gaps from the first interval to the last.

    Only the entries that still score something at or above `start`: cheap for a worker that is near the end.
    """
    found: list[Interval] = []
    end: int | None = None
    for entry in route.newest_first():
        at = cut_of(catalogue, entry, lane)
        if at is None or (end is not None and at >= end):
            continue  # a newer one began at or before it
        found.append(Interval(at, end, entry))
        if at <= start:
            break
        end = at
    return found


def entry_at(catalogue: Catalogue, route: Route, lane: Lane, offset: int) -> tuple[RouteEntry, int] | None:
    """The entry that scores an offset, and its cut; `None` if the route had none there."""
    for entry in route.newest_first():
        cut = cut_of(catalogue, entry, lane)
        if cut is not None and cut <= offset:
            return entry, cut
    return None


def decision(
    catalogue: Catalogue, lane: Lane, offset: int, data_type: str, entity: bytes | None = None
) -> Choice | None:
    """Which version scores a record, and why; `None` if no route serves its data type there.

    Args:
        catalogue: The state; decisions about the past do not change when it grows.
        lane: Of the record.
        offset: Of the record.
        data_type: Of the record.
        entity: Of the record; `None`: not known, or it has none.
    """
    choices = (choice_of(catalogue, route, lane, offset, entity) for route in catalogue.routes_for(data_type))
    return next((choice for choice in choices if choice is not None), None)


def choice_of(
    catalogue: Catalogue, route: Route, lane: Lane, offset: int, entity: bytes | None = None
) -> Choice | None:
    """The same where only one route is asked; `None` if it serves nothing there."""
    entry, start = entry_at(catalogue, route, lane, offset) or (None, 0)
    if entry is None or entry.plan is None:
        return None
    if entry.plan.speculation is not None:
        return Choice(route.key, entry, start, None, None, "decided")
    arm, reason = choose(entry.plan, entity)
    return Choice(route.key, entry, start, arm, arm.target, "rule" if entry.plan.rules else reason)


def affected(
    catalogue: Catalogue, route: Route, lane: Lane, targets: Sequence[Target], end: int
) -> Iterator[tuple[int, int, RouteEntry]]:
    """Stretches of a lane in which a plan had one of these versions among its arms or as its fallback, newest first.

    Args:
        end: Where the newest stretch ends, exclusive: the end of the lane.
    """
    wanted = {(target.model, target.version) for target in targets}
    for interval in intervals(catalogue, route, lane):
        plan = interval.entry.plan
        if plan is None or not any((t.model, t.version) in wanted for t in plan.serving_targets()):
            continue
        stop = end if interval.end is None else min(interval.end, end)
        if interval.start < stop:
            yield interval.start, stop, interval.entry


def _name(entity: bytes) -> str:
    """An entity as pins name it; empty, which names none, where it is not UTF-8."""
    try:
        return entity.decode()
    except UnicodeDecodeError:
        return ""


def choose(plan: Plan, entity: bytes | None) -> tuple[Arm, str]:
    """The arm of an entity by pin or slot, whatever the rules say, and the reason. No entity: the primary."""
    if plan.pins and entity:
        pinned = plan.pins.get(_name(entity))
        arm = plan.arm(pinned) if pinned is not None else None
        if arm is not None:
            return arm, "pin"
    if not plan.slots or not entity:
        return plan.primary, "primary"
    arm = plan.arm(arm_at(plan.slots, slot_of(plan.salt, entity))) or plan.primary
    return arm, "primary" if arm is plan.primary else "arm"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a lane that one entry scores for one data type, whichever route it is of.

    Attributes:
        start: First offset, inclusive.
        end: Last offset, exclusive; `None`: to the end.
        key: Of the route; empty where none serves.
        entry: `None` where none serves.
    """

    start: int
    end: int | None
    key: str = ""
    entry: RouteEntry | None = None


def segments(catalogue: Catalogue, data_type: str, lane: Lane, start: int) -> list[Segment]:
    """What scores a data type in a lane from `start` on, ascending, without gaps."""
    found = [(route.key, intervals(catalogue, route, lane, start)) for route in catalogue.routes_for(data_type)]
    starts = sorted({start, *(each.start for _, each_route in found for each in each_route if each.start > start)})
    result: list[Segment] = []
    for i, at in enumerate(starts):
        key, entry = _serving(found, at)
        end = starts[i + 1] if i + 1 < len(starts) else None
        if result and result[-1].entry is entry and result[-1].key == key:
            result[-1] = Segment(result[-1].start, end, key, entry)
        else:
            result.append(Segment(at, end, key, entry))
    return result


def _serving(found: Sequence[tuple[str, list[Interval]]], at: int) -> tuple[str, RouteEntry | None]:
    for key, each_route in found:
        entry = next((each.entry for each in each_route if each.start <= at), None)
        if entry is not None and entry.plan is not None:
            return key, entry
    return "", None
