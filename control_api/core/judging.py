"""What a rollout's guards look at: which statistics of the candidate and of what it is compared with, over which time.

The candidate is looked at from the moment on that its step was committed. So is the version that it is compared with, the
primary of the plan that the rollout started from, while it has records of its own; where the candidate has them all, a
quarter of an hour before the step is added.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from control_api.core.guards import Evaluation, Streaks, evaluate
from control_api.ports import WorkerStatistics
from model_store.core.catalogue import Catalogue
from model_store.core.plans import WHOLE, Target
from model_store.core.rollouts import BACK, Rollout, RolloutState
from model_store.core.routes import matches
from model_store.core.stats import Statistics, merge_all
from model_store.core.stats_windows import LONGEST_WINDOW_SECONDS

BEFORE_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Judged:
    """The latest evaluation of a rollout's guards, by this replica.

    Attributes:
        step: Of the rollout.
        since_ms: When that step began; another one asks for a new row of evaluations.
        at_ms: When it was evaluated, milliseconds since 1970 UTC.
        evaluation: What came of it.
    """

    step: int
    since_ms: int
    at_ms: int
    evaluation: Evaluation

    def is_of(self, rollout: Rollout) -> bool:
        """It is of the step that the rollout is at."""
        return (self.step, self.since_ms) == (rollout.step, rollout.since_ms)


_WATCHED = (RolloutState.RUNNING, RolloutState.PAUSED)


def watched(catalogue: Catalogue) -> list[Rollout]:
    """The rollouts whose guards matter now: those that bake a step, or wait there for a person."""
    routes = (route for route in catalogue.routes.values() if route.rollout is not None and route.change is None)
    rollouts = (catalogue.open_rollout(route) for route in routes)
    return [
        rollout
        for rollout in rollouts
        if rollout is not None and rollout.state in _WATCHED and rollout.guards and rollout.step != BACK
    ]


def windows(rollout: Rollout, now_ms: int) -> tuple[int, int]:
    """Seconds until now in which to look at the candidate, and at what it is compared with."""
    seconds = max(1, math.ceil((now_ms - rollout.since_ms) / 1000))
    before = BEFORE_SECONDS if rollout.steps[rollout.step].weight == WHOLE else 0
    return min(seconds, LONGEST_WINDOW_SECONDS), min(seconds + before, LONGEST_WINDOW_SECONDS)


def judge(
    rollout: Rollout,
    candidate: Iterable[WorkerStatistics],
    baseline: Iterable[WorkerStatistics],
    before: Judged | None,
    now_ms: int,
) -> Judged:
    """Evaluate the guards once.

    Args:
        rollout: One of `watched`.
        candidate: Statistics of all workers in the first of `windows`.
        baseline: In the second.
        before: The evaluation before this one, of any step.
    """
    compared = rollout.base.primary.target
    evaluation = evaluate(
        rollout.guards,
        _of(rollout, rollout.candidate, candidate),
        _of(rollout, compared, baseline),
        before.evaluation.streaks if before is not None and before.is_of(rollout) else Streaks(),
        at_ms=now_ms,
        window_seconds=windows(rollout, now_ms)[0],
        names=(str(rollout.candidate), str(compared)),
    )
    return Judged(rollout.step, rollout.since_ms, now_ms, evaluation)


def verdicts_of(
    judged: Mapping[int, Judged], catalogue: Catalogue, now_ms: int, fresh_ms: int
) -> dict[int, Evaluation]:
    """The evaluations that count: of the step that their rollout is at, and at most `fresh_ms` old."""
    found = {}
    for rollout_id, each in judged.items():
        rollout = catalogue.rollouts.get(rollout_id)
        if rollout is not None and each.is_of(rollout) and now_ms - each.at_ms <= fresh_ms:
            found[rollout_id] = each.evaluation
    return found


def _of(rollout: Rollout, target: Target, workers: Iterable[WorkerStatistics]) -> Statistics:
    return merge_all(
        statistics
        for worker in workers
        for series, statistics in worker.series.items()
        if (series.model, series.version) == (target.model, target.version) and matches(rollout.key, series.data_type)
    )
