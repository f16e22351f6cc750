"""Partitions that come and go: the rebalance callbacks, and the way of a lane from assigned to open.

    assigned --(start found)--> placed --(`on_assigned` returned)--> ready --(seek, resume)--> open --> revoked | lost
                                                                                             `--> rewound: placed anew

The callbacks run in whichever thread is inside the consumer: the event loop's, or the feed's while the loop is free. They
look starts up with a small budget of time; what is not known by then is looked up again in a thread of its own while the
other partitions go on. A lane opens between two reads, and records of a lane that is not open are dropped: they were
fetched under an earlier assignment and are fetched again. So it does not matter how often a partition leaves and
returns within one call of the client.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from serving.feed.delivery import Commitment, Counts, Lanes
from serving.feed.errors import FeedError
from serving.feed.lanes import Key, Lane, names
from serving.feed.placement import Place, Placement
from serving.feed.reader import Reader

log = structlog.get_logger(__name__)

OnAssigned = Callable[[list[Key]], Awaitable[None]]
OnRevoked = Callable[[list[Key]], None]

_LOOP_BUDGET_SECONDS = 0.25
_THREAD_BUDGET_SECONDS = 2.0


class Assignments:
    """The lanes of one consumer. All but the callbacks is called on the event loop."""

    def __init__(
        self,
        lanes: Lanes,
        counts: Counts,
        *,
        on_assigned: OnAssigned | None,
        on_revoked: OnRevoked | None,
        revoke_seconds: float,
        is_idle: Callable[[], bool],
        has_failed: Callable[[], bool],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Args:
        lanes: Filled and emptied here, read by everybody.
        is_idle: No agent holds a batch.
        """
        self._lanes = lanes
        self._counts = counts
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._revoke_seconds = revoke_seconds
        self._is_idle = is_idle
        self._has_failed = has_failed
        self._fail = fail
        self._arrived: list[Lane] = []
        self._ready: list[Lane] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._lookups = ThreadPoolExecutor(2, "feed-starts")

    def attach(self, reader: Reader, placement: Placement, commitment: Commitment, topics: list[str]) -> None:
        """Join the group; from now on the callbacks may run."""
        self._reader = reader
        self._placement = placement
        self._commitment = commitment
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        reader.subscribe(topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)

    @property
    def is_pending(self) -> bool:
        """Some lane waits for the next `serve`."""
        return bool(self._arrived or self._ready or self._tasks)

    async def serve(self, in_thread: Callable[..., Awaitable[None]]) -> None:
        """Between two reads: start preparing what arrived, open what is ready."""
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            self._prepare(arrived, self._on_assigned)
        if self._ready:
            ready, self._ready = self._ready, []
            for lane in ready:
                if lane.is_alive:
                    await in_thread(self._reader.seek, lane, lambda lane=lane: lane.is_alive)
                if lane.is_alive:
                    lane.is_open = True
                    self._reader.resume(lane)
                    log.info("lane.opened", topic=lane.topic, partition=lane.partition, offset=lane.position)

    def rewind(self) -> None:
        """Read the lanes that have ended again from their committed offsets; holds stay."""
        again = []
        for key, lane in list(self._lanes.items()):
            if lane.is_alive:
                continue
            self._reader.pause(lane)
            fresh = self._lanes[key] = Lane(*key)
            fresh.hold_at = lane.hold_at
            fresh.assignment = lane.assignment
            fresh.is_paused = True
            again.append(fresh)
        self._counts.rewinds += 1
        self._prepare(again, None)

    def close(self) -> None:
        """Stop waiting for hooks and look-ups."""
        for task in self._tasks:
            task.cancel()
        for lane in self._lanes.values():
            lane.end()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, lanes: list[Lane], hook: OnAssigned | None) -> None:
        placed = [lane for lane in lanes if lane.is_placed]
        rest = [lane for lane in lanes if not lane.is_placed]
        for group in (placed, rest):
            if group:
                task = asyncio.create_task(self._make_ready(group, hook))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _make_ready(self, lanes: list[Lane], hook: OnAssigned | None) -> None:
        try:
            by_key = {lane.key: lane for lane in lanes if not lane.is_placed}
            if by_key:
                await self._loop.run_in_executor(
                    self._lookups,
                    self._placement.find_until,
                    set(by_key),
                    lambda key: by_key[key].is_alive,
                    lambda found: _place(by_key, found),
                )
            alive = [lane for lane in lanes if lane.is_alive]
            if hook is not None and alive:
                await hook([lane.key for lane in alive])
            self._ready.extend(alive)
        except Exception as error:
            self._fail(error)

    def _assign(self, keys: list[Key]) -> None:
        budget = _LOOP_BUDGET_SECONDS if threading.get_ident() == self._loop_thread else _THREAD_BUDGET_SECONDS
        try:
            found = self._placement.find(keys, budget) if keys else {}
        except FeedError as error:
            self._fail(error)
            found = {}
        self._reader.assign({key: found[key].offset if key in found else 0 for key in keys})
        fresh = {key: Lane(*key) for key in keys}
        _place(fresh, found)
        for key, lane in fresh.items():
            lane.is_paused = True
            self._lanes[key] = lane
        self._arrived.extend(fresh.values())
        log.info("partitions.assigned", partitions=names(keys), unknown=names([k for k in keys if k not in found]))

    def _revoke(self, keys: list[Key]) -> None:
        self._counts.revokes += 1
        if not self._has_failed():
            self._wait_for_agents()
        if not self._has_failed():
            self._commitment.settle(self._revoke_seconds, in_callback=True)
        self._drop(keys)
        log.info("partitions.revoked", partitions=names(keys))

    def _lose(self, keys: list[Key]) -> None:
        self._counts.lost += 1
        self._commitment.lose()
        self._drop(keys)
        log.warning("partitions.lost", partitions=names(keys))

    def _drop(self, keys: list[Key]) -> None:
        for key in keys:
            lane = self._lanes.pop(key, None)
            if lane is not None:
                lane.end()
        if self._on_revoked is not None and keys and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_revoked, keys)

    def _wait_for_agents(self) -> None:
        """Give up after `revoke_seconds`: what is not finished is done again by the next owner.

        On the loop's thread nothing can be in flight: the feed does not enter the consumer there while agents hold
        a batch.
        """
        end = time.monotonic() + self._revoke_seconds
        while not self._is_idle() and not self._has_failed() and time.monotonic() < end:
            time.sleep(0.001)


def _place(lanes: Mapping[Key, Lane], found: Mapping[Key, Place]) -> None:
    for key, place in found.items():
        lanes[key].place(place.offset, place.origin, place.turn)
