"""A worker's part in exact changes of routes: claim, ready, promise, hold.

* **Claim.** Partitions that were assigned are claimed on the control log, with a turn that was committed before
  (`Feed.take_turn`), so that a claim that comes late counts for nothing. Nothing of them is handed out before the claim was
  read back: by then everything before it has been read, an accepted promise of the owner before included.
* **Ready.** When all that a change needs is loaded. A refusal is said at once, and ends the change for everybody.
* **Promise.** Once the change is proposed and all of it is loaded: for each claimed lane that has no promise, the larger of
  its end and its position, and about 200 ms of traffic more, so that nobody ever reaches the hold. From that moment nothing
  at or above it is handed out until the change is committed or aborted.
* **Give up.** A change that is far beyond its deadline and that no control API replica has ended is ended by a worker.
* **Begin.** An immediate change asks nobody, but it too is on the log before it counts: the worker says from which offset of
  each lane it will score by it (as far ahead as a promise, or at once where nothing else scores there), and holds there until
  the log says the same.
* **Hold.** Also where a committed plan is not loaded here yet: its records wait, they are not scored by another.

Belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from model_store.core.changes import Change, ChangeState
from model_store.core.control_records import ChangeReady, CutsPromised, PartitionOffset, PartitionsClaimed, RouteApplied
from model_store.core.lanes import Lane, LaneState
from model_store.core.state import Catalogue
from serving.loads import Loads, Refusal
from serving.routing import Key

log = structlog.get_logger(__name__)

MARGIN_SECONDS = 0.2
"""Of traffic above the end: a promise is committed by then, so the hold is never reached."""

GRACE_SECONDS = 5.0
"""A control API replica ends what is beyond its deadline at once; workers do it only where there is none."""

IDLE_SECONDS = 0.05
"""Where nothing has come for so long, nothing need be spared a hold, and a cut is simply the end."""

_REPEAT_SECONDS = 5.0
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.2

WorkerRecord = PartitionsClaimed | ChangeReady | CutsPromised | RouteApplied


class Lanes(Protocol):
    """What is asked of the feed."""

    def hold(self, topic: str, partition: int, offset: int) -> int:
        """See `Feed.hold`."""
        ...

    def release(self, topic: str, partition: int) -> None:
        """See `Feed.release`."""
        ...

    def position(self, topic: str, partition: int) -> tuple[int, int]:
        """See `Feed.position`."""
        ...

    def end(self, topic: str, partition: int) -> int | None:
        """See `Feed.end`."""
        ...

    def idle_seconds(self, topic: str, partition: int) -> float:
        """See `Feed.idle_seconds`."""
        ...

    async def take_turn(self, keys: Sequence[Key], above: int) -> int | None:
        """See `Feed.take_turn`."""
        ...

    def assignment(self, topic: str, partition: int) -> int | None:
        """See `Feed.assignment`."""
        ...


@dataclass(slots=True)
class _Pace:
    """How fast a lane goes: where it was when, and records a second since."""

    at: float
    position: int
    rate: float = 0.0


@dataclass(slots=True)
class _Promised:
    """What this worker promised, until the log says it too."""

    cut: int
    sent_at: float


@dataclass(slots=True)
class _Beginning:
    """Where an immediate change begins in a lane, until the log says it too."""

    route: str
    cut: int
    sent_at: float = -math.inf


@dataclass(slots=True)
class Participant:
    """See the module.

    Attributes:
        lanes: The feed.
        loads: What is loaded.
        send: Puts a record on the control log; returns at once.
        worker: Worker id.
        epoch: Unique for this process.
        group: Consumer group.
        give_up: Asks on the control log that a change be ended, and says why; returns at once.
    """

    lanes: Lanes
    loads: Loads
    send: Callable[[WorkerRecord], None]
    worker: str
    epoch: str
    group: str
    give_up: Callable[[Change, str], None]
    _claimed: dict[Key, tuple[str, int]] = field(default_factory=dict)
    _claim_count: int = 0
    _read_back: asyncio.Event = field(default_factory=asyncio.Event)
    _catalogue: Catalogue = field(default_factory=Catalogue)
    _told: dict[int, str] = field(default_factory=dict)
    _mine: dict[tuple[int, Key], _Promised] = field(default_factory=dict)
    _beginning: dict[tuple[int, Key], _Beginning] = field(default_factory=dict)
    _held: dict[Key, int] = field(default_factory=dict)
    _awaits_end: bool = False
    _paces: dict[Key, _Pace] = field(default_factory=dict)
    _gave_up: dict[int, float] = field(default_factory=dict)

    async def claim(self, keys: Sequence[Key]) -> list[Key]:
        """Claim lanes and wait until the log says so; returns those that are still ours."""
        assigned = {key: serial for key in keys if (serial := self.lanes.assignment(*key)) is not None}
        while assigned := self._still_ours(assigned):
            above = max((lane.turn for key in assigned if (lane := self._lane(key)) is not None), default=0)
            turn = await self.lanes.take_turn(list(assigned), above)
            if turn is None:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._claim_count += 1
            claim = f"{self.epoch}.{self._claim_count}"
            partitions = tuple(PartitionOffset(*key, self.lanes.position(*key)[0]) for key in assigned)
            record = PartitionsClaimed(self.worker, self.epoch, claim, self.group, partitions, turn)
            if await self._read_back_of(record, assigned):
                assigned = self._still_ours(assigned)
                self._claimed |= {key: (claim, serial) for key, serial in assigned.items()}
                return list(assigned)
        return []

    async def _read_back_of(self, record: PartitionsClaimed, assigned: Mapping[Key, int]) -> bool:
        """Send a claim and wait until the log says so; false if a claim of a later turn is there already."""
        self.send(record)
        sent_at = began = time.monotonic()
        while True:
            lanes = [lane for key in self._still_ours(assigned) if (lane := self._lane(key)) is not None]
            missing = [key for key in self._still_ours(assigned) if not self._is_read_back(key, record.claim)]
            if not missing:
                return True
            if any(lane.turn >= record.turn and lane.claim != record.claim for lane in lanes):
                return False
            self._read_back.clear()
            try:
                await asyncio.wait_for(self._read_back.wait(), 1.0)
            except TimeoutError:
                if time.monotonic() - sent_at > _REPEAT_SECONDS:
                    sent_at = time.monotonic()
                    self.send(record)
                if time.monotonic() - began > _PATIENCE_SECONDS:
                    log.warning("claim.waiting", seconds=round(time.monotonic() - began), claim=record.claim)

    def _still_ours(self, assigned: Mapping[Key, int]) -> dict[Key, int]:
        return {key: serial for key, serial in assigned.items() if self.lanes.assignment(*key) == serial}

    @property
    def claims(self) -> dict[Key, str]:
        """The claim of each lane that is ours, by an assignment that is still the same."""
        return {key: claim for key, (claim, serial) in self._claimed.items() if self.lanes.assignment(*key) == serial}

    def forget(self, keys: Iterable[Key]) -> None:
        """Partitions went."""
        for key in keys:
            claimed = self._claimed.get(key)
            if claimed is not None and self.lanes.assignment(*key) != claimed[1]:
                del self._claimed[key]
                self._held.pop(key, None)
                self._paces.pop(key, None)
                self._mine = {at: promised for at, promised in self._mine.items() if at[1] != key}
                self._beginning = {at: begun for at, begun in self._beginning.items() if at[1] != key}
        self._read_back.set()

    def follow(self, catalogue: Catalogue) -> None:
        """The log goes on: claims may have been read back."""
        if catalogue.lanes is not self._catalogue.lanes:
            self._read_back.set()
        self._catalogue = catalogue
        self._awaits_end = False

    def step(
        self,
        needs: Mapping[int, Collection[int]],
        why_not: Callable[[Change], Refusal | None],
        blocked: Mapping[Key, int],
    ) -> None:
        """Say and do what the open changes ask for now.

        Args:
            needs: Change -> control offsets of the versions that it needs on this worker.
            why_not: A reason to refuse a change that has nothing to do with loading.
            blocked: Lane -> first offset whose plan is not loaded here yet.
        """
        under_way = [
            change
            for change_id in sorted(self._catalogue.open_changes)
            if (change := self._catalogue.changes.get(change_id)) is not None
        ]
        for change in under_way:
            self._prepare(change, needs.get(change.id, ()), why_not)
            self._watch(change)
        self._measure()
        for change in under_way:
            if change.state is ChangeState.PROPOSED and self._told.get(change.id) == "":
                self._promise(change)
        self._say_beginnings()
        open_ids = {change.id for change in under_way}
        self._told = {change: word for change, word in self._told.items() if change in open_ids}
        self._gave_up = {change: at for change, at in self._gave_up.items() if change in open_ids}
        self._mine = {at: promised for at, promised in self._mine.items() if at[0] in open_ids}
        self._hold(under_way, blocked)

    @property
    def is_impatient(self) -> bool:
        """Something waits for the end of a lane, which the next fetch tells."""
        return self._awaits_end

    def begin(self, change: int, route: str, key: Key, *, is_first: bool) -> bool:
        """Say where an immediate change begins in a lane, once, and hold there until the log says so too.

        Returns whether it is said now: not if it was before, nor while the lane's end is not known.

        Args:
            change: Its id.
            route: Key of the route.
            key: The lane, claimed.
            is_first: Nothing of the route scores there yet, so it begins at the next record; otherwise ahead, as a promise.
        """
        if (change, key) in self._beginning:
            return False
        cut = self.lanes.position(*key)[0] if is_first else self._ahead(key)
        if cut is None:
            return False
        self._beginning[change, key] = _Beginning(route, cut)
        return True

    def beginnings(self) -> list[tuple[int, str, Key]]:
        """Change, route and lane of what was said and is not on the log yet."""
        return [(change, begun.route, key) for (change, key), begun in self._beginning.items()]

    def has_begun(self, change: int, key: Key) -> None:
        """The log says where an immediate change begins in a lane."""
        self._beginning.pop((change, key), None)

    # ------------------------------------------------------------------ parts of a step

    def _prepare(self, change: Change, versions: Collection[int], why_not: Callable[[Change], Refusal | None]) -> None:
        if change.id in self._told:
            return
        refusals = [self.loads.refused[offset] for offset in versions if offset in self.loads.refused]
        refusal = refusals[0] if refusals else why_not(change)
        if refusal is not None:
            self._told[change.id] = refusal.problem or "refused"
            self.send(ChangeReady(self.worker, self.epoch, change.id, refusal.problem or "refused", refusal.reason))
            log.warning("change.refused", change=change.id, route=change.key, reason=refusal.reason)
        elif all(self.loads.has(offset) for offset in versions):
            self._told[change.id] = ""
            self.send(ChangeReady(self.worker, self.epoch, change.id))
            log.info("change.ready", change=change.id, route=change.key)

    def _watch(self, change: Change) -> None:
        late = time.time() - change.deadline_ms / 1e3
        now = time.monotonic()
        if late > GRACE_SECONDS and now - self._gave_up.get(change.id, -_PATIENCE_SECONDS) >= _PATIENCE_SECONDS:
            self._gave_up[change.id] = now
            self.give_up(change, f"it is {late:.0f} s beyond its deadline, and no control API ended it")

    def _promise(self, change: Change) -> None:
        by_claim: dict[str, list[PartitionOffset]] = {}
        now = time.monotonic()
        for key, claim in self.claims.items():
            lane = Lane(self.group, *key)
            if lane not in change.required or lane in change.promises:
                continue
            mine = self._mine.get((change.id, key))
            if mine is not None and now - mine.sent_at < _REPEAT_SECONDS:
                continue
            if mine is None:
                cut = self._ahead(key)
                if cut is None:
                    continue
                mine = self._mine[change.id, key] = _Promised(cut, now)
            mine.sent_at = now
            by_claim.setdefault(claim, []).append(PartitionOffset(*key, mine.cut))
        for claim, cuts in by_claim.items():
            self.send(CutsPromised(self.worker, change.id, claim, self.group, tuple(cuts)))
            log.info(
                "cut.promised",
                change=change.id,
                route=change.key,
                cuts={f"{c.topic}/{c.partition}": c.offset for c in cuts},
            )

    def _say_beginnings(self) -> None:
        now, claims = time.monotonic(), self.claims
        said: dict[tuple[int, str, str], list[PartitionOffset]] = {}
        for (change, key), begun in self._beginning.items():
            if key in claims and now - begun.sent_at >= _REPEAT_SECONDS:
                begun.sent_at = now
                said.setdefault((change, begun.route, claims[key]), []).append(PartitionOffset(*key, begun.cut))
        for (change, route, claim), since in said.items():
            self.send(RouteApplied(self.worker, change, route, claim, self.group, tuple(since)))

    def _ahead(self, key: Key) -> int | None:
        """An offset that nothing at or above has been handed out of, by this worker or one before it.

        `None` while the lane's end is not known: an owner before this one may have handed out more than it committed.
        """
        position, end = self.lanes.position(*key)[0], self.lanes.end(*key)
        if end is None:
            self._awaits_end = True
            return None
        pace, is_idle = self._paces.get(key), self.lanes.idle_seconds(*key) > IDLE_SECONDS
        margin = int(pace.rate * MARGIN_SECONDS) if pace is not None and not is_idle else 0
        return max(end, position) + margin

    def _measure(self) -> None:
        now = time.monotonic()
        for key in self.claims:
            position = self.lanes.position(*key)[0]
            pace = self._paces.setdefault(key, _Pace(now, position))
            if now - pace.at >= MARGIN_SECONDS:
                pace.rate = max(0.0, (position - pace.position) / (now - pace.at))
                pace.at, pace.position = now, position

    def _hold(self, under_way: Sequence[Change], blocked: Mapping[Key, int]) -> None:
        for key in self.claims:
            lane = Lane(self.group, *key)
            limits = [blocked[key]] if key in blocked else []
            for change in under_way:
                if change.state is not ChangeState.PROPOSED:
                    continue
                promise, mine = change.promises.get(lane), self._mine.get((change.id, key))
                if promise is not None:
                    limits.append(promise.cut)
                elif mine is not None:
                    limits.append(mine.cut)
            limits += [begun.cut for (_, at), begun in self._beginning.items() if at == key]
            if limits and self._held.get(key) != min(limits):
                self._held[key] = min(limits)
                self.lanes.hold(*key, min(limits))
            elif not limits and key in self._held:
                del self._held[key]
                self.lanes.release(*key)

    def _lane(self, key: Key) -> LaneState | None:
        return self._catalogue.lanes.get(Lane(self.group, *key))

    def _is_read_back(self, key: Key, claim: str) -> bool:
        lane = self._lane(key)
        return lane is not None and lane.claim == claim
