"""Routes: what serves a data type, what did before, and which of several routes a data type is for.

A route's key is a data type, a glob pattern (`wine-*`, `?` for one character), or `*` for any. A data type is served by
the first of these that has a plan at that offset: the route of its own name; then the patterns that match it, the one
with the most literal characters first and among equals in the order of the alphabet; then `*`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from immutables import Map

from model_store.core.lanes import Lane
from model_store.core.plans import Plan
from model_store.core.replacing import replace
from model_store.core.versions import ModelVersion

ROUTE_HISTORY: Final = 100
"""How many primaries a route's stack shows, the current one included; the entries themselves are all kept."""

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One plan that a route was given to serve.

    Attributes:
        offset: Control offset at which it took force: where it was committed, or announced.
        change: Control offset of the record that asked for it: its id, and what results carry.
        at_ms: When it took force, milliseconds since 1970 UTC.
        plan: `None`: from here on the route serves nothing.
        is_exact: The cuts were promised; otherwise they are where each worker says that it changed.
        cuts: Lane -> first offset of this plan, as far as they are known.
        actor: Who asked for it.
        reason: Why.
        rollout: The rollout that it is a step of, if any.
        approved: Version, by its control offset -> who had approved it when the plan took force; nobody: not in it.
    """

    offset: int
    change: int
    at_ms: int
    plan: Plan | None
    is_exact: bool
    cuts: Map[Lane, int] = field(default_factory=Map)
    actor: str = ""
    reason: str = ""
    rollout: int | None = None
    approved: Map[int, tuple[str, ...]] = field(default_factory=Map)


@dataclass(frozen=True, slots=True)
class Route:
    """A key and all that it was given to serve.

    Attributes:
        key: A data type, a pattern, or `*`.
        entries: Number, from 0 -> entry, in the order of the log. None is ever dropped.
        history: Primary versions, newest first, at most `ROUTE_HISTORY`; a version that came back is in it twice.
        revision: Control offset of the last record that changed the route or began or ended a change of it.
        change: Id of the change that is under way, if any.
        rollout: Id of the rollout that is under way, if any.
    """

    key: str
    entries: Map[int, RouteEntry] = field(default_factory=Map)
    history: tuple[ModelVersion, ...] = ()
    revision: int = -1
    change: int | None = None
    rollout: int | None = None

    @property
    def current(self) -> RouteEntry | None:
        """The newest entry; `None` before the first change is committed."""
        return self.entries[len(self.entries) - 1] if self.entries else None

    @property
    def plan(self) -> Plan | None:
        """What the log says should serve."""
        entry = self.current
        return entry.plan if entry is not None else None

    def newest_first(self) -> Iterator[RouteEntry]:
        """All entries."""
        for number in range(len(self.entries) - 1, -1, -1):
            yield self.entries[number]

    def entering(self, entry: RouteEntry, primary: ModelVersion | None) -> Route:
        """The same route with one more entry, and nothing under way."""
        history = self.history if primary is None else (primary, *self.history[: ROUTE_HISTORY - 1])
        return replace(
            self,
            entries=self.entries.set(len(self.entries), entry),
            history=history,
            revision=max(entry.offset, self.revision),
            change=None,
        )

    def entry_of(self, change: int) -> tuple[int, RouteEntry] | None:
        """Number and entry of a change, looked for from the newest on."""
        for number in range(len(self.entries) - 1, -1, -1):
            entry = self.entries[number]
            if entry.change == change:
                return number, entry
            if entry.offset < change:
                return None
        return None


def is_pattern(key: str) -> bool:
    """Whether the key is for more than one data type."""
    return any(character in key for character in "*?[")


@lru_cache(maxsize=4096)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def matches(key: str, data_type: str) -> bool:
    """Whether a route of this key may serve the data type."""
    return key == data_type or (is_pattern(key) and _matcher(key).match(data_type) is not None)


def in_precedence(keys: Iterable[str], data_type: str) -> list[str]:
    """The keys that match a data type, the one that goes first at the front."""
    return sorted((key for key in keys if matches(key, data_type)), key=lambda key: _rank(key, data_type))


def _rank(key: str, data_type: str) -> tuple[int, int, str]:
    if key == data_type:
        return 0, 0, key
    literal = sum(character not in "*?[]" for character in key)
    return 1 if key != ANY else 2, -literal, key
