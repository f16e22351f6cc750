"""Looking up where partitions start: the group's committed offsets, checked against what the broker has.

Blocks, and is safe to call from any thread. A partition whose offset cannot be learned *now* (its last owner's
transaction is not over yet, the coordinator is loading) is left out of the answer and asked for again; an error is never
taken for "nothing was committed". The client's `committed()` makes that mistake easy: it raises nothing when one
partition failed, and leaves the offset of that partition as if it had none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaException, TopicPartition

from serving.feed.errors import ConsumerFailedError
from serving.feed.lanes import Key, names
from serving.feed.retrying import error_of, is_passing
from serving.feed.starts import Reason, StartAt, choose_start, read_origin, read_turn, write_origin

log = structlog.get_logger(__name__)

_SHRINK_SECONDS = 5.0
"""A log that ends before the committed offset must do so this long before it is believed: after a leader change the
end that a broker reports may lag behind for a moment."""


_ROUND_SECONDS = 2.0
_PAUSE_SECONDS = 0.05

_WITHHELD_SECONDS = 30.0
"""A coordinator loads, and the transaction of a worker that is gone times out (`settings`), well before that."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a partition starts; the group has this offset as its committed one, with this turn (`starts`)."""

    offset: int
    origin: int
    turn: int = 0


class Placement:
    """Finds the start of partitions for one consumer."""

    def __init__(
        self, consumer: Any, topics: Mapping[str, StartAt], withheld_seconds: float = _WITHHELD_SECONDS
    ) -> None:
        """Args:
        withheld_seconds: For how long a start may stay unknown before an operator is told, and how often.
        """
        self._consumer = consumer
        self._topics = topics
        self._withheld_seconds = withheld_seconds
        self._shrunk_since: dict[Key, float] = {}

    def find(self, keys: Collection[Key], budget_seconds: float) -> dict[Key, Place]:
        """Look up every partition once, as many as fit into the budget; the answer holds those that are known for sure.

        Raises:
            ConsumerFailedError: The broker refuses, and asking again will not help.
        """
        end = time.monotonic() + budget_seconds
        try:
            return self._find(list(keys), end)
        except KafkaException as exception:
            error = error_of(exception)
            if not is_passing(error):
                raise ConsumerFailedError(
                    f"the committed offsets of {sorted(keys)} cannot be read: {error}"
                ) from exception
            log.info("start.unknown", error=error.str())
            return {}

    def find_until(
        self, keys: Collection[Key], is_wanted: Callable[[Key], bool], on_found: Callable[[dict[Key, Place]], None]
    ) -> None:
        """Ask again until every partition is found or nobody wants it any more. `on_found` is called in this thread."""
        missing = set(keys)
        begin = told = time.monotonic()
        while missing := {key for key in missing if is_wanted(key)}:
            if (now := time.monotonic()) - told >= self._withheld_seconds:
                told = now
                _tell(missing, now - begin)
            found = self.find(missing, _ROUND_SECONDS)
            if not found and len(missing) > 1:
                # The client waits until *all* are stable; the ones that are must not wait for the one that is not.
                for key in missing:
                    found |= self.find([key], _ROUND_SECONDS / 4)
            if found:
                on_found(found)
                missing -= found.keys()
            elif missing:
                time.sleep(_PAUSE_SECONDS)

    def _find(self, keys: list[Key], end: float) -> dict[Key, Place]:
        committed = self._consumer.committed([TopicPartition(*key) for key in keys], _left(end))
        found: dict[Key, Place] = {}
        for entry in committed:
            key = (entry.topic, entry.partition)
            if entry.error is not None:
                if not is_passing(entry.error):
                    raise KafkaException(entry.error)
                log.info("start.unstable", topic=key[0], partition=key[1], error=entry.error.str())
            elif time.monotonic() < end:
                place = self._check(key, entry, end)
                if place is not None:
                    found[key] = place
        return found

    def _check(self, key: Key, entry: Any, end: float) -> Place | None:
        """Compare one committed offset with the log; a start that is not the committed one is committed first."""
        topic, partition = key
        has_committed = entry.offset >= 0
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), _left(end))
        origin = read_origin(entry.metadata) if has_committed else None
        if origin is None:
            siblings, count = self._siblings(topic, end)
            if siblings is None:
                return None
            known = [number for number in siblings if number is not None]
            origin = min(known) if known else (count if siblings or has_committed else None)
        else:
            count = origin
        start = choose_start(
            self._topics[topic],
            partition=partition,
            committed=entry.offset if has_committed else None,
            low=low,
            high=high,
            origin=origin,
        )
        if start.reason is Reason.LOG_SHRANK and not self._is_settled(key):
            return None
        self._shrunk_since.pop(key, None)
        turn = read_turn(entry.metadata) if has_committed else 0
        place = Place(start.offset, count if origin is None else origin, turn)
        if start.reason is not Reason.COMMITTED:
            level = log.info if start.reason in (Reason.FIRST_READ, Reason.ADDED_LATER) else log.error
            level("start.chosen", topic=topic, partition=partition, reason=start.reason, offset=start.offset,
                  committed=entry.offset, low=low, high=high)  # fmt: skip
            self._commit(key, place)
        return place

    def _siblings(self, topic: str, end: float) -> tuple[set[int | None] | None, int]:
        """Origins in the commits of all partitions of the topic (`None`: a commit without), and how many partitions it has."""
        metadata = self._consumer.list_topics(topic, _left(end)).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        count = len(metadata.partitions)
        committed = self._consumer.committed([TopicPartition(topic, number) for number in range(count)], _left(end))
        if any(entry.error is not None for entry in committed):
            return None, count
        return {read_origin(entry.metadata) for entry in committed if entry.offset >= 0}, count

    def _is_settled(self, key: Key) -> bool:
        now = time.monotonic()
        return now - self._shrunk_since.setdefault(key, now) >= _SHRINK_SECONDS

    def _commit(self, key: Key, place: Place) -> None:
        entry = TopicPartition(*key, place.offset, metadata=write_origin(place.origin, place.turn))
        for done in self._consumer.commit(offsets=[entry], asynchronous=False):
            if done.error is not None:
                raise KafkaException(done.error)


def _tell(keys: Collection[Key], seconds: float) -> None:
    log.warning(
        "start.withheld",
        partitions=names(keys),
        seconds=round(seconds),
        consequence="their records are not read until the broker says what was committed",
        likely="the broker holds their offsets back for a transaction that has no end",
        see='docs/operations.md, "Partitions are assigned and nothing of them is read"',
    )


def _left(end: float) -> float:
    """Seconds left, and a little: the client takes 0 for "do not wait at all"."""
    return max(0.05, end - time.monotonic())
