"""Which versions a worker needs: of what it serves, of what it is to serve next, and of what it may have to serve again.

For each route that belongs here:

* the newest entry, and where that cannot be loaded here, the newest one that can (only announcements and other immediate
  changes may be passed over: an exact one was ready everywhere before it was committed);
* every entry that scores a record at or above the committed offset of a lane: a record may come again after a crash;
* the plan of a change that is under way.

Computed anew only for routes that changed, or while an older entry is still needed. Belongs to the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from model_store.core.plans import Plan
from model_store.core.routes import Route, RouteEntry
from model_store.core.state import Catalogue
from model_store.core.versions import ModelVersion
from serving.routing import Key, Routing

LOOKED_BACK = 100
"""How many entries back a worker looks for one that it can load."""


@dataclass(frozen=True, slots=True)
class RouteNeeds:
    """What one route needs here.

    Attributes:
        wanted: The entry that should score new records here: the newest that is not hopeless; `None` if there is none.
        versions: Control offsets of all versions that are needed, the most urgent first.
        is_settled: Nothing but `wanted` is needed, so positions do not matter.
    """

    wanted: RouteEntry | None
    versions: tuple[int, ...]
    is_settled: bool


@dataclass(slots=True)
class Needs:
    """See the module.

    Attributes:
        routing: Knows where entries begin in a lane.
        is_hopeless: A version is refused here, or cannot be had for the moment.
    """

    routing: Routing
    is_hopeless: Callable[[int], bool]
    _known: dict[str, tuple[Route, object, RouteNeeds]] = field(default_factory=dict)

    def of_routes(self, routes: Iterable[Route], committed: Mapping[Key, int], token: object) -> dict[str, RouteNeeds]:
        """What each route needs.

        Args:
            routes: Those that belong here.
            committed: Lane -> the offset from which on its records may have to be scored again.
            token: Changes when lanes come or go, or a load ends.
        """
        found: dict[str, RouteNeeds] = {}
        for route in routes:
            known = self._known.get(route.key)
            if known is None or known[0] is not route or known[1] != token or not known[2].is_settled:
                known = (route, token, self._needs(route, committed))
            found[route.key] = known[2]
            self._known[route.key] = known
        for key in self._known.keys() - found.keys():
            del self._known[key]
        return found

    def _needs(self, route: Route, committed: Mapping[Key, int]) -> RouteNeeds:
        catalogue = self.routing.catalogue
        wanted, passed = self._wanted(route)
        entries = [wanted] if wanted is not None else []
        for key, offset in committed.items():
            entries += [entry for entry in self.routing.in_force(route, key, offset) if entry not in entries]
        versions = [offset for entry in entries for offset in plan_versions(catalogue, entry.plan)]
        retried = [offset for entry in passed for offset in plan_versions(catalogue, entry.plan)]
        is_settled = len(entries) <= 1 and not passed
        return RouteNeeds(wanted, tuple(dict.fromkeys([*versions, *retried])), is_settled)

    def _wanted(self, route: Route) -> tuple[RouteEntry | None, Sequence[RouteEntry]]:
        """The newest entry that can be served here, and the newer ones that cannot for the moment."""
        passed: list[RouteEntry] = []
        for number, entry in enumerate(route.newest_first()):
            if number >= LOOKED_BACK:
                break
            versions = plan_versions(self.routing.catalogue, entry.plan)
            if entry.is_exact or not any(self.is_hopeless(offset) for offset in versions):
                return entry, passed
            passed.append(entry)
        return None, passed


def plan_versions(catalogue: Catalogue, plan: Plan | None) -> list[int]:
    """Control offsets of the versions of a plan, in its order."""
    if plan is None:
        return []
    found = [catalogue.version(target) for target in plan.targets()]
    return list(dict.fromkeys(version.control_offset for version in found if version is not None))


def versions_of(catalogue: Catalogue, offsets: Collection[int]) -> list[ModelVersion]:
    """The versions at some control offsets."""
    return [catalogue.versions[offset] for offset in offsets if offset in catalogue.versions]
