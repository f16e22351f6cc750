"""The story: which models are published for which data type, in which order, and what is expected of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sluice.client import Client, ModelRefusedError
from sluice.client.answers import Operation
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
    """

    file: str
    what: str
    data_type: str = STILL
    is_damaged: bool = False

    @property
    def path(self) -> Path:
        """The artifact."""
        return ARTIFACTS / self.file


OPENING = (Chapter("wine_frozen.pb", "frozen graph"), Chapter("wine_frozen.pb", "frozen graph", SPARKLING))
CHAPTERS = (
    Chapter("wine_saved_model.zip", "SavedModel"),
    Chapter("wine_tree.pmml", "classification tree"),
    Chapter("wine_forest.pmml", "random forest", SPARKLING),
    Chapter("wine_tree_regression.pmml", "regression tree"),
    Chapter("wine_linear.pmml", "linear regression"),
    Chapter("wine_damaged.pmml", "damaged tree", is_damaged=True),
)


@dataclass(frozen=True, slots=True)
class Swap:
    """What became of one chapter.

    Attributes:
        published_ms: When it was sent to the API, milliseconds since 1970.
        version: Its version; 0 if it never had one.
        is_refused: A worker refused it.
        reason: Why.
        load_ms: Longest time that a worker took to load it, while the version before scored.
        pause_ms: Longest time that a worker's scoring paused for it.
    """

    chapter: Chapter
    published_ms: int
    version: int
    is_refused: bool
    reason: str = ""
    load_ms: float = 0.0
    pause_ms: float = 0.0

    @property
    def went_as_told(self) -> bool:
        """Damaged ones were refused, the others not."""
        return self.is_refused == self.chapter.is_damaged


def publish(client: Client, chapter: Chapter, clock_ms: Callable[[], int]) -> Swap:
    """Publish a chapter through the REST API and wait until every live worker has said what became of it.

    Raises:
        ClientError: The API is not there, or some worker did not answer in time.
    """
    published_ms = clock_ms()
    try:
        operation = client.publish(
            chapter.path,
            for_=chapter.data_type,
            name=MODEL_OF[chapter.data_type],
            wait=WAIT_SECONDS,
            description=f"Demo: {chapter.what}",
            publisher="sluice demo",
        )
    except ModelRefusedError as error:
        reasons = [outcome.reason for outcome in error.operation.workers if outcome.state == "refused"]
        return Swap(chapter, published_ms, _version(error.operation), True, (reasons or [error.operation.message])[0])
    return Swap(
        chapter,
        published_ms,
        _version(operation),
        False,
        "",
        max((outcome.load_ms for outcome in operation.workers), default=0.0),
        max((outcome.swap_ms for outcome in operation.workers), default=0.0),
    )


def _version(operation: Operation) -> int:
    return int(operation.version or 0)
