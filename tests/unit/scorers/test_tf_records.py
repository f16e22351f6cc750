"""What becomes of single records: values that do not fit, records that TensorFlow refuses, batches without end."""

import threading
import time

import numpy as np
import pytest
from tensorflow_scoring import load, matrix

from serving.core.columns import Features, TextColumn
from serving.core.errors import ScoringError
from serving.scorers.base import LoadLimits
from serving.scorers.tensorflow.scorer import TensorFlowScorer


def whole_numbers(**changes: float) -> np.ndarray:
    """A row for the model `whole_numbers`: embedding rows, a large number, a byte, a flag."""
    row = {"small": 3.0, "other": 4.0, "large": 5.0, "tiny": 6.0, "flag": 1.0} | changes
    return np.array(list(row.values()))


@pytest.fixture(scope="module")
def integers() -> TensorFlowScorer:
    return load("whole_numbers")


@pytest.fixture(scope="module")
def picky() -> TensorFlowScorer:
    return load("picky")


@pytest.mark.parametrize(
    "change",
    [
        {"small": 1.5}, {"small": np.nan}, {"large": np.inf}, {"large": 2.0**63}, {"large": -(2.0**64)}, {"small": 2.0**31},
        {"tiny": 256.0}, {"tiny": -1.0}, {"flag": 2.0}, {"flag": 0.5}, {"flag": np.nan},
    ],
)  # fmt: skip
def test_a_value_that_is_no_such_integer_fails_its_record_and_no_other(integers, change):
    features = Features(np.array([whole_numbers(), whole_numbers(**change), whole_numbers(large=7.0)]))

    predictions = integers.score(features)

    assert list(predictions.failures) == [1]
    assert next(iter(change)) in predictions.failures[1]
    assert predictions.columns["doubled"][[0, 2]].tolist() == [10, 14]


def test_the_largest_and_smallest_integers_pass(integers):
    features = Features(np.array([whole_numbers(large=-(2.0**62)), whole_numbers(large=2.0**61, tiny=255.0, flag=0.0)]))

    predictions = integers.score(features)

    assert not predictions.failures
    assert predictions.columns["doubled"].tolist() == [-(2**63), 2**62]
    assert predictions.columns["opposite"].tolist() == [False, True]


def test_an_index_outside_its_table_fails_its_record_and_no_other(integers):
    features = Features(np.array([whole_numbers(), whole_numbers(small=50.0), whole_numbers()]))

    predictions = integers.score(features)

    assert list(predictions.failures) == [1]
    assert "50" in predictions.failures[1]


def test_a_number_beyond_float32_fails_its_record_and_infinity_passes():
    scorer = load("wine")
    rows = np.ones((3, 11))
    rows[0, 3], rows[1, 3] = 1e300, np.inf

    predictions = scorer.score(Features(rows))

    assert list(predictions.failures) == [0]
    assert "[3]" in predictions.failures[0]


def test_nan_in_gives_what_the_model_makes_of_it_and_leaves_its_neighbours_alone():
    scorer = load("named_scalars")
    features = matrix([1, 2], [np.nan, 2], [3, np.inf])

    total = scorer.score(features).columns["total"]

    assert total[0] == 4
    assert np.isnan(total[1])
    assert total[2] == np.inf


@pytest.mark.parametrize("bad", [[0], [63], [0, 1, 2], [5, 30, 62], list(range(64))])
def test_records_that_tensorflow_refuses_are_found_in_their_batch(picky, bad):
    rows = np.ones((64, 3))
    rows[bad] = -1
    alone = picky.score(matrix([1, 1, 1])).columns["root"][0]

    predictions = picky.score(Features(rows))

    good = [row for row in range(64) if row not in bad]
    assert sorted(predictions.failures) == bad
    assert (predictions.columns["root"][good] == alone).all()
    assert np.isnan(predictions.columns["root"][bad]).all()


def test_a_missing_text_fails_its_record_and_no_other():
    scorer = load("texts")
    features = Features(np.array([[1.0], [2.0], [3.0]]), (TextColumn(np.array([0, -1, 1]), ["red", "white"]),))

    predictions = scorer.score(features)

    assert list(predictions.failures) == [1]
    assert predictions.columns["price"][[0, 2]].tolist() == [2.0, 3.0]
    echo = predictions.columns["echo"]
    assert [echo.values[code] for code in echo.codes[[0, 2]]] == ["red!", "white!"]
    assert echo.codes[1] == -1


def test_no_records_give_empty_columns_of_the_right_type_and_width():
    for name, shapes in {"wine": [(0, 9)], "sequence": [(0, 12)], "named_scalars": [(0,)]}.items():
        scorer = load(name)

        columns = scorer.score(Features(np.zeros((0, len(scorer.signature.slots))))).columns

        assert [column.shape for column in columns.values()] == shapes
        assert [column.dtype for column in columns.values()] == [spec.dtype for spec in scorer.signature.outputs]


def test_a_batch_that_never_ends_is_interrupted_and_leaves_nothing_running():
    scorer = load("data_loop", limits=LoadLimits(score_seconds=0.5))

    with pytest.raises(ScoringError, match="interrupted"):
        scorer.score(matrix([1], [np.inf]))

    assert cpu_seconds_in(0.3) < 0.15
    assert scorer.score(matrix([8])).columns["halved"].tolist() == [1.0]


def test_a_closed_scorer_refuses_to_score():
    scorer = load("wine")
    scorer.close()
    scorer.close()

    with pytest.raises(ScoringError, match="closed"):
        scorer.score(Features(np.ones((1, 11))))


def test_closing_while_another_thread_scores_is_an_error_there_and_no_crash():
    scorer = load("keras_mlp")
    features = Features(np.ones((500, 64)))
    started = threading.Event()
    outcomes: list[str] = []

    def work() -> None:
        try:
            while True:
                scorer.score(features)
                started.set()
        except ScoringError as error:
            outcomes.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    started.wait(30)
    scorer.close()
    thread.join(30)

    assert len(outcomes) == 1
    assert "closed" in outcomes[0]


def cpu_seconds_in(seconds: float) -> float:
    """What this process computes while this thread does nothing."""
    before = time.process_time()
    threading.Event().wait(seconds)
    return time.process_time() - before
