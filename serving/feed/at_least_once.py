"""Commits for `at_least_once`: offsets follow acknowledgements, nothing waits for a commit.

Delivery callbacks count for the batch of their output, so a batch is known to be safe without a flush. Each
interval the finished offsets are sent, one commit at a time: two in flight might arrive in the wrong order. A refused
commit (a rebalance, an outage) is sent again with the next one. A revocation and the end wait for both: for the
acknowledgements and for the commit; so an orderly hand-over repeats nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaException

from serving.feed.batch import Output
from serving.feed.bounded import CallHungError
from serving.feed.delivery import Counts, Lanes
from serving.feed.errors import OutputRefusedError
from serving.feed.lanes import NOWHERE, Lane, Ticket
from serving.feed.reader import Reader
from serving.feed.retrying import error_of
from serving.feed.writer import Writer

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 5.0
"""A commit that nobody answered for so long no longer keeps the next one back."""


class AtLeastOnce:
    """See `Commitment`."""

    must_drain = False
    needs_recovery = False

    def __init__(
        self, reader: Reader, writer: Writer, lanes: Lanes, counts: Counts, fail: Callable[[BaseException], None]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._lanes = lanes
        self._counts = counts
        self._fail = fail
        self._sent_at: float | None = None

    @property
    def is_dirty(self) -> bool:
        """See `Commitment`."""
        return len(self._writer) > 0 or any(lane.due() is not None for lane in self._lanes.values())

    def start(self) -> None:
        """See `Commitment`."""

    def write(self, tickets: Sequence[Ticket], outputs: Sequence[Output]) -> None:
        """See `Commitment`."""
        fail = self._fail

        def delivered(error: Any, record: Any) -> None:
            if error is None:
                for ticket in tickets:
                    ticket.delivered += 1
            else:
                fail(OutputRefusedError(record.topic(), error.str()))

        for output in outputs:
            reports = self._writer.send(output, delivered)
            for ticket in tickets:
                ticket.expected += reports

    def commit(self) -> None:
        """See `Commitment`."""
        if self._sent_at is not None and time.monotonic() - self._sent_at < _PATIENCE_SECONDS:
            return
        due = _due(self._lanes.values())
        if not due:
            return
        for lane, offset in due.items():
            lane.committed = offset
        self._sent_at = time.monotonic()
        try:
            self._reader.commit(due)
        except KafkaException as exception:
            self._sent_at = None
            self._refused(error_of(exception).str(), due)
        else:
            self._counts.commits += 1

    def on_commit(self, error: Any, entries: list[Any]) -> None:
        """The answer to a commit that did not wait; called in the thread that reads."""
        self._sent_at = None
        for entry in entries:
            lane = self._lanes.get((entry.topic, entry.partition))
            if lane is not None and (error or entry.error) is not None:
                self._refused((error or entry.error).str(), [lane])

    def settle(self, seconds: float, *, in_callback: bool) -> None:
        """See `Commitment`."""
        end = time.monotonic() + seconds
        while not self._is_acknowledged() and self._writer.flush(0.05) and time.monotonic() < end:
            pass
        # Everything that is finished, also what a commit was sent for: it may have been refused, or be behind this one.
        offsets = {lane: lane.advance() for lane in self._lanes.values() if lane.advance() != NOWHERE}
        due = {lane: offset for lane, offset in offsets.items() if offset > lane.committed}
        if not due and self._sent_at is None:
            return
        try:
            self._reader.commit_and_wait(offsets, None if in_callback else max(1.0, end - time.monotonic()))
        except KafkaException as exception:
            self._refused(error_of(exception).str(), offsets)
        except CallHungError as exception:
            self._refused(str(exception), offsets)
        else:
            self._counts.commits += 1
            for lane, offset in offsets.items():
                lane.committed = offset

    def lose(self) -> None:
        """See `Commitment`."""

    def recover(self) -> bool:
        """See `Commitment`."""
        return False

    def abandon(self) -> None:
        """See `Commitment`."""

    def _is_acknowledged(self) -> bool:
        return not any(
            ticket.is_returned and not ticket.is_finished for lane in self._lanes.values() for ticket in lane.tickets
        )

    def _refused(self, reason: str, lanes: Iterable[Lane]) -> None:
        self._counts.refused_commits += 1
        log.info("commit.refused", reason=reason)
        for lane in lanes:
            lane.committed = NOWHERE


def _due(lanes: Iterable[Lane]) -> dict[Lane, int]:
    found = {}
    for lane in lanes:
        offset = lane.due()
        if offset is not None and lane.is_placed:
            found[lane] = offset
    return found
