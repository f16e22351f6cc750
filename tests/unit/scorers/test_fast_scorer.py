"""The scorer that computes in place: who is asked when, and how it goes over to the reference."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from structlog.testing import capture_logs

from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from serving.core.columns import Features, Predictions, TextColumn
from serving.core.errors import ScoringError
from serving.scorers.fast.inputs import Inputs
from serving.scorers.fast.model import Answer
from serving.scorers.fast.scorer import FastScorer, Watch

SIGNATURE = Signature(
    inputs=(TensorSpec("x", "float64"),),
    outputs=(TensorSpec("y", "float64"), TensorSpec("sign", "string", categories=("+", "-"))),
    slots=(FeatureSlot("x"),),
)


def twice(features: Features) -> Predictions:
    """What both sides are to compute: 2 x and its sign; NaN is a failure."""
    x = features.matrix[:, 0]
    codes = np.where(np.isnan(x), -1, x < 0).astype(np.int64)
    failures = {int(row): "missing" for row in np.flatnonzero(np.isnan(x))}
    return Predictions({"y": 2 * x, "sign": TextColumn(codes, ("+", "-"))}, failures)


class Reference:
    signature = SIGNATURE
    engine = "reference 1"
    runs_elsewhere = True

    def __init__(self) -> None:
        self.asked: list[list[float]] = []
        self.fails = False
        self.is_closed = False

    def score(self, features: Features) -> Predictions:
        self.asked.append(features.matrix[:, 0].tolist())
        if self.fails:
            raise ScoringError("the engine is gone")
        return twice(features)

    def close(self) -> None:
        self.is_closed = True


class Flat:
    """Wrong for numbers above `wrong_above`; leaves numbers above `open_above` undecided; breaks at `breaks_at`."""

    inputs: Inputs

    def __init__(self, wrong_above: float = np.inf, open_above: float = np.inf, breaks_at: float | None = None) -> None:
        self.wrong_above, self.open_above, self.breaks_at = wrong_above, open_above, breaks_at

    def evaluate(self, features: Features) -> Answer:
        x = features.matrix[:, 0]
        if self.breaks_at is not None and (x == self.breaks_at).any():
            raise IndexError("a defect")
        right = twice(features)
        y = np.where(x > self.wrong_above, 0.0, right.columns["y"])
        open_rows = np.flatnonzero(x > self.open_above)
        columns = {"y": np.where(x > self.open_above, -1.0, y), "sign": right.columns["sign"]}
        return Answer(Predictions(columns, right.failures), open_rows if len(open_rows) else None)


class Now:
    """A watch that looks at once, so that a test need not wait."""

    def submit(self, work) -> None:
        work()

    def close(self) -> None:
        pass


def numbers(*values: float) -> Features:
    return Features(np.array(values, np.float64)[:, None])


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.close()


def test_a_fast_model_is_computed_in_place_and_says_so():
    reference = Reference()
    scorer = FastScorer(reference, Flat(), Now(), lambda features: twice(features))

    predictions = scorer.score(numbers(1, -2, np.nan))

    assert predictions.columns["y"].tolist()[:2] == [2, -4]
    assert predictions.failures == {2: "missing"}
    assert reference.asked == []
    assert not scorer.runs_elsewhere
    assert "computed in place" in scorer.engine
    assert scorer.watched_rows == 3


def test_undecided_records_are_decided_by_the_reference_within_the_batch():
    reference = Reference()
    scorer = FastScorer(reference, Flat(open_above=10), Now(), twice)

    predictions = scorer.score(numbers(1, 11, 2, 12))

    assert predictions.columns["y"].tolist() == [2, 22, 4, 24]
    assert reference.asked == [[11, 12]]
    assert scorer.disagreements == 0


def test_undecided_records_fail_alone_where_the_reference_cannot_be_asked():
    reference = Reference()
    reference.fails = True
    scorer = FastScorer(reference, Flat(open_above=10), Watch(), twice)

    predictions = scorer.score(numbers(1, 11, 2))

    assert predictions.failures == {1: "the engine is gone"}
    assert predictions.columns["y"].tolist()[::2] == [2, 4]


def test_a_model_that_often_cannot_decide_is_given_to_the_reference():
    told = []
    scorer = FastScorer(Reference(), Flat(open_above=0), Now(), twice)
    scorer.when_changed(lambda: told.append(scorer.runs_elsewhere))

    with capture_logs() as logs:
        for _ in range(101):
            scorer.score(numbers(*np.tile([1, -1], 50)))

    assert [line["event"] for line in logs] == ["model.fast_undecided"]
    assert told == [True]


def test_a_difference_is_found_by_the_watch_and_the_reference_takes_over_for_good():
    reference, told = Reference(), []
    scorer = FastScorer(reference, Flat(wrong_above=5), Now(), twice)
    scorer.when_changed(lambda: told.append(scorer.runs_elsewhere))

    with capture_logs() as logs:
        scorer.score(numbers(1, 6, 7))

    assert told == [True]
    assert scorer.runs_elsewhere
    assert scorer.disagreements == 1
    (line,) = logs
    assert line["event"] == "model.fast_disagreed"
    assert line["log_level"] == "error"
    assert line["record"] == "[6.0]"
    assert line["what"] == "y: 12.0 by the engine, 0.0 by the flat model"
    assert "no longer" in scorer.engine
    assert scorer.score(numbers(1, 6, 7)).columns["y"].tolist() == [2, 12, 14]
    assert reference.asked == [[1, 6, 7]]


def test_a_flat_model_that_raises_costs_no_record():
    scorer = FastScorer(Reference(), Flat(breaks_at=3), Now(), twice)

    with capture_logs() as logs:
        predictions = scorer.score(numbers(1, 3))

    assert predictions.columns["y"].tolist() == [2, 6]
    assert not predictions.failures
    assert scorer.runs_elsewhere
    assert [line["event"] for line in logs] == ["model.fast_failed"]


def test_no_batch_waits_for_the_watch(watch):
    started, go_on = threading.Event(), threading.Event()

    def check(features: Features) -> Predictions:
        started.set()
        assert go_on.wait(30)
        return twice(features)

    scorer = FastScorer(Reference(), Flat(), watch, check, sample_seconds=0.0)
    scorer.score(numbers(1))
    assert started.wait(30)

    for _ in range(100):
        scorer.score(numbers(2, 3))
    assert scorer.watched_rows == 0
    go_on.set()
    watch.close()

    assert scorer.watched_rows == 1


def test_an_undecided_record_does_not_wait_for_the_watch(watch):
    started, go_on = threading.Event(), threading.Event()

    def check(features: Features) -> Predictions:
        started.set()
        assert go_on.wait(30)
        return twice(features)

    scorer = FastScorer(Reference(), Flat(open_above=10), watch, check)
    scorer.score(numbers(1))
    assert started.wait(30)

    assert scorer.score(numbers(11)).columns["y"].tolist() == [22]
    assert scorer.watched_rows == 0
    go_on.set()


def test_samples_are_small_and_rare():
    seen = []
    scorer = FastScorer(Reference(), Flat(), Now(), lambda features: seen.append(len(features)) or twice(features))

    for _ in range(50):
        scorer.score(numbers(*range(1000)))

    assert seen == [64]


def test_the_watch_sees_what_was_handed_out_even_if_the_receiver_changes_it(watch):
    go_on = threading.Event()

    def check(features: Features) -> Predictions:
        assert go_on.wait(30)
        return twice(features)

    scorer = FastScorer(Reference(), Flat(), watch, check)
    batch = numbers(1, 2)
    predictions = scorer.score(batch)
    batch.matrix[:] = 0
    predictions.columns["y"][:] = 99
    go_on.set()
    watch.close()

    assert scorer.watched_rows == 2
    assert scorer.is_fast


def test_a_reference_that_fails_on_a_sample_is_no_difference():
    def check(features: Features) -> Predictions:
        raise ScoringError("the engine is being restarted")

    scorer = FastScorer(Reference(), Flat(), Now(), check)

    with capture_logs() as logs:
        scorer.score(numbers(1))

    assert scorer.is_fast
    assert [line["event"] for line in logs] == ["model.fast_not_watched"]


@pytest.mark.parametrize(("wrong_above", "agrees"), [(np.inf, True), (5.0, False)])
def test_rows_that_somebody_cares_for_are_compared_at_once(wrong_above, agrees):
    scorer = FastScorer(Reference(), Flat(wrong_above), Watch(), twice, sample_seconds=1e9)

    assert scorer.agrees_on(numbers(1, 6)) is agrees
    assert scorer.is_fast is agrees


def test_closing_closes_the_reference_and_ends_scoring():
    reference = Reference()
    scorer = FastScorer(reference, Flat(), Now(), twice)

    scorer.close()
    scorer.close()

    assert reference.is_closed
    with pytest.raises(ScoringError, match="closed"):
        scorer.score(numbers(1))


def test_closing_waits_for_the_sample_that_is_being_compared(watch):
    started, go_on = threading.Event(), threading.Event()
    reference = Reference()

    def check(features: Features) -> Predictions:
        started.set()
        assert go_on.wait(30)
        assert not reference.is_closed
        return twice(features)

    scorer = FastScorer(reference, Flat(), watch, check)
    scorer.score(numbers(1))
    assert started.wait(30)
    closing = threading.Thread(target=scorer.close)
    closing.start()
    go_on.set()
    closing.join()

    assert reference.is_closed
    assert scorer.watched_rows == 1
