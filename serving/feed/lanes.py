"""What is known of one assigned partition: which records were handed out, which are finished, how far a commit may go.

Pure bookkeeping, no I/O. A `Lane` lives from an assignment (or a rewind) to the next revocation (or rewind). Results that
come back for a lane that has ended are dropped: a lane is its own epoch.

A batch that is handed out is a `Ticket`. It is finished when the agent gave it back *and* every output of it was
acknowledged by the broker. Tickets may finish in any order; a commit only ever covers the finished ones at the front:

    tickets   [0,100) finished  [100,200) open  [200,300) finished          finished = 100, and 300 as soon as [100,200) is
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable

from serving.feed.runs import Run

NOWHERE = -1
"""An offset that is not known."""

Key = tuple[str, int]
"""Topic and partition."""

_ASSIGNMENTS = itertools.count(1)


def names(keys: Iterable[Key]) -> list[str]:
    """Partitions in words, in order: `wine.records/3`."""
    return [f"{topic}/{partition}" for topic, partition in sorted(keys)]


class Ticket:
    """One batch that was handed out.

    Attributes:
        is_returned: An agent handed it back.
        is_put_off: Its outputs are still to be queued.

    `expected` is written by the event loop's thread only and `delivered` only by the one thread that polls the producer,
    so neither needs a lock.
    """

    __slots__ = ("delivered", "expected", "handed_out_at", "is_put_off", "is_returned", "lane", "next_offset")

    def __init__(self, lane: Lane, next_offset: int, now: float) -> None:
        self.lane = lane
        self.next_offset = next_offset
        self.handed_out_at = now
        self.is_returned = False
        self.is_put_off = False
        self.expected = 0
        self.delivered = 0

    @property
    def is_finished(self) -> bool:
        """Given back, and every output of it acknowledged."""
        return self.is_returned and not self.is_put_off and self.delivered >= self.expected


class Lane:
    """One partition under one assignment.

    Attributes:
        is_alive: False from the moment that results of this lane must no longer count.
        is_open: Records flow. A lane opens when its start is known and nothing else has to be waited for.
        position: Offset to hand out next.
        finished: Every offset below it is finished.
        committed: The offset that the group is known to have, or was last sent; `NOWHERE` after a refusal.
        origin: How many partitions the topic had when the group first read it; travels with every commit.
        turn: By which claims of the partition are ordered; travels with every commit (`starts`).
        hold_at: No record at or above this offset is handed out; `None` = no hold.
        kept: Runs that were read but may not be handed out yet, in order.
        is_paused: The consumer was told not to fetch this partition.
        is_parked: Nothing of it is read, though it is fetched as far as the client fetches ahead.
        handed_out_at: When a batch was last handed out, as `hand_out` was told; 0 before the first.
        assignment: Counts assignments of partitions to this process; a rewound lane keeps that of the one before it.
    """

    __slots__ = (
        "assignment",
        "committed",
        "finished",
        "handed_out_at",
        "hold_at",
        "is_alive",
        "is_open",
        "is_parked",
        "is_paused",
        "kept",
        "origin",
        "partition",
        "position",
        "tickets",
        "topic",
        "turn",
    )

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.is_alive = True
        self.is_open = False
        self.is_paused = False
        self.is_parked = False
        self.position = NOWHERE
        self.finished = NOWHERE
        self.committed = NOWHERE
        self.origin = 0
        self.turn = 0
        self.hold_at: int | None = None
        self.kept: list[Run] = []
        self.tickets: deque[Ticket] = deque()
        self.handed_out_at = 0.0
        self.assignment = next(_ASSIGNMENTS)

    @property
    def key(self) -> Key:
        """Topic and partition."""
        return self.topic, self.partition

    @property
    def is_in_order(self) -> bool:
        """Nothing is finished that comes after something that is not."""
        finished = [ticket.is_finished for ticket in self.tickets]
        return finished == sorted(finished, reverse=True)

    @property
    def is_placed(self) -> bool:
        """The start is known."""
        return self.position != NOWHERE

    @property
    def is_busy(self) -> bool:
        """An agent holds a batch of this lane."""
        return self.held > 0

    @property
    def held(self) -> int:
        """Batches of this lane that an agent holds."""
        return sum(not ticket.is_returned for ticket in self.tickets)

    def place(self, offset: int, origin: int, turn: int = 0) -> None:
        """Start at `offset`, which the group has as its committed offset."""
        self.position = self.finished = self.committed = offset
        self.origin = origin
        self.turn = turn

    def hand_out(self, next_offset: int, now: float) -> Ticket:
        """Note a batch of everything from `position` up to, not including, `next_offset`."""
        if next_offset <= self.position:
            raise ValueError(f"{self.key} would go back from {self.position} to {next_offset}")
        ticket = Ticket(self, next_offset, now)
        self.position = next_offset
        self.handed_out_at = now
        self.tickets.append(ticket)
        return ticket

    def advance(self) -> int:
        """Forget the finished tickets at the front and return the offset below which everything is finished."""
        while self.tickets and self.tickets[0].is_finished:
            self.finished = self.tickets.popleft().next_offset
        return self.finished

    def due(self) -> int | None:
        """The offset to commit, or `None` when the group has it already."""
        finished = self.advance()
        return finished if finished > self.committed else None

    def oldest_held(self) -> float | None:
        """When the oldest batch that an agent still holds was handed out."""
        return next((ticket.handed_out_at for ticket in self.tickets if not ticket.is_returned), None)

    def end(self) -> None:
        """From now on results of this lane are dropped and nothing of it is committed."""
        self.is_alive = False
        self.is_open = False
        self.kept = []
