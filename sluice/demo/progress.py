"""What the demo shows while it runs, as one value; the view draws it, the plain lines print it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sluice.demo.reader import ReadReport
from sluice.demo.story import CanaryStep, Chapter, Swap


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of the demo.

    Attributes:
        seconds: Since the first record.
        phase: What is being done, in a few words.
        sent: Records handed to Kafka.
        rates: Answers a second in each of the last seconds, oldest first.
        report: What the reader says.
        opening: What served each data type at first.
        swaps: Chapters that are over.
        canary: Steps that the canary has taken so far.
        publishing: The chapter under way.
        waits_for: What the canary waits for, as the control API says.
    """

    seconds: float = 0.0
    phase: str = ""
    sent: int = 0
    rates: Sequence[float] = ()
    report: ReadReport = field(default_factory=ReadReport)
    opening: Sequence[Swap] = ()
    swaps: Sequence[Swap] = ()
    publishing: Chapter | None = None
    canary: Sequence[CanaryStep] = ()
    waits_for: str = ""

    @property
    def rate(self) -> float:
        """Answers a second, lately."""
        return self.rates[-1] if self.rates else 0.0

    @property
    def answered(self) -> int:
        """Results and dead letters."""
        return self.report.results + self.report.dead_letters

    def serving(self) -> dict[str, Swap]:
        """What serves each data type now."""
        return {swap.chapter.data_type: swap for swap in (*self.opening, *self.swaps) if not swap.is_refused}
