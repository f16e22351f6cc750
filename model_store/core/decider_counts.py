"""How a route's decider did: who was asked, who answered, whose answer was taken. Counts that merge exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from model_store.core.histogram import Histogram


class DeciderKey(NamedTuple):
    """What these counts are kept by.

    Attributes:
        route: Key of the route: a data type, a pattern or `*`.
        decider: Its name.
    """

    route: str
    decider: str


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """Of the records that a decider was to decide, what one arm had to do with them. Each record is in exactly one of
    `answered`, `late` and `failed`.

    Attributes:
        chosen: Its answer was taken; where the answer is a combination, it is the first that had a part in it.
        answered: It had an answer in time.
        late: Its model had not ended when time was up.
        failed: Its model failed on the record, or could not be asked: it is not loaded, or cannot take the stream.
    """

    chosen: int = 0
    answered: int = 0
    late: int = 0
    failed: int = 0

    def merged(self, other: ArmCounts) -> ArmCounts:
        """Both together."""
        return ArmCounts(
            self.chosen + other.chosen,
            self.answered + other.answered,
            self.late + other.late,
            self.failed + other.failed,
        )


@dataclass(frozen=True, slots=True)
class DeciderCounts:
    """A commutative monoid under `merged`, with `NO_DECISIONS` as its identity. A record is in one of the first three.

    Attributes:
        decided: Records that have an answer.
        unanswered: Records for which no arm had an answer; a fallback may have scored them.
        undecidable: Records with answers that the decider could not do with, or where there was no such decider.
        arms: Arm -> its counts; the name of the primary one is empty, as in results. Never changed after construction.
        waiting: From asking the arms to the decision, once a record; the records of a batch share one measurement.
    """

    decided: int = 0
    unanswered: int = 0
    undecidable: int = 0
    arms: Mapping[str, ArmCounts] = field(default_factory=dict)
    waiting: Histogram = field(default_factory=Histogram)

    @property
    def records(self) -> int:
        """All that were to be decided."""
        return self.decided + self.unanswered + self.undecidable

    def merged(self, other: DeciderCounts) -> DeciderCounts:
        """Both together."""
        arms = dict(self.arms)
        for arm, counts in other.arms.items():
            arms[arm] = arms[arm].merged(counts) if arm in arms else counts
        return DeciderCounts(
            self.decided + other.decided,
            self.unanswered + other.unanswered,
            self.undecidable + other.undecidable,
            arms,
            self.waiting.merged(other.waiting),
        )


NO_DECISIONS: Final = DeciderCounts()


def merge_deciders(parts: Iterable[Mapping[DeciderKey, DeciderCounts]]) -> dict[DeciderKey, DeciderCounts]:
    """All parts together, each decider of each route for itself."""
    found: dict[DeciderKey, DeciderCounts] = {}
    for part in parts:
        for key, counts in part.items():
            found[key] = found[key].merged(counts) if key in found else counts
    return found
