"""The story: which models are published for which data type, in which order, and what is expected of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sluice.demo.cuts import CutOver
from sluice.demo.wine import ARTIFACTS, SPARKLING, STILL

MODEL_OF = {STILL: "wine-quality", SPARKLING: "sparkling-quality"}
# Longest time for one model to be live on every worker; the first PMML model starts a Java machine.
WAIT_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Chapter:
    """One act of publishing.

    Attributes:
        file: Name in `artifacts/`.
        what: What it is, in a few words.
        data_type: Data type that it is published for.
        is_damaged: The workers must refuse it.
        is_canary: It is rolled out step by step, not at once.
    """

    file: str
    what: str
    data_type: str = STILL
    is_damaged: bool = False
    is_canary: bool = False

    @property
    def path(self) -> Path:
        """The artifact."""
        return ARTIFACTS / self.file


OPENING = (Chapter("wine_frozen.pb", "frozen graph"), Chapter("wine_frozen.pb", "frozen graph", SPARKLING))
CHAPTERS = (
    Chapter("wine_saved_model.zip", "SavedModel"),
    Chapter("wine_tree.pmml", "classification tree"),
    Chapter("wine_forest.pmml", "random forest", SPARKLING, is_canary=True),
    Chapter("wine_tree_regression.pmml", "regression tree"),
    Chapter("wine_linear.pmml", "linear regression"),
    Chapter("wine_damaged.pmml", "damaged tree", is_damaged=True),
)


@dataclass(frozen=True, slots=True)
class CanaryStep:
    """One step of a canary that was taken.

    Attributes:
        version: Of the candidate.
        number: Which step, from 1 on.
        steps: How many there are.
        weight: The candidate's share, percent; 0: dark.
        cut_over: Where it was taken.
    """

    chapter: Chapter
    version: int
    number: int
    steps: int
    weight: float
    cut_over: CutOver

    @property
    def share(self) -> str:
        """For people."""
        return "dark" if self.weight == 0 else f"at {self.weight:g} %"


@dataclass(frozen=True, slots=True)
class Swap:
    """What became of one chapter.

    Attributes:
        published_ms: When it was sent to the API, milliseconds since 1970.
        version: Its version; 0 if it never had one.
        is_refused: A worker refused it, or a guard took it back.
        reason: Why.
        load_ms: Longest time that a worker took to load it, while the version before scored; `None` where no worker said so.
        cut_overs: Where it took over: one change, or one for each step of a canary; none if it was not exact.
    """

    chapter: Chapter
    published_ms: int
    version: int
    is_refused: bool
    reason: str = ""
    load_ms: float | None = None
    cut_overs: tuple[CutOver, ...] = ()

    @property
    def went_as_told(self) -> bool:
        """Damaged ones were refused, the others not."""
        return self.is_refused == self.chapter.is_damaged
