"""How many records a run of a TensorFlow model takes: decided from what it costs, once, where nothing else runs."""

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import pytest
from tensorflow_models import HEAVY, case
from tensorflow_scoring import features_of, load

from serving.core.errors import DamagedModelError
from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.tensorflow import pacing, rehearsal, warm_up
from serving.scorers.tensorflow.blocks import BLOCK
from serving.scorers.tensorflow.frozen import read_frozen_graph
from serving.scorers.tensorflow.pacing import Pace, pace_of
from serving.scorers.tensorflow.rehearsal import Rehearsal


def linear(at_least: float, each: float) -> Callable[[int], float]:
    return lambda rows: at_least + each * rows


@pytest.mark.parametrize(
    ("block", "seconds", "few", "pace"),
    [
        pytest.param(1, linear(0.0, 1e-6), 16, Pace(250_000, False), id="light"),
        pytest.param(BLOCK, linear(0.0, 1e-6), 16, Pace(250_000 // BLOCK * BLOCK, False), id="light, in whole blocks"),
        pytest.param(1, linear(0.0, 0.001), 16, Pace(250, True), id="a run stays short"),
        pytest.param(BLOCK, linear(0.0, 0.001), 16, Pace(1, True), id="a block would be heavy"),
        pytest.param(1, linear(0.0, 0.005), 16, Pace(1, True), id="a record is heavy, and no cheaper among others"),
        pytest.param(1, linear(0.01, 0.001), 16, Pace(153, True), id="cheaper among others"),
        pytest.param(1, linear(0.0, 2.0), 2, Pace(1, True), id="very heavy"),
        pytest.param(1, linear(0.0, 1e-4), 16, Pace(2_500, True), id="many together, but not on the event loop"),
    ],
)
def test_the_pace_follows_from_the_cost(
    block: int, seconds: Callable[[int], float], few: int, pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "rows_of_block", lambda: block)

    assert pace_of(seconds, few) == pace


@pytest.mark.parametrize("name", ["wine", HEAVY])
def test_the_worker_takes_the_pace_that_was_found_where_nothing_else_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise AssertionError("measured in a process that does other things meanwhile")

    monkeypatch.setattr(warm_up, "pace_of", fail)

    scorer = load(name)

    assert scorer.pace.is_heavy == (name == HEAVY)
    assert len(scorer.score(features_of(scorer.signature, case(name).expected()[0])).failures) == 0
    scorer.close()


@pytest.mark.parametrize("pace", [Pace(1, True), Pace(240, True), Pace(4_800, True), Pace(4_800, False)])
def test_a_model_scores_at_any_pace_that_it_is_given(pace: Pace) -> None:
    graph = read_frozen_graph(Artifact(case("wine").frozen))
    inputs, outputs = case("wine").expected()

    scorer = warm_up.warm_scorer(graph, LoadLimits(), pace=pace)
    (column,) = scorer.score(features_of(scorer.signature, inputs)).columns.values()
    scorer.close()

    (want,) = outputs.values()
    assert (scorer.pace, scorer.runs_elsewhere) == (pace, pace.is_heavy)
    np.testing.assert_allclose(column, want.reshape(column.shape), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"true",
        b'{"is_rewritten": false}',
        b'{"is_rewritten": false, "pace": {"rows": 0, "is_heavy": false}}',
        b'["DamagedModelError"]',
    ],
)
def test_an_answer_that_says_nothing_refuses_the_model(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "_ask", lambda *_: answer)
    holding = Rehearsal()
    try:
        with pytest.raises(DamagedModelError, match="nonsense"):
            holding.hold(read_frozen_graph(Artifact(case("wine").frozen)), LoadLimits())
    finally:
        holding.close()
