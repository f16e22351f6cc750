"""The parts of a batch on its way through a pipeline: who is to score which records, for what purpose."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serving.core.active_plan import ActiveArm, ActivePlan
from serving.core.columns import Features, Predictions
from serving.core.deciders import Answers, Decided, Undecidable
from serving.core.grouping import Rows
from serving.core.isolation import score_isolated
from serving.core.outcomes import Unscored
from serving.core.scored import Scored, scored
from serving.feed.batch import Records, Segment, offset_column
from serving.formats.base import DecodedBatch, Reason
from serving.live import LiveModel

Purpose = Literal["serve", "dark", "candidate", "fallback"]
"""`candidate`: one of several whose answers a decider chooses from."""


@dataclass(slots=True, eq=False)
class Work:
    """Records that one model scores.

    Attributes:
        purpose: What becomes of its results.
        model: Leased until the pipeline gives it back.
        arm: Of the plan.
        plan: Of the records.
        data_type: Of the records.
        reason: Why this model.
        taken: Positions of its records among the decoded rows; `None` for all.
        rows: Positions of its records in the batch; `None` for all.
        features: One row a record.
        predictions: Set by `score`.
        seconds: Set by `score`.
        is_scored: `score` has ended.
        is_late: It was not waited for; its results are dropped.
    """

    purpose: Purpose
    model: LiveModel
    arm: ActiveArm
    plan: ActivePlan
    data_type: str
    reason: Reason
    taken: Rows
    rows: Rows
    features: Features
    predictions: Predictions = field(default_factory=lambda: Predictions({}))
    seconds: float = 0.0
    is_scored: bool = False
    is_late: bool = False
    _values: Scored | None = None
    _valid: Rows = None

    def score(self) -> None:
        """Ask the model. Never raises for what a record or a model does wrong. Any thread, one at a time for a model."""
        start = time.perf_counter()
        self.predictions = score_isolated(self.model.scorer.score, self.features)
        self._valid = _without(len(self.features), self.predictions.failures)
        self.seconds = time.perf_counter() - start
        self.is_scored = True

    @property
    def has_values(self) -> bool:
        """At least one record was scored."""
        return self.is_scored and len(self.predictions.failures) < len(self.features)

    @property
    def values(self) -> Scored:
        """Values of all its records, those that failed included, where they mean nothing. Only if `has_values`."""
        if self._values is None:
            self._values = scored(self.model.scorer.signature, self.predictions)
        return self._values

    @property
    def valid(self) -> Rows:
        """Which of its records the model did not fail on, ascending; `None` for all."""
        return self._valid


@dataclass(slots=True)
class Ballot:
    """Records that several models score, and a decider decides.

    Attributes:
        plan: Of the records.
        data_type: Of the records.
        taken: Positions among the decoded rows; `None` for all.
        rows: Positions in the batch; `None` for all.
        count: How many records.
        works: By arm of the plan; `None` where the arm cannot take part.
        arrived: Indexes of the arms that answered, in the order in which they did.
        asked_at: When the arms were asked, seconds of `time.perf_counter`.
        decision: Set when it was decided, with the answers that it was decided on and the seconds that it took.
    """

    plan: ActivePlan
    data_type: str
    taken: Rows
    rows: Rows
    count: int
    works: list[Work | None]
    arrived: list[int] = field(default_factory=list)
    asked_at: float = field(default_factory=time.perf_counter)
    decision: tuple[Answers, Decided | Undecidable, float] | None = None


@dataclass(slots=True)
class Opened:
    """A batch on its way: what is to be scored, what cannot be, and what was decoded, for a second try.

    Attributes:
        batch: The batch.
        decoded: Its columns.
        works: What one model each scores.
        ballots: What several models score; their works are not among `works`.
        unscored: What has no result.
        offsets: int64, one a record of the batch.
        timestamps_ms: int64, one a record of the batch.
        partitions: int32, one a record of the batch; `None` if all are of one partition.
    """

    batch: Records
    decoded: DecodedBatch
    works: list[Work]
    ballots: list[Ballot]
    unscored: list[Unscored]
    offsets: NDArray[np.int64] = field(init=False)
    timestamps_ms: NDArray[np.int64] = field(init=False)
    partitions: NDArray[np.int32] | None = field(init=False)

    def __post_init__(self) -> None:
        self.offsets, self.timestamps_ms = offset_column(self.batch.offsets), self.batch.timestamps
        self.partitions = _partitions(self.batch.segments)

    @property
    def waits(self) -> bool:
        """It cannot be scored in one go on the event loop's thread: a model runs elsewhere, or a second try may follow."""
        return bool(self.ballots) or any(
            work.model.scorer.runs_elsewhere or work.plan.fallback is not None for work in self.works
        )


def _partitions(segments: Sequence[Segment]) -> NDArray[np.int32] | None:
    if len(segments) == 1:
        return None
    lengths = [segment.stop - segment.start for segment in segments]
    return np.repeat(np.array([segment.partition for segment in segments], np.int32), lengths)


def _without(count: int, failures: Collection[int]) -> Rows:
    if not failures:
        return None
    is_valid = np.ones(count, np.bool_)
    is_valid[np.fromiter(failures, np.intp, len(failures))] = False
    return np.flatnonzero(is_valid)
