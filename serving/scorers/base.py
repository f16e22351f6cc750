"""The interface of an engine, for ours and for those of third parties.

An engine turns the bytes of a model into a `Scorer`. It registers under the entry point group `sluice.scorers`; the name
of the entry point is the model type it takes (`TENSORFLOW`, `TENSORFLOWSAVED`, `PMML`, or a word of its own).
An engine never sees Kafka, a record or a topic: columns go in, columns come out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from model_store.core.signature import Signature
from serving.core.columns import Features, Predictions


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What a model may cost. An engine refuses what is over it, before it does the work where that is possible.

    Attributes:
        artifact_bytes: Largest artifact, after unpacking, in bytes.
        nodes: Most nodes of a graph (all functions counted) or elements of a document.
        depth: Deepest nesting of a document.
        load_seconds: Longest time for load and warm-up together.
        score_seconds: Longest time for one batch; a scorer that takes longer is interrupted and its batch fails.
    """

    artifact_bytes: int = 256 << 20
    nodes: int = 200_000
    depth: int = 200
    load_seconds: float = 60.0
    score_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """The bytes of a model, fetched and verified, and what the descriptor says of them.

    Attributes:
        payload: The artifact: a frozen GraphDef, a zip or tar of a SavedModel, a PMML document.
        directory: Where a SavedModel came as a directory under a configured root; then `payload` is empty.
        signature_name: The SavedModel signature to serve; `None` chooses `serving_default`, else the only one.
        input_names: Tensor names that the publisher gave as inputs of a frozen graph; empty means: find them.
        output_names: Tensor names that the publisher gave as outputs of a frozen graph; empty means: find them.
    """

    payload: bytes
    directory: Path | None = None
    signature_name: str | None = None
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    limits: LoadLimits = field(default_factory=LoadLimits)


class Scorer(Protocol):
    """A loaded model. One thread at a time calls `score`; `close` is called once, after the last `score` returned."""

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""

    @property
    def engine(self) -> str:
        """Engine and version, for provenance and for people: `tensorflow 2.21.0 (C API)`."""

    @property
    def runs_elsewhere(self) -> bool:
        """`score` mostly waits (for a child process or a device), so it must not run on the event loop's thread."""

    def score(self, features: Features) -> Predictions:
        """Score all rows of `features`; row i of every output belongs to row i of the input.

        The same row gives the same output whatever else is in the batch. Must accept any n >= 0.

        Raises:
            ScoringError: The whole batch could not be scored (the engine died and could not be brought back, a time-out).
        """

    def close(self) -> None:
        """Give back everything the model holds. Further calls do nothing."""


@runtime_checkable
class Watched(Protocol):
    """A scorer that computes beside its engine, compares the two, and goes over to the engine where they differ."""

    def when_changed(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, on any thread, when `runs_elsewhere` may have become true."""
        ...

    def agrees_on(self, features: Features) -> bool:
        """Compare on rows that somebody cares for, now. Goes over to the engine if they differ."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Makes scorers of one model type. Stateless but for shared machinery (a child process, a loaded library)."""

    def load(self, artifact: Artifact) -> Scorer:
        """Screen, load, check and return a scorer that is ready for its first batch. Blocks; called off the event loop.

        Raises:
            ModelRefusedError: The model is damaged, hostile, unsupported or over a limit; the message says which and where.
            EngineUnavailableError: This machine cannot run the engine now (a library is missing, a child would not start).
        """

    def close(self) -> None:
        """Stop shared machinery. All scorers of the engine are closed before."""


@runtime_checkable
class Considerate(Protocol):
    """An engine whose loads can keep out of the way of records."""

    def records_flow(self, do_they: bool) -> None:
        """Whether there are records to keep out of the way of; there are, until something else is said. Any thread; blocks."""
        ...
