"""How two models that scored the same records compare: counts that merge exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_NANO: Final = 2**63 - 1
"""Where the sum of the differences stays, once it is there; the largest integer of MessagePack's int 64."""


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Pairs of predictions for the same record. A commutative monoid under `merged`, with `NO_PAIRS` as its identity.

    Attributes:
        pairs: Records that both models scored.
        disagreements: Those of them where the predictions differ, see `serving.core.signals.compare`.
        difference_nano: Absolute differences of the numbers, summed, in billionths of their unit; at most `MOST_NANO`,
            which means that much or more. A saturating sum of what is not negative still associates.
    """

    pairs: int = 0
    disagreements: int = 0
    difference_nano: int = 0

    def merged(self, other: PairCounts) -> PairCounts:
        """Both together."""
        return PairCounts(
            self.pairs + other.pairs,
            self.disagreements + other.disagreements,
            min(self.difference_nano + other.difference_nano, MOST_NANO),
        )

    @property
    def mean_difference(self) -> float | None:
        """Mean absolute difference of the numbers; `None` without pairs, and where the sum is saturated."""
        if not self.pairs or self.difference_nano >= MOST_NANO:
            return None
        return self.difference_nano * 1e-9 / self.pairs


NO_PAIRS: Final = PairCounts()


def nano(difference: float) -> int:
    """A sum of differences, not negative, in billionths, saturated.

    Args:
        difference: 0 to infinity.
    """
    return MOST_NANO if difference * 1e9 >= MOST_NANO else round(difference * 1e9)
