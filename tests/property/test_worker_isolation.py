import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.core.columns import Features, Predictions, TextColumn
from serving.core.errors import ScoringError
from serving.core.isolation import MAX_ATTEMPTS, score_isolated


def features(values):
    return Features(np.array(values, float).reshape(len(values), 1))


class Touchy:
    """Doubles and names its input, and fails as a whole if any row is one of `bad`."""

    def __init__(self, bad):
        self.bad, self.calls = set(bad), 0

    def score(self, batch: Features) -> Predictions:
        self.calls += 1
        column = batch.matrix[:, 0]
        if self.bad & set(column.tolist()):
            raise ValueError("cannot take this row")
        labels = sorted({str(int(x)) for x in column})
        return Predictions(
            {
                "y": column * 2,
                "name": TextColumn(np.array([labels.index(str(int(x))) for x in column], np.int64), labels),
            }
        )


@given(st.integers(1, 300), st.data())
def test_only_the_bad_rows_fail_and_the_others_keep_their_own_predictions(n, data):
    bad = data.draw(st.sets(st.integers(0, n - 1), max_size=3))
    scorer = Touchy(bad)

    found = score_isolated(scorer.score, features(range(n)))

    assert set(found.failures) == bad
    good = [row for row in range(n) if row not in bad]
    if good:
        assert [found.columns["y"][row] for row in good] == [row * 2.0 for row in good]
        names = found.columns["name"]
        assert [names.values[names.codes[row]] for row in good] == [str(row) for row in good]


@given(st.integers(1, 2000))
def test_a_model_that_fails_on_everything_is_not_asked_for_every_row(n):
    scorer = Touchy(range(n))

    found = score_isolated(scorer.score, features(range(n)))

    assert set(found.failures) == set(range(n))
    assert scorer.calls <= MAX_ATTEMPTS + 12


def test_an_engine_that_is_gone_is_asked_once():
    calls = []

    def gone(batch):
        calls.append(len(batch))
        raise ScoringError("the child would not start", is_final=True)

    found = score_isolated(gone, features(range(100)))

    assert calls == [100]
    assert found.failures[99] == "the child would not start"
