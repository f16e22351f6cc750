"""Which worker owns which partition in the eyes of the control log.

A worker that was given partitions claims them on the log, and scores nothing of them before it has read its claim back;
so whatever is on the log before the claim, it obeys. The latest claim of a lane is its owner: only the owner's promise
counts (`changes`). A lane is one partition as one consumer group reads it.

The log's order alone cannot tell which of two claims is later: a worker that stood still may get its claim onto the log
after another one was given the partition, claimed it and began to score. If that claim counted, so would its promise, of
an offset that the real owner went past long ago. Claims therefore carry a turn, which the worker keeps in the metadata of
the committed offset: the group's coordinator lets only the present owner commit, so turns grow in the order of ownership.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from immutables import Map

from model_store.core.replacing import replace


class Lane(NamedTuple):
    """One partition, as one group reads it."""

    group: str
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class LaneState:
    """What the log says of one lane.

    Attributes:
        worker: Who claimed it last.
        claim: The claim; unique among all claims of all workers.
        offset: Where the latest claim is on the control log.
        starts: Number -> (control offset of a claim, the data offset it began at): the first claim ever, and the first
            one after each time that some route changed. What took effect at a claim began there.
        count: How many `starts` there are.
        turn: Of the latest claim; 0: not known.
    """

    worker: str
    claim: str
    offset: int
    starts: Map[int, tuple[int, int]] = field(default_factory=Map)
    count: int = 0
    turn: int = 0

    def gives_way_to(self, claim: str, turn: int) -> bool:
        """Whether another claim counts: not the same one again, and none whose turn is over."""
        return claim != self.claim and (turn == 0 or turn > self.turn)

    def start_after(self, control_offset: int) -> int | None:
        """The data offset at which the first claim after `control_offset` began; `None` if there was none."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self.starts[middle][0] > control_offset:
                high = middle
            else:
                low = middle + 1
        return self.starts[low][1] if low < self.count else None


def claimed(
    lane: LaneState | None, worker: str, claim: str, offset: int, position: int, last_entry: int, turn: int = 0
) -> LaneState:
    """A lane after a claim of it that counts.

    Args:
        lane: Before it; `None` for the first claim.
        worker: Who claims.
        claim: Its id.
        offset: Where it is on the control log.
        position: Data offset that the worker begins at.
        last_entry: Control offset at which some route last changed; -1 for never.
        turn: Of the claim; 0: not known.
    """
    before = lane if lane is not None else LaneState(worker, claim, offset)
    starts, count = before.starts, before.count
    if count == 0 or starts[count - 1][0] < last_entry:
        starts, count = starts.set(count, (offset, position)), count + 1
    return replace(
        before, worker=worker, claim=claim, offset=offset, starts=starts, count=count, turn=max(turn, before.turn)
    )
