"""A rewritten graph is the same model: with fewer convolutions, no loop, and results that differ by rounding alone."""

import os
import sys
from collections import Counter

import numpy as np
import pytest
from tensorflow_models import FROZEN, HEAVY, SAVED, case, corpus
from tensorflow_scoring import column_values, load, reference

from serving.core.columns import Features
from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.tensorflow.frozen import read_frozen_graph
from serving.scorers.tensorflow.giving_way import NICENESS
from serving.scorers.tensorflow.protos import parse
from serving.scorers.tensorflow.quickening import is_better_rewritten, rewritten
from serving.scorers.tensorflow.saved_model import read_saved_model
from serving.scorers.tensorflow.warm_up import warm_scorer

PATIENT = LoadLimits(load_seconds=300.0, score_seconds=60.0)
NAMES = [*FROZEN, *SAVED, HEAVY]


def servable(name):
    model = case(name)
    if model.is_frozen:
        return read_frozen_graph(Artifact(model.frozen))
    return read_saved_model(Artifact(b"", directory=model.saved_model))


def operations(graph):
    definition = parse("GraphDef", graph.definition, "the graph")
    assert not definition.library.function
    return Counter(node.op for node in definition.node)


def close(some, others):
    return np.allclose(some, others, 1e-5, 1e-6) if some.dtype.kind == "f" else (some == others).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_graph_that_can_be_rewritten_gives_what_the_reference_gives(name):
    graph = rewritten(servable(name))
    if graph is None:
        pytest.skip("cannot be written out")
    scorer = warm_scorer(graph, LoadLimits(), is_rewritten=True)
    features, expected = reference(case(name), scorer.signature)

    predictions = scorer.score(features)
    scorer.close()

    assert not predictions.failures
    for key, column in predictions.columns.items():
        got = column_values(column)
        assert close(got, expected[key].reshape(got.shape)), key


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [
        ("keras_conv_lstm", 4),  # one a step
        ("keras_conv_ensemble", 15),  # one a step and member
        ("keras_conv_grid", 6),  # input and state differ in strides: five in three steps; and one for both heads
        (HEAVY, 28),
    ],
)
def test_the_gates_of_a_step_are_one_convolution_and_no_loop_is_left(name, convolutions):
    found = operations(rewritten(servable(name)))

    assert found["Conv2D"] == convolutions
    assert not [operation for operation in found if "While" in operation or "List" in operation or "Var" in operation]


@pytest.mark.parametrize("name", ["keras_conv_lstm", "keras_conv_ensemble", HEAVY])
def test_the_sigmoids_of_the_gates_are_hyperbolic_tangents(name):
    found = operations(rewritten(servable(name)))

    assert found["Sigmoid"] == 0
    assert found["Tanh"] > found["Conv2D"]


@pytest.mark.parametrize("name", ["data_loop", "first_loop"])
def test_a_loop_that_depends_on_the_data_is_left_as_it_is(name):
    assert rewritten(servable(name)) is None


@pytest.mark.parametrize("name", ["endless_first_loop", "endless_second_loop"])
def test_a_loop_without_end_is_given_up(name):
    graph = read_frozen_graph(Artifact((corpus() / "evil" / f"{name}.pb").read_bytes()))

    assert rewritten(graph) is None


def test_a_light_model_is_never_rewritten():
    assert not is_better_rewritten(servable("keras_conv_lstm"), LoadLimits())
    assert "rewritten" not in load("keras_conv_lstm").engine


def test_a_heavy_ensemble_equals_keras_and_scores_a_window_alike_alone_and_among_others():
    loaded = load(HEAVY, limits=PATIENT)
    features, expected = reference(case(HEAVY), loaded.signature)

    (column,) = loaded.score(features).columns.values()
    alone = [
        next(iter(loaded.score(features.take(np.array([row]))).columns.values()))[0] for row in range(len(features))
    ]

    (want,) = expected.values()
    assert np.abs(column - want).max() <= 1e-5
    assert (np.array(alone) == column).all()
    assert loaded.runs_elsewhere


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness belongs to the process")
def test_the_threads_of_a_heavy_session_give_way_and_no_others_do():
    def niceness():
        return {task: os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir("/proc/self/task")}

    scorer = warm_scorer(rewritten(servable(HEAVY)), LoadLimits(), is_rewritten=True)
    during = niceness()
    scorer.close()
    after = niceness()

    assert {nice for task, nice in during.items() if task not in after} == {NICENESS}
    assert set(after.values()) == {0}


def test_a_nan_in_a_window_is_a_nan_in_its_result_and_in_no_other():
    scorer = warm_scorer(rewritten(servable(HEAVY)), LoadLimits(), is_rewritten=True)
    features, _ = reference(case(HEAVY), scorer.signature)
    matrix = features.matrix.copy()
    matrix[1, 1000] = np.nan

    (column,) = scorer.score(Features(matrix)).columns.values()
    scorer.close()

    assert np.isnan(column[1]).all()
    assert np.isfinite(column[[0, 2]]).all()
