"""Predictions are those of TensorFlow's own Python interface, bit for bit; of heavy models, which may be rewritten, nearly so."""

import numpy as np
import pytest
from tensorflow_models import FROZEN, ROWS, SAVED, case
from tensorflow_scoring import assert_same_floats, column_values, load, reference

from serving.scorers.tensorflow.quickening import ABSOLUTE, RELATIVE

NAMES = [*FROZEN, *SAVED]
HEAVY = ("keras_conv_grid", "keras_conv_lstm", "keras_conv_ensemble")
"""Whether these are rewritten depends on what they cost on the machine that runs this."""


@pytest.fixture(scope="module")
def scorer(request):
    loaded = load(request.param)
    yield request.param, loaded
    loaded.close()


@pytest.mark.parametrize("scorer", NAMES, indirect=True)
def test_every_row_equals_the_reference(scorer):
    name, loaded = scorer
    features, expected = reference(case(name), loaded.signature)

    predictions = loaded.score(features)

    assert not predictions.failures
    for spec in loaded.signature.outputs:
        got = column_values(predictions.columns[spec.name])
        want = expected[spec.name].reshape(got.shape)
        if got.dtype.kind == "f":
            if name in HEAVY:
                np.testing.assert_allclose(got, want, RELATIVE, ABSOLUTE)
                continue
            assert_same_floats(got, want)
        else:
            assert (got == want).all()


# The rows of `data_loop` depend on each other, by its own arithmetic.
@pytest.mark.parametrize("scorer", [name for name in NAMES if name != "data_loop"], indirect=True)
def test_a_row_scores_the_same_in_every_batch(scorer):
    name, loaded = scorer
    features, _ = reference(case(name), loaded.signature)
    whole = loaded.score(features).columns
    sizes = [*range(1, 20), 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 777, 1024, 1999]

    for size in [size for size in sizes if size <= len(features)]:
        rows = np.arange(len(features) - size, len(features))
        part = loaded.score(features.take(rows)).columns
        for key, column in part.items():
            assert (column_values(column) == column_values(whole[key])[rows]).all(), f"{size} rows"


def test_the_wine_graph_scores_the_same_at_every_batch_size():
    loaded = load("wine")
    features, _ = reference(case("wine"), loaded.signature)
    (whole,) = loaded.score(features).columns.values()

    different = [
        size
        for size in range(1, len(features) + 1)
        if not np.array_equal(next(iter(loaded.score(features.take(np.arange(size))).columns.values())), whole[:size])
    ]

    assert different == []


def test_a_frozen_graph_without_shapes_tells_its_width_by_what_consumes_it():
    signature = load("wine").signature

    assert [(spec.name, spec.dtype, spec.shape) for spec in signature.inputs] == [("chemistry", "float32", (11,))]
    assert [(slot.name, slot.is_text) for slot in signature.slots] == [(None, False)] * 11


def test_an_input_of_one_number_names_its_slot():
    signature = load("named_scalars").signature

    assert [slot.name for slot in signature.slots] == ["age", "weight"]
    assert [spec.shape for spec in signature.inputs] == [(), (1,)]


def test_outputs_of_higher_rank_are_flat_columns_and_tell_their_shape():
    loaded = load("sequence")

    predictions = loaded.score(reference(case("sequence"), loaded.signature)[0])

    assert loaded.signature.outputs[0].shape == (4, 3)
    assert predictions.columns["grid"].shape == (ROWS, 12)
    assert len(loaded.signature.slots) == 16 * 8


def test_outputs_that_the_publisher_names_are_served_though_they_are_consumed():
    loaded = load("wide_table", output_names=("classes", "best:0"), input_names=("features",))
    features, expected = reference(case("wide_table"), loaded.signature)

    columns = loaded.score(features).columns

    assert_same_floats(columns["classes"], expected["classes"])
    assert (columns["best"] == expected["best"]).all()


def test_the_counter_of_a_loop_is_no_prediction():
    assert [spec.name for spec in load("first_loop").signature.outputs] == ["looped"]


def test_the_default_signature_goes_first_and_another_can_be_named():
    inputs, expected = case("two_signatures").expected()
    default = load("two_signatures")
    named = load("two_signatures", signature_name="weigh")

    assert [slot.name for slot in default.signature.slots] == ["a", "b"]
    assert [spec.name for spec in named.signature.outputs] == ["weighed"]
    scored = named.score(reference(case("two_signatures"), named.signature)[0])
    assert (scored.columns["weighed"] == expected["weighed"]).all()
    assert inputs["x"].shape == (ROWS, 3)


def test_texts_go_in_and_labels_come_out():
    signature = load("texts").signature

    assert {(slot.name, slot.is_text) for slot in signature.slots} == {("amount", False), ("colour", True)}
    assert [spec.dtype for spec in signature.outputs] == ["float32", "string", "string"]
