"""The account at the end of the demo: it must balance, or the command fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """What came of every record that was sent.

    Attributes:
        sent: Records in the data topic.
        results: Records that were scored.
        dead_letters: Records that could not be.
        lost: Records that came back as neither.
        duplicated: Answers beyond the first of a record.
        swaps: Models that took over from another while records were scored.
        refused: Models that the workers refused.
        results_by_version: Results of each version, by `<model>/<version>`.
        worst_swap_ms: By how much the slowest record while a model was loaded and took over was slower than the slowest in
            as much time before, at worst.
        seconds: From the first record sent to the last acknowledged.
        cut_overs: Exact changes of a route while records were scored.
        cut_violations: How often results were found on the wrong side of one.
        canary_entities: Entities that a canary scored beside the version before.
        wavering: Entities that went to a version, away from it, and back.
        partitions: Of the data topic.
    """

    sent: int
    results: int
    dead_letters: int
    lost: int
    duplicated: int
    swaps: int
    refused: int
    results_by_version: Mapping[str, int]
    worst_swap_ms: float
    seconds: float
    cut_overs: int = 0
    cut_violations: int = 0
    canary_entities: int = 0
    wavering: int = 0
    partitions: int = 0

    @property
    def balances(self) -> bool:
        """Every record has exactly one answer."""
        return self.lost == 0 and self.duplicated == 0 and self.sent == self.results + self.dead_letters

    def as_json(self) -> dict[str, object]:
        """The account for machines."""
        members = asdict(self)
        del members["partitions"], members["wavering"]
        return members | {"worst_swap_ms": round(self.worst_swap_ms, 3), "seconds": round(self.seconds, 3)}

    def lines(self) -> list[str]:
        """The account for people."""
        verdict = "The account balances." if self.balances else "The account does NOT balance."
        return [
            f"{self.sent:,} records sent = {self.results:,} results + {self.dead_letters:,} dead letters; "
            f"lost {self.lost:,}, duplicated {self.duplicated:,}. {verdict}",
            "Results by version: " + ", ".join(f"{name}: {count:,}" for name, count in self.results_by_version.items()),
            f"{self.swaps} swaps while records were scored; the slowest record during a swap took {self.worst_swap_ms:.0f} ms "
            f"more than the slowest before it. {self.refused} {'model' if self.refused == 1 else 'models'} refused.",
            f"{self.cut_overs} cut-overs, {self._sides()}.",
            f"{self._on_canary()} scored by the canary while it grew; {self._wavered()} back and forth.",
        ]

    def _sides(self) -> str:
        if self.cut_violations:
            return f"with results on the WRONG side of a cut in {self.cut_violations} cases"
        return f"every result on the right side of its cut in all {self.partitions} partitions"

    def _on_canary(self) -> str:
        return "1 entity was" if self.canary_entities == 1 else f"{self.canary_entities:,} entities were"

    def _wavered(self) -> str:
        return f"{self.wavering:,} went" if self.wavering else "none went"
