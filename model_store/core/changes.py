"""One exact change of a route: from the request to the cut of every partition, or to nothing at all.

    prepared --propose--> proposed --last promise--> committed
        `--------- abort, refusal ---------> aborted

Committed is not a record: it is the position on the log at which the last missing promise was accepted. An abort and
the last promise race on the log, and the first one wins for everybody. Below its cut a partition is scored by the old
plan, from it on by the new one, on every worker, after every restart and in every replay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from immutables import Map

from model_store.core.lanes import Lane
from model_store.core.plans import Plan
from model_store.core.replacing import replace


class ChangeState(Enum):
    """Where a change is."""

    PREPARED = "prepared"
    PROPOSED = "proposed"
    COMMITTED = "committed"
    ABORTED = "aborted"

    @property
    def is_open(self) -> bool:
        """It may still come out either way."""
        return self in (ChangeState.PREPARED, ChangeState.PROPOSED)


@dataclass(frozen=True, slots=True)
class Promise:
    """The owner of a lane will not score at or above the cut before the change is over.

    Attributes:
        cut: First offset that the new plan scores, if the change is committed.
        worker: Who promised.
        offset: Where the promise is on the control log.
    """

    cut: int
    worker: str
    offset: int


@dataclass(frozen=True, slots=True)
class Change:
    """See the module.

    Attributes:
        id: Control offset of the command that asked for it.
        key: Of the route.
        plan: What is to be served; `None` takes the route away.
        is_exact: By the protocol; otherwise each worker changes when it is ready.
        requested_at_ms: Timestamp of its record, milliseconds since 1970 UTC.
        deadline_ms: When it is to be given up if it is not committed by then, milliseconds since 1970 UTC.
        actor: Who asked.
        reason: Why.
        rollout: The rollout that it is a step of.
        step: Which step; -1 is the way back.
        state: Where it is.
        ready: Worker -> the start of it that has everything loaded.
        required: Lanes that must promise.
        promises: Lane -> promise.
        ended_offset: Control offset at which it was committed or aborted; -1 before.
        ended_at_ms: When, milliseconds since 1970 UTC.
        ended_why: Why it was aborted.
    """

    id: int
    key: str
    plan: Plan | None
    is_exact: bool
    requested_at_ms: int
    deadline_ms: int = 0
    actor: str = ""
    reason: str = ""
    rollout: int | None = None
    step: int = -1
    state: ChangeState = ChangeState.PREPARED
    ready: Map[str, str] = field(default_factory=Map)
    required: frozenset[Lane] = frozenset()
    promises: Map[Lane, Promise] = field(default_factory=Map)
    ended_offset: int = -1
    ended_at_ms: int = 0
    ended_why: str = ""

    @property
    def missing(self) -> frozenset[Lane]:
        """Lanes that have not promised yet."""
        return self.required.difference(self.promises)

    def promised(self, lane: Lane, promise: Promise) -> Change:
        """With one promise more; the first of a lane binds, later ones change nothing."""
        if self.state is not ChangeState.PROPOSED or lane in self.promises or lane not in self.required:
            return self
        return replace(self, promises=self.promises.set(lane, promise))

    def ended(self, state: ChangeState, offset: int, at_ms: int, why: str = "") -> Change:
        """Committed or aborted."""
        return replace(self, state=state, ended_offset=offset, ended_at_ms=at_ms, ended_why=why)
