"""Reading records: the data consumer, its position in each partition, and its errors.

`read_now` never waits and may be called on the event loop; `wait` sleeps in librdkafka and is called in a thread. Both run
the rebalance callbacks. Everything else is quick, but for `seek`, `commit_and_wait` and `close`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from serving.feed.bounded import CallHungError, call_within
from serving.feed.errors import ConsumerFailedError, PositionLostError
from serving.feed.lanes import Key, Lane
from serving.feed.retrying import error_of, is_passing, retry
from serving.feed.settings import Properties, is_cooperative
from serving.feed.starts import write_origin

log = structlog.get_logger(__name__)

Rebalanced = Callable[[list[Key]], None]

_FEWEST_IN_RUNS = 64
"""From so many records on they are sorted together (measured: the fixed cost is that of about 50 records)."""

_CLOSE_SECONDS = 12.0
"""A revocation's commit, which runs inside `close`, and leaving the group."""


class Reader:
    """The consumer of the data topics."""

    def __init__(self, properties: Properties, on_commit: Callable[[Any, list[Any]], None]) -> None:
        """Args:
        on_commit: Called with the error or `None` and the partitions of every commit that did not wait.
        """
        self.consumer = Consumer({**properties, "on_commit": on_commit})
        self._is_cooperative = is_cooperative(properties)

    def subscribe(
        self, topics: Iterable[str], *, on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced
    ) -> None:
        """Join the group. `on_assign` must call `assign`; the callbacks run inside `read_now`, `wait` and `close`."""

        def adapt(callback: Rebalanced) -> Callable[[Any, list[Any]], None]:
            return lambda _consumer, entries: callback([(entry.topic, entry.partition) for entry in entries])

        names = list(topics)
        self._has_many_topics = len(names) > 1
        self.consumer.subscribe(names, on_assign=adapt(on_assign), on_revoke=adapt(on_revoke), on_lost=adapt(on_lost))

    def assign(self, offsets: Mapping[Key, int]) -> None:
        """Take on partitions at absolute offsets, without fetching yet; each is `seek`ed before it is resumed.

        Never a logical offset (beginning, end, stored): the client would look it up behind our back, and a late answer
        to such a look-up overrides a later seek (librdkafka retries it with the logical offset).
        """
        entries = [TopicPartition(*key, max(0, offset)) for key, offset in offsets.items()]
        if self._is_cooperative:
            self.consumer.incremental_assign(entries)
        else:
            self.consumer.assign(entries)
        if entries:
            self.consumer.pause([TopicPartition(*key) for key in offsets])

    def read_now(self, most: int) -> list[Any]:
        """Records (and errors) that are here already."""
        return list(self.consumer.consume(most, 0))

    def wait(self, seconds: float) -> Any:
        """Sleep until there is a record, at most so long; the record or `None`."""
        return self.consumer.poll(seconds)

    def sort(self, records: list[Any]) -> dict[Key, list[Any]]:
        """Records by partition, in order.

        Raises:
            PositionLostError: The broker does not have the records that come next.
            ConsumerFailedError: Any other error that does not pass.
        """
        if len(records) >= _FEWEST_IN_RUNS and not self._has_many_topics:
            is_error = [record.error() is not None for record in records]
            if True not in is_error:
                return _runs(records)
        groups: dict[Key, list[Any]] = {}
        run_topic, run_partition = "", -1
        append: Callable[[Any], None] = [].append
        # Records come in runs of one partition: the group is looked up once a run.
        for record in records:
            error = record.error()
            if error is not None:
                self._judge(record, error)
                continue
            partition = record.partition()
            if partition != run_partition or (self._has_many_topics and record.topic() != run_topic):
                run_topic, run_partition = record.topic(), partition
                append = groups.setdefault((run_topic, run_partition), []).append
            append(record)
        return groups

    def pause(self, lane: Lane) -> None:
        """Stop fetching a partition; what was fetched ahead is dropped by the client and fetched again later."""
        if not lane.is_paused:
            self.consumer.pause([TopicPartition(*lane.key)])
            lane.is_paused = True

    def resume(self, lane: Lane) -> None:
        """Fetch a paused partition again."""
        if lane.is_paused:
            self.consumer.resume([TopicPartition(*lane.key)])
            lane.is_paused = False

    def seek(self, lane: Lane, is_wanted: Callable[[], bool]) -> None:
        """Fetch a partition from the lane's position on. Blocks, for a moment as a rule."""
        entry = TopicPartition(*lane.key, lane.position)

        def may_retry(error: Any) -> bool:
            return is_wanted() and (error.code() == KafkaError._STATE or is_passing(error))

        try:
            retry(10.0, self.consumer.seek, entry, may_retry=may_retry)
        except KafkaException as exception:
            if is_wanted():
                raise ConsumerFailedError(
                    f"{lane.topic}/{lane.partition} cannot be read from offset {lane.position}: {error_of(exception)}"
                ) from exception

    def commit(self, lanes: Mapping[Lane, int]) -> None:
        """Send offsets without waiting; `on_commit` hears of the end. Raises `KafkaException` if they cannot be sent."""
        self.consumer.commit(offsets=_entries(lanes), asynchronous=True)

    def commit_and_wait(self, lanes: Mapping[Lane, int], seconds: float | None) -> None:
        """Commit offsets.

        Args:
            seconds: How long to wait. `None` inside a rebalance callback: there only the callback's own thread gets an
                answer (a commit from another thread waited for the callback to end, measured), so nothing bounds it.

        Raises:
            KafkaException: One of them was refused.
            CallHungError: There was no answer in time; the client waits for a lost coordinator without end.
        """

        def commit() -> list[Any]:
            return list(self.consumer.commit(offsets=_entries(lanes), asynchronous=False))

        for entry in commit() if seconds is None else call_within(seconds, commit):
            if entry.error is not None:
                raise KafkaException(entry.error)

    def lag(self, lane: Lane) -> int | None:
        """Records of the partition that were not handed out yet, as the last fetch saw it; `None` before there was one."""
        try:
            _, high = self.consumer.get_watermark_offsets(TopicPartition(*lane.key), cached=True)
        except (KafkaException, RuntimeError):
            return None
        return max(0, high - lane.position) if high >= 0 and lane.is_placed else None

    def close(self) -> None:
        """Leave the group, revoking what is assigned. Blocks, but not for ever: without a broker the client would."""
        try:
            call_within(_CLOSE_SECONDS, self.consumer.close)
        except CallHungError:
            log.warning("consumer.left_open", seconds=_CLOSE_SECONDS)

    @staticmethod
    def _judge(record: Any, error: Any) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise PositionLostError(
                f"{record.topic()}/{record.partition()}: the broker has no offset {record.offset()} any more "
                f"({error.str()}); a new worker checks the log and says what it skips"
            )
        if error.code() not in (KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART) and not is_passing(error):
            raise ConsumerFailedError(f"the consumer cannot go on: {error}")
        log.info("read.interrupted", error=error.str())


def _runs(records: list[Any]) -> dict[Key, list[Any]]:
    """Records of one topic, without errors, by partition: looked at together, a third cheaper than one by one."""
    topic = records[0].topic()
    partitions = np.array([record.partition() for record in records])
    cuts = (np.flatnonzero(np.diff(partitions)) + 1).tolist()
    groups: dict[Key, list[Any]] = {}
    for start, stop in zip([0, *cuts], [*cuts, len(records)], strict=True):
        key = (topic, int(partitions[start]))
        run = records[start:stop]
        if key in groups:
            groups[key] += run
        else:
            groups[key] = run
    return groups


def _entries(lanes: Mapping[Lane, int]) -> list[Any]:
    return [
        TopicPartition(lane.topic, lane.partition, offset, metadata=write_origin(lane.origin, lane.turn))
        for lane, offset in lanes.items()
    ]
