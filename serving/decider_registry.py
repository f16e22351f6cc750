"""Which decider has which name, those of third parties included.

Built-in deciders are a closed table. Others are found among the entry points of the group `sluice.deciders`: the entry
point's name is the decider's, its value a function that is a `Decider`. A third party cannot displace a built-in one.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import cast

from serving.core.deciders import DECIDERS, Decider
from serving.core.errors import ServingError

ENTRY_POINT_GROUP = "sluice.deciders"


class UnknownDeciderError(ServingError):
    """No decider has that name, or the one that has it cannot be imported; the message says which, and what there is."""


def installed_deciders() -> tuple[str, ...]:
    """The names of the deciders that there are, sorted."""
    return tuple(sorted({*DECIDERS, *_third_party()}))


def decider_named(name: str) -> Decider:
    """The decider of that name. Imports a third party's module, so call it when a route changes and not for each batch.

    Raises:
        UnknownDeciderError: There is none, it cannot be imported, or it is not a function.
    """
    if name in DECIDERS:
        return DECIDERS[name]
    point = _third_party().get(name)
    if point is None:
        raise UnknownDeciderError(f"no decider is called {name!r}; installed are {', '.join(installed_deciders())}")
    try:
        found: object = point.load()
    except Exception as error:  # a third party's module may fail in any way
        raise UnknownDeciderError(f"the decider {name!r} ({point.value}) cannot be imported: {error}") from error
    if not callable(found):
        raise UnknownDeciderError(f"{point.value}, registered as the decider {name!r}, is not a function")
    return cast(Decider, found)


def _third_party() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name not in DECIDERS}
