"""Reading records: the data consumer, its position in each partition, and its errors.

`read` never waits and may be called on the event loop; `wait` sleeps in librdkafka and is called in a thread, where the client
cannot wake the loop by itself. Both run the rebalance callbacks. Everything else is quick, but for `seek`, `commit_and_wait` and
`close`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from serving.feed.bounded import CallHungError, call_within
from serving.feed.bulk_consumer import BulkConsumer
from serving.feed.errors import ConsumerFailedError, PositionLostError
from serving.feed.lanes import Key, Lane
from serving.feed.native import UnknownClientError
from serving.feed.retrying import error_of, is_passing, retry
from serving.feed.runs import MessageRun, Run
from serving.feed.settings import Properties, is_cooperative
from serving.feed.starts import write_origin

log = structlog.get_logger(__name__)

Rebalanced = Callable[[list[Key]], None]

_CLOSE_SECONDS = 12.0
"""A revocation's commit, which runs inside `close`, and leaving the group."""


class Reader:
    """The consumer of the data topics.

    Attributes:
        consumer: The client.
        is_drained: The last `read` left nothing that was there already; never where the client cannot `wake`.
    """

    def __init__(
        self, properties: Properties, on_commit: Callable[[Any, list[Any]], None], *, is_bulk: bool = True
    ) -> None:
        """Args:
        on_commit: Called with the error or `None` and the partitions of every commit that did not wait.
        is_bulk: Read in bulk where that is possible. Headers of single records are dearer then.
        """
        self.consumer = Consumer({**properties, "on_commit": on_commit})
        self._is_cooperative = is_cooperative(properties)
        self.is_drained = False
        self._waited_for: list[Any] = []
        self._bulk: BulkConsumer | None = None
        if is_bulk:
            try:
                self._bulk = BulkConsumer(self.consumer)
            except UnknownClientError as error:
                log.warning("bulk.not_possible", error=str(error), consequence="reading takes more CPU time")

    def subscribe(
        self, topics: Iterable[str], *, on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced
    ) -> None:
        """Join the group. `on_assign` must call `assign`; the callbacks run inside `read`, `wait` and `close`."""

        def adapt(callback: Rebalanced) -> Callable[[Any, list[Any]], None]:
            return lambda _consumer, entries: callback([(entry.topic, entry.partition) for entry in entries])

        self.consumer.subscribe(
            list(topics), on_assign=adapt(on_assign), on_revoke=adapt(on_revoke), on_lost=adapt(on_lost)
        )

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

    def read(self, most: int) -> list[tuple[Key, Run]]:
        """Records that are here already, by partition.

        Raises:
            PositionLostError: The broker does not have the records that come next.
            ConsumerFailedError: Any other error that does not pass.
        """
        if self._bulk is None:
            messages, self._waited_for = self._waited_for, []
            return _runs([*messages, *self.consumer.consume(most - len(messages), 0)])
        message = self.consumer.poll(0)  # callbacks, and what the client has to say that belongs to no partition
        runs = [] if message is None else _runs([message])
        more, errors = self._bulk.read(most)
        self.is_drained = message is None and self._bulk.is_drained
        for each in errors:
            _judge(each.key, each.offset, each.error)
        return [*runs, *more]

    def wake(self, descriptor: int) -> bool:
        """Have a byte written whenever there is something to `read`; false if the client cannot, see `wait`."""
        if self._bulk is None:
            return False
        self._bulk.wake(descriptor)
        return True

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to `read`, at most so long."""
        message = self.consumer.poll(seconds)
        if message is not None:
            self._waited_for.append(message)

    def pause(self, lane: Lane) -> None:
        """Stop fetching a partition; what was fetched ahead is dropped by the client and fetched again later."""
        if not lane.is_paused:
            self.consumer.pause([TopicPartition(*lane.key)])
            lane.is_paused = True

    def park(self, lane: Lane) -> None:
        """Read nothing of a partition for a while; the client keeps what it fetches ahead of it, where that is possible."""
        if self._bulk is None:
            self.pause(lane)
        elif not lane.is_parked:
            self._bulk.leave(lane.key)
            lane.is_parked = True

    def resume(self, lane: Lane) -> None:
        """Fetch a paused partition again, and read a parked one."""
        if self._bulk is not None and lane.is_parked:
            self._bulk.divert(lane.key)
            lane.is_parked = False
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
            if self._bulk is not None and is_wanted():
                self._bulk.divert(lane.key)
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
        if self._bulk is not None:
            self._bulk.close()
        try:
            call_within(_CLOSE_SECONDS, self.consumer.close)
        except CallHungError:
            log.warning("consumer.left_open", seconds=_CLOSE_SECONDS)


def _judge(key: Key, offset: int, error: Any) -> None:
    """Raise for an error that does not pass."""
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        raise PositionLostError(
            f"{key[0]}/{key[1]}: the broker has no offset {offset} any more "
            f"({error.str()}); a new worker checks the log and says what it skips"
        )
    if error.code() not in (KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART) and not is_passing(error):
        raise ConsumerFailedError(f"the consumer cannot go on: {error}")
    log.info("read.interrupted", error=error.str())


def _runs(messages: list[Any]) -> list[tuple[Key, Run]]:
    """Messages of the Python client by partition, in order."""
    groups: dict[Key, list[Any]] = {}
    for message in messages:
        error, key = message.error(), (message.topic(), message.partition())
        if error is not None:
            _judge(key, message.offset(), error)
        else:
            groups.setdefault(key, []).append(message)
    return [(key, MessageRun(group)) for key, group in groups.items()]


def _entries(lanes: Mapping[Lane, int]) -> list[Any]:
    return [
        TopicPartition(lane.topic, lane.partition, offset, metadata=write_origin(lane.origin, lane.turn))
        for lane, offset in lanes.items()
    ]
