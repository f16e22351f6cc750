"""What the routes need from outside, as protocols; `adapters/` implements them, `app.py` puts them together.

All methods are called on the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from model_store.core.decider_counts import DeciderCounts, DeciderKey
from model_store.core.stats import Series
from model_store.core.stats import Statistics as Observed

Position = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Member:
    """A live member of a consumer group, that is, a worker that lives.

    Attributes:
        worker: Its client id.
        group: The group it is a member of.
        address: Where it connects from, as the broker sees it.
        partitions: What it holds now; empty while the group rebalances.
    """

    worker: str
    group: str
    address: str
    partitions: tuple[Position, ...] = ()


@dataclass(frozen=True, slots=True)
class Membership:
    """Who lives.

    Attributes:
        members: By worker id.
        is_current: The brokers were asked within the last seconds; otherwise this is the last that was heard of.
        stable: Groups that are at rest: what each member holds is settled.
    """

    members: Mapping[str, Member] = field(default_factory=dict)
    is_current: bool = False
    stable: frozenset[str] = frozenset()

    @property
    def live(self) -> frozenset[str]:
        """Ids of the workers that live."""
        return frozenset(self.members)


class Groups(Protocol):
    """Reads consumer groups."""

    async def membership(self, groups: Sequence[str], *, fresh: bool = False) -> Membership:
        """Members of all `groups`, at most about a second old, with `fresh` asked for now; never raises for an outage."""
        ...

    async def partitions(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Topic -> number of partitions, 0 where there is no such topic, at most a few seconds old; a topic that was not
        asked about before is asked for now. Empty during an outage, for which it never raises.
        """
        ...

    async def ends(self, topic: str) -> Mapping[int, int]:
        """Partition -> offset after its last record; empty if there is no such topic.

        Raises:
            ApiError: `KAFKA_DOWN` if the brokers do not answer.
        """
        ...

    async def lag(self, group: str, partitions: Sequence[Position]) -> Mapping[Position, int]:
        """Records not yet committed by the group, for each of `partitions` where it is known."""
        ...


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """A record of a data topic, as read."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Tail(Protocol):
    """An open reading of topics that ends only when it is closed."""

    async def read(self, timeout_seconds: float) -> Sequence[TopicRecord]:
        """The next records, in offset order within a partition; empty if none came in time."""
        ...

    def advance(self, record: TopicRecord) -> str:
        """The cursor after `record`, the next one of its partition: what `Topics.tail` takes to go on behind it."""
        ...

    async def close(self) -> None:
        """Free the connection; may be called twice."""
        ...


class Topics(Protocol):
    """Reads data topics without a consumer group."""

    async def last(self, topics: Sequence[str], count: int) -> tuple[list[TopicRecord], str]:
        """The newest `count` records of all partitions, oldest first, and the cursor after them.

        Raises:
            ApiError: `KAFKA_DOWN` if the brokers do not answer.
        """
        ...

    async def at(self, topic: str, partition: int, offset: int) -> TopicRecord | None:
        """The record at an offset; `None` if it is not, or no longer, there.

        Raises:
            ApiError: `KAFKA_DOWN` if the brokers do not answer.
        """
        ...

    async def tail(self, topics: Sequence[str], cursor: str | None) -> Tail:
        """Everything after `cursor`, or after now.

        Raises:
            ApiError: `BAD_REQUEST` if the cursor is none of ours, `KAFKA_DOWN` if the brokers do not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record of the control log as it was read."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Publisher(Protocol):
    """Writes to the control log."""

    async def publish(self, key: bytes, value: bytes, headers: Mapping[str, bytes]) -> int:
        """Append one record; returns its offset once all replicas have it.

        Raises:
            ApiError: `KAFKA_DOWN` if the brokers did not acknowledge in time, `TOO_LARGE` if they refuse its size.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A finished answer to a request with an `Idempotency-Key`."""

    fingerprint: str
    status: int
    headers: Mapping[str, str]
    body: str


class Replays(Protocol):
    """Remembers answers by `Idempotency-Key` for 24 hours; forgets them all when its store is down."""

    async def begin(self, key: str, fingerprint: str) -> StoredAnswer | None:
        """Claim the key; returns the stored answer if the request was answered before.

        Raises:
            ApiError: `KEY_REUSED` if the key belongs to another request, `IN_FLIGHT` if that request is at work.
        """
        ...

    async def finish(self, key: str, answer: StoredAnswer) -> None:
        """Store the answer."""
        ...

    async def abandon(self, key: str) -> None:
        """Free the key of a request that changed nothing."""
        ...


class WorkerStatistics(Protocol):
    """What one start of one worker observed."""

    @property
    def worker(self) -> str:
        """Worker id."""
        ...

    @property
    def written_ms(self) -> int:
        """When it last wrote, milliseconds since 1970 UTC."""
        ...

    @property
    def series(self) -> Mapping[Series, Observed]:
        """By model, version and data type."""
        ...

    @property
    def dead_letters(self) -> Mapping[str, int]:
        """Dead letters by stage."""
        ...

    @property
    def deciders(self) -> Mapping[DeciderKey, DeciderCounts]:
        """What deciders did, by route and decider."""
        ...


class Statistics(Protocol):
    """Reads what the workers leave about how their models do."""

    async def totals(self) -> Sequence[WorkerStatistics]:
        """What each start of each worker observed in all.

        Raises:
            ApiError: `STATISTICS_DOWN` if they cannot be had now.
        """
        ...

    async def window(self, seconds: int) -> Sequence[WorkerStatistics]:
        """What each start of each worker observed in the window that ends now; 1 to 86,400 seconds.

        Raises:
            ApiError: `STATISTICS_DOWN` if they cannot be had now.
        """
        ...
