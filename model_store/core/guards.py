"""What a rollout watches while a step bakes: which signal, how far it may go, and how sure one must be before acting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

Signal = Literal["error_rate", "p99_ms", "disagreement", "psi"]
SIGNALS: Final[tuple[Signal, ...]] = get_args(Signal)

_RELATIVE_SIGNALS: Final = ("error_rate", "p99_ms")
_SHARES: Final = ("error_rate", "disagreement")


@dataclass(frozen=True, slots=True)
class Guard:
    """One condition that the candidate must keep. `control_api.core.guards` says how it is evaluated.

    Attributes:
        signal: `error_rate`: share of its records that the candidate failed on. `p99_ms`: 99th percentile of a record's
            scoring time, in milliseconds, where a batch of n records that took t counts as n times t / n.
            `disagreement`: share of the records that both models scored where they differ. `psi`: population stability
            index of the candidate's predictions against the baseline's.
        limit: What the signal may reach; with `relative` by how much it may be above the baseline's, as a share of it:
            0.5 is half as much again. At least 0; of a share that is not relative at most 1.
        relative: Compared with the baseline; of `error_rate` and `p99_ms` only, since the other two compare anyway.
        minimum_records: Before so many were seen, of the candidate and of the baseline if it is compared with that, there is
            no telling; at least 1. Pairs are counted for `disagreement`, sampled predictions for `psi`, and `p99_ms` never
            uses fewer than 1,000 records.
        breaches: So many evaluations in a row must find it broken, each with records that the one before did not have; at
            least 1.
        tolerance: Added to the limit of a relative guard, in the signal's own unit, because a share of next to nothing is
            nothing; 0 otherwise.

    Raises:
        ValueError: When made with what is not said above.
    """

    signal: Signal
    limit: float
    relative: bool = False
    minimum_records: int = 500
    breaches: int = 3
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.signal not in SIGNALS:
            raise ValueError(f"a guard looks at one of {', '.join(SIGNALS)}, not at {self.signal!r}")
        if not (math.isfinite(self.limit) and self.limit >= 0):
            raise ValueError(f"the limit of {self.signal} is a number of at least 0, not {self.limit!r}")
        if self.relative and self.signal not in _RELATIVE_SIGNALS:
            raise ValueError(f"{self.signal} compares with the baseline anyway; it cannot be relative to it as well")
        if self.signal in _SHARES and not self.relative and self.limit > 1:
            raise ValueError(f"{self.signal} is a share, so its limit is at most 1, not {self.limit!r}")
        if self.minimum_records < 1:
            raise ValueError(f"a guard needs at least 1 record, not {self.minimum_records}")
        if self.breaches < 1:
            raise ValueError(f"a guard fails after at least 1 breach, not {self.breaches}")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"the tolerance of {self.signal} is a number of at least 0, not {self.tolerance!r}")
        if self.tolerance and not self.relative:
            raise ValueError(f"{self.signal} is not relative, so its limit says all; leave out the tolerance")


DEFAULT_GUARDS: Final = (
    Guard("error_rate", 0.5, relative=True, tolerance=0.01),
    Guard("p99_ms", 1.0, relative=True, minimum_records=1000, tolerance=2.0),
    Guard("psi", 0.25),
)
"""For whoever names none. Half as many errors again and one in a hundred; twice as slow and two milliseconds, because an
arm with a small share gets small batches, in which a record bears more of what a batch costs; and a shift that scorecard
practice calls significant (Siddiqi, "Credit Risk Scorecards", Wiley 2006). Disagreement is left out: two good regressions
disagree on nearly all records."""
