"""The parts of one process, as the routes see them. `app.py` makes them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from control_api.adapters.kafka_log import ControlLogFollower, ControlLogReader
from control_api.core.happenings import Happenings
from control_api.core.judging import Judged
from control_api.core.past import Past
from control_api.core.snapshot import Snapshot
from control_api.errors import NOT_CAUGHT_UP, ApiError
from control_api.ports import Groups, Membership, Publisher, Replays, Statistics, Topics
from control_api.settings import Settings
from control_api.sse import EventStreams
from control_api.telemetry import Metrics
from model_store.core.catalogue import Catalogue
from model_store.core.wire import Dialect


@dataclass(slots=True)
class Parts:
    """What the routes work with.

    Attributes:
        past: States of the registry that were.
        seen: Who lived when it was last asked.
        reading_back: Held while the log is read again: one request at a time does it.
        judged: Rollout -> the latest evaluation of its guards by this replica.
    """

    settings: Settings
    metrics: Metrics
    follower: ControlLogFollower[Catalogue]
    log_reader: ControlLogReader
    publisher: Publisher
    groups: Groups
    topics: Topics
    replays: Replays
    statistics: Statistics
    happenings: Happenings
    streams: EventStreams
    past: Past = field(default_factory=Past)
    seen: Membership = field(default_factory=Membership)
    reading_back: asyncio.Lock = field(default_factory=asyncio.Lock)
    judged: dict[int, Judged] = field(default_factory=dict)

    @property
    def dialect(self) -> Dialect:
        """The enum of the control topic's bare descriptors."""
        return self.settings.control_topic.dialect

    @property
    def is_ready(self) -> bool:
        """The control log was read to the end that it had at start, and its fold works."""
        return self.follower.is_caught_up and self.follower.failure is None

    def check_ready(self) -> None:
        """Pass if `is_ready`.

        Raises:
            ApiError: `NOT_CAUGHT_UP` otherwise, with the reason.
        """
        if self.follower.failure is not None:
            raise ApiError(NOT_CAUGHT_UP, f"the control log could not be folded: {self.follower.failure}")
        if not self.follower.is_caught_up:
            topic = self.settings.control_topic.name
            detail = f"{topic} is not read to its end yet, offset {self.follower.applied_offset} so far"
            raise ApiError(NOT_CAUGHT_UP, detail, retry_after_seconds=1)

    def brokers(self) -> Literal["reachable", "unreachable", "unknown"]:
        """Whether Kafka answered when it was last asked."""
        if not self.follower.state.workers:
            return "unknown"
        return "reachable" if self.seen.is_current else "unreachable"

    async def snapshot(self) -> Snapshot:
        """The state of this moment.

        Raises:
            ApiError: `NOT_CAUGHT_UP` before the log was read.
        """
        self.check_ready()
        membership = await self.membership()
        catalogue, offset = self.follower.snapshot
        return Snapshot(catalogue, offset, membership)

    async def is_anyone_there(self, snapshot: Snapshot) -> bool:
        """Workers live that could promise an offset, or nobody knows: an exact change can be asked for."""
        seen = snapshot.membership
        if seen.is_current and not seen.live:
            seen = await self.membership(fresh=True)
        return bool(seen.live) or not seen.is_current

    async def membership(self, *, fresh: bool = False) -> Membership:
        """Who lives, at most about a second old; with `fresh` asked for now."""
        workers = (self.follower.state.workers.get(name) for name in self.follower.state.workers)
        groups = {w.started.group for w in workers if w is not None and w.started is not None and w.started.group}
        self.seen = await self.groups.membership(sorted(groups), fresh=fresh)
        self.metrics.live_workers.set(len(self.seen.members))
        return self.seen
