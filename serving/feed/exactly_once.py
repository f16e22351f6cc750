"""Commits for `exactly_once`: the outputs and the offsets of one interval are one transaction.

The first output of an interval opens a transaction. When the interval is over the agents hand back what they can at once,
the finished offsets join the transaction under the consumer's current generation, and it is committed; what a heavy model
is still at work on is for the next one. A worker that lost its partitions without knowing (a zombie) has an old generation:
the broker refuses its offsets, and with them its outputs.

How a transaction can end, and what then:

    committed                        go on
    refused, an abort is asked for   abort; all lanes are read again from their committed offsets (`recover`)
    time is up, or the call hangs    the broker is away or slow, and the outcome is not known. A new producer under the
                                     same transactional id makes the coordinator finish the old transaction, whichever
                                     way it was going; the committed offsets tell which. It looks the same when the
                                     coordinator timed the transaction out.
    fenced, and nothing was away     another process runs under our name and is newer: this one ends.

Whatever happens, offsets and outputs appear together or not at all, and reading goes on from committed offsets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from serving.feed.batch import Output
from serving.feed.bounded import CallHungError, call_within
from serving.feed.delivery import Counts, Lanes
from serving.feed.errors import ConsumerFailedError, OutputRefusedError
from serving.feed.lanes import Ticket
from serving.feed.reader import Reader
from serving.feed.retrying import error_of, retry
from serving.feed.starts import write_origin
from serving.feed.writer import Writer

log = structlog.get_logger(__name__)

_HOPELESS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.INVALID_RECORD,
    }
)
"""Failed deliveries that would fail again: aborting and reading again would go on for ever."""

_START_SECONDS = 120.0

_GRACE_SECONDS = 2.0
"""A call that takes this much longer than the time-out it was given will not come back."""


class ExactlyOnce:
    """See `Commitment`."""

    must_drain = True

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        lanes: Lanes,
        counts: Counts,
        fail: Callable[[BaseException], None],
        *,
        transaction_seconds: float,
    ) -> None:
        """Args:
        transaction_seconds: The producer's `transaction.timeout.ms`: trying longer than that is of no use.
        """
        self._reader = reader
        self._writer = writer
        self._lanes = lanes
        self._counts = counts
        self._fail = fail
        self._limit = transaction_seconds
        self._is_open = False
        self._broken: KafkaException | CallHungError | str | None = None
        self._was_away = False

    @property
    def is_dirty(self) -> bool:
        """See `Commitment`."""
        return self._is_open

    @property
    def needs_recovery(self) -> bool:
        """See `Commitment`."""
        return self._broken is not None

    def start(self) -> None:
        """See `Commitment`. Ends what a predecessor under the same name left open."""
        self._retry(_START_SECONDS, "init_transactions", 10.0)

    def write(self, tickets: Sequence[Ticket], outputs: Sequence[Output]) -> None:
        """See `Commitment`."""
        if not self._is_open:
            self._writer.producer.begin_transaction()
            self._is_open = True
        for output in outputs:
            try:
                self._writer.send(output, self._delivered)
            except OutputRefusedError as error:
                # Nothing more is taken because a record of the transaction failed: the next one asks why (`is_careful`).
                cause = error.__cause__
                if not isinstance(cause, KafkaException) or error_of(cause).code() != KafkaError._STATE:
                    raise
                self._break(error.reason)
                return

    def commit(self) -> None:
        """See `Commitment`."""
        self._commit(self._limit, may_hold=True)

    def settle(self, seconds: float, *, in_callback: bool) -> None:
        """See `Commitment`."""
        self._commit(min(seconds, self._limit), may_hold=False)

    def lose(self) -> None:
        """See `Commitment`."""
        if self._is_open:
            self._break("partitions were lost")

    def recover(self) -> bool:
        """See `Commitment`."""
        broken, self._broken = self._broken, None
        if broken is None:
            return False
        try:
            if isinstance(broken, CallHungError):
                raise broken
            if isinstance(broken, KafkaException) and not error_of(broken).txn_requires_abort():
                raise broken
            self._retry(self._limit, "abort_transaction", 5.0)
        except (KafkaException, CallHungError) as exception:
            if not self._was_away:
                raise ConsumerFailedError(f"the transaction cannot go on: {exception}") from exception
            log.warning("producer.renewed", error=str(exception))
            self._writer.renew()
            self._retry(_START_SECONDS, "init_transactions", 10.0)
        self._is_open = self._was_away = False
        return True

    def abandon(self) -> None:
        """See `Commitment`."""
        if self._is_open:
            call_within(5 + _GRACE_SECONDS, self._writer.producer.abort_transaction, 5.0)

    def _commit(self, limit: float, *, may_hold: bool) -> None:
        """Args:
        may_hold: Agents may hold batches, because what they hand back meanwhile is not written before the end.
        """
        if not self._is_open or self._broken is not None:
            return
        lanes = self._lanes.values()
        if any(not lane.is_in_order if may_hold else lane.is_busy for lane in lanes):
            # What their siblings wrote may be in the transaction, ahead of the offsets.
            self._break("agents still hold batches")
            return
        end = time.monotonic() + limit
        try:
            offsets = {lane: offset for lane in self._lanes.values() if (offset := lane.due()) is not None}
            if offsets:
                entries = [
                    TopicPartition(lane.topic, lane.partition, offset, metadata=write_origin(lane.origin, lane.turn))
                    for lane, offset in offsets.items()
                ]
                member = self._reader.consumer.consumer_group_metadata()
                left = _left(end)
                self._retry(left, "send_offsets_to_transaction", entries, member, min(5.0, left))
            left = _left(end)
            self._retry(left, "commit_transaction", min(5.0, left))
        except (KafkaException, CallHungError) as exception:
            self._break(exception)
            return
        self._is_open = self._was_away = self._writer.is_careful = False
        self._counts.commits += 1
        for lane, offset in offsets.items():
            lane.committed = offset

    def _break(self, why: KafkaException | CallHungError | str) -> None:
        """The transaction will not be committed by us; results that are still to come are dropped at once."""
        if self._broken is not None:
            return
        self._broken = why
        self._writer.is_careful = True  # a record that fails again is to say why
        self._counts.aborts += 1
        log.info("transaction.broken", reason=str(why))
        for lane in self._lanes.values():
            if lane.is_open:  # else nothing of it was handed out, and what is known of its start still holds
                lane.end()

    def _retry(self, limit: float, name: str, *args: Any) -> None:
        """Only what the client calls retriable; `_was_away` remembers that the broker or its coordinator was.

        The last argument is the call's own time-out, in seconds.
        """
        producer = self._writer.producer

        def call() -> None:
            call_within(args[-1] + _GRACE_SECONDS, getattr(producer, name), *args)

        def note(_error: Any) -> None:
            self._was_away = True

        try:
            retry(limit, call, may_retry=lambda error: error.retriable(), on_retry=note)
        except KafkaException as exception:
            self._was_away |= error_of(exception).retriable()
            raise
        except CallHungError:
            self._was_away = True
            raise

    def _delivered(self, error: Any, record: Any) -> None:
        if error is None:
            return
        log.info("output.failed", topic=record.topic(), error=error.str())
        if error.code() in _HOPELESS:
            self._fail(OutputRefusedError(record.topic(), error.str()))


def _left(end: float) -> float:
    return max(0.5, end - time.monotonic())
