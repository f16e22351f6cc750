"""What the pump asks of a delivery guarantee; `at_least_once` and `exactly_once` implement it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from serving.feed.batch import Output
from serving.feed.lanes import Key, Lane, Ticket


@dataclass(slots=True)
class Counts:
    """What the metrics show; each number only grows."""

    records: int = 0
    batches: int = 0
    outputs: int = 0
    commits: int = 0
    refused_commits: int = 0
    aborts: int = 0
    revokes: int = 0
    lost: int = 0
    rewinds: int = 0


Lanes = dict[Key, Lane]
"""The partitions that are assigned now."""


class Commitment(Protocol):
    """Outputs in, offsets committed."""

    @property
    def must_drain(self) -> bool:
        """Nothing may be written during a commit, and all that was written is part of it."""

    @property
    def is_dirty(self) -> bool:
        """Something was written since the last commit."""

    @property
    def needs_recovery(self) -> bool:
        """A commit ended badly: `recover` must be called, off the event loop, before anything else is read."""

    def start(self) -> None:
        """Make ready. Blocks."""

    def write(self, tickets: Sequence[Ticket], outputs: Sequence[Output]) -> None:
        """Queue the outputs of some batches; each batch is finished when all of them are acknowledged. On the event loop.

        Raises:
            OutputRefusedError: One cannot be written; the worker ends.
        """

    def commit(self) -> None:
        """The regular commit. On the event loop if not `must_drain` (it does not wait then), else in the feed's thread, while all
        lanes are in order: agents may hold batches, but none that comes before one that was written.
        """

    def settle(self, seconds: float, *, in_callback: bool) -> None:
        """Commit everything that is finished, and wait for it: in a revocation's callback, or at the end."""

    def lose(self) -> None:
        """Partitions were taken away without a chance to commit."""

    def recover(self) -> bool:
        """Mend what `needs_recovery` is about. Blocks. True when the lanes must be read again from their commits."""

    def abandon(self) -> None:
        """The worker ends with an error: commit nothing, leave nothing open for others to wait for. Blocks."""
