"""What deciders did: which arms answered in time, and whose answers were taken."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from sluice.client.calls import API, Call, segment


class ArmNumbers(Struct, frozen=True, kw_only=True):
    """Of one arm. Each record is in exactly one of `answered`, `late` and `failed`.

    Attributes:
        arm: Its name; empty for the primary one.
        chosen: Records whose answer was taken from it.
        answered: Records that it answered in time.
        late: Records that it had not answered when time was up.
        failed: Records that it failed on, or could not be asked for.
    """

    arm: str
    chosen: int = 0
    answered: int = 0
    late: int = 0
    failed: int = 0


class DeciderNumbers(Struct, frozen=True, kw_only=True):
    """Of one decider on one route. Each record is in exactly one of `decided`, `unanswered` and `undecidable`.

    Attributes:
        route: Key of the route.
        decider: Its name.
        records: All that were to be decided.
        decided: Records that have an answer.
        unanswered: Records for which no arm had an answer.
        undecidable: Records with answers that the decider could not do with.
        p50_ms: Median time from asking the arms to the decision.
    """

    route: str
    decider: str
    records: int
    decided: int = 0
    unanswered: int = 0
    undecidable: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    arms: tuple[ArmNumbers, ...] = ()


class DeciderStatistics(Struct, frozen=True, kw_only=True):
    """An answer about deciders; `window` is `None` for everything since ever."""

    as_of: datetime
    window: str | None = None
    partial: bool = False
    missing_workers: tuple[str, ...] = ()
    deciders: tuple[DeciderNumbers, ...] = ()


def decider_stats(window: str | None = None, *, route: str | None = None) -> Call[DeciderStatistics]:
    """How deciders do: of one route, or of all.

    Args:
        window: `30s`, `5m`, `24h` at most; left out, since ever.
        route: Key of the route; left out, all.
    """
    path = f"{API}/stats/deciders" + (f"/{segment(route)}" if route is not None else "")
    return Call("GET", path, DeciderStatistics, {"window": window} if window else {})
