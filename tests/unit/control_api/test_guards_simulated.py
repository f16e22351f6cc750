"""Rollouts that never were: how often guards fail a candidate that does nothing wrong, and how soon one that does.

Each evaluation comes ten seconds after the one before and looks at the last minute. Batches differ in size by a factor of a
hundred, and so do the records of different partitions; models fail on some records, stall now and then, and two good
versions differ a little.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from control_api.core.guards import Fail, Streaks, Verdict, evaluate
from model_store.core.guards import DEFAULT_GUARDS, Guard
from model_store.core.stats import NOTHING, Statistics, Tally, merge_all, observe_batch
from serving.core.columns import TextColumn
from serving.core.scored import Scored
from serving.core.signals import compare, observe_predictions

GUARDS = (*DEFAULT_GUARDS, Guard("disagreement", 0.15))
WEIGHTS = (0.01, 0.05, 0.25, 1.0)
EVALUATIONS_A_STEP = 6
EVALUATION_SECONDS = 10
SLOTS_A_WINDOW = 6
BATCHES_A_SLOT = 14


@dataclass(frozen=True)
class Behaviour:
    """How a version does: shares of 1, microseconds a record, standard deviations, classes (0: it gives numbers)."""

    errors: float
    microseconds: float
    shift: float
    disagreement: float
    missing: float = 0.0
    stalls: float = 0.005
    classes: int = 0


class World:
    """Records of a data type, and what two versions make of them."""

    def __init__(self, seed: int, classes: tuple[int, ...] = (0, 0, 3, 10, 40, 200)) -> None:
        self.rng = np.random.default_rng(seed)
        self.now_ms = 1_800_000_000_000
        draw = self.rng.uniform
        self.old = Behaviour(draw(0, 0.03), draw(2, 200), 0.0, 0.0, classes=int(self.rng.choice(classes)))
        self.good = replace(
            self.old, microseconds=self.old.microseconds * draw(0.7, 1.4), shift=0.05, disagreement=draw(0, 0.1)
        )

    def slot(self, old: Behaviour, new: Behaviour, weight: float) -> tuple[Statistics, Statistics]:
        """Ten seconds of both: the candidate's statistics, then the baseline's."""
        candidate, baseline = Tally(), Tally()
        for partition in range(BATCHES_A_SLOT):
            self.now_ms += EVALUATION_SECONDS * 1000 // BATCHES_A_SLOT
            rows = int(2_000 / 10 ** self.rng.uniform(0, 2)) + 20
            theirs = int(self.rng.binomial(rows, weight))
            self._score(candidate, new, theirs, partition, old)
            self._score(baseline, old, rows - theirs, partition, None)
        return candidate.frozen(), baseline.frozen()

    def _score(self, tally: Tally, by: Behaviour, rows: int, partition: int, other: Behaviour | None) -> None:
        if not rows:
            return
        errors = int(self.rng.binomial(rows, by.errors))
        seconds = 2e-4 + rows * by.microseconds * 1e-6 * self.rng.lognormal(0, 0.3)
        if self.rng.random() < by.stalls:
            seconds += self.rng.uniform(0.05, 2.0)
        scored, pairs = self._predictions(by, rows - errors, partition), None
        if other is not None:
            differs = self.rng.random(rows - errors) < by.disagreement
            pairs = compare(scored, _changed(scored, differs))
        seen = observe_predictions(scored)
        batch = observe_batch(rows, errors, seconds, self.now_ms, None, seen)
        tally.observe(batch if pairs is None else replace(batch, pairs=pairs))

    def _predictions(self, by: Behaviour, rows: int, partition: int) -> Scored:
        # Partitions hold records of different kinds, as keys of one region would.
        values = self.rng.normal(partition % 3 + by.shift, 1.0, rows)
        is_missing = self.rng.random(rows) < by.missing
        if not by.classes:
            return Scored(np.where(is_missing, np.nan, np.exp(values)), None, None)
        codes = np.clip((values + 3) * by.classes / 8, 0, by.classes - 1).astype(np.int64)
        return Scored(None, TextColumn(np.where(is_missing, -1, codes), [f"c{n}" for n in range(by.classes)]), None)


def _changed(scored: Scored, rows: np.ndarray) -> Scored:
    if scored.prediction is not None:
        return Scored(np.where(rows, scored.prediction + 1, scored.prediction), None, None)
    assert scored.label is not None
    codes = scored.label.codes
    return Scored(
        None, TextColumn(np.where(rows, (codes + 1) % len(scored.label.values), codes), scored.label.values), None
    )


def baked(
    world: World, candidates: Iterator[Behaviour], weight: float, before: Statistics
) -> Iterator[tuple[Verdict, Statistics]]:
    """A step of a rollout: the verdict after each slot, and the baseline's last minute."""
    window: deque[tuple[Statistics, Statistics]] = deque(maxlen=SLOTS_A_WINDOW)
    streaks = Streaks()
    for candidate in candidates:
        window.append(world.slot(world.old, candidate, weight))
        new, old = (merge_all(sides) for sides in zip(*window, strict=True))
        # With all of the records the old version scores no more, so what it did last is what there is to compare with.
        found = evaluate(GUARDS, new, old if weight < 1 else before, streaks, at_ms=world.now_ms, window_seconds=60)
        streaks = found.streaks
        yield found.verdict, old


def false_rollbacks(seed: int) -> list[str]:
    world, before = World(seed), NOTHING
    failures: list[str] = []
    for weight in WEIGHTS:
        for verdict, last in baked(world, iter([world.good] * EVALUATIONS_A_STEP), weight, before):
            failures += verdict.why if isinstance(verdict, Fail) else []
            before = last if weight < 1 else before
    return failures


@pytest.mark.parametrize("first", [0, 25, 50, 75])
def test_no_rollout_of_a_good_candidate_is_rolled_back(first: int) -> None:
    assert [why for seed in range(first, first + 25) for why in false_rollbacks(seed)] == []


FAULTS = {
    "fails on one in ten records more": ("error_rate", {"errors": 0.13}),
    "takes ten milliseconds a record more": ("p99_ms", {"microseconds": 10_000.0}),
    "predicts one standard deviation more": ("psi", {"shift": 1.0}),
    "predicts nothing for a third of the records": ("psi", {"missing": 0.33}),
    "differs on a third of the records": ("disagreement", {"disagreement": 0.33}),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("weight", [0.05, 0.25])
def test_a_candidate_that_goes_wrong_is_rolled_back_within_the_window(fault: str, weight: float) -> None:
    signal, members = FAULTS[fault]
    waited = [evaluations_until_failure(seed, signal, members, weight) for seed in range(1_000, 1_005)]

    # Three in a row are asked for, and a window is a minute: old records weigh on the verdict for six evaluations.
    assert min(waited) >= 3
    assert max(waited) <= 9, waited


def evaluations_until_failure(seed: int, signal: str, members: dict[str, float], weight: float) -> int:
    world = World(seed, classes=(0, 0, 3, 10, 40))
    bad = replace(world.good, **members)  # type: ignore[arg-type]  # members of one type each
    behaviours = iter([world.good] * SLOTS_A_WINDOW + [bad] * 20)
    for at, (verdict, _) in enumerate(baked(world, behaviours, weight, NOTHING)):
        if isinstance(verdict, Fail):
            assert at >= SLOTS_A_WINDOW
            assert any(why.startswith(signal) for why in verdict.why), verdict.why
            return at - SLOTS_A_WINDOW + 1
    raise AssertionError(f"seed {seed}: never failed")
