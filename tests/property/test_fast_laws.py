"""Laws of flat models, held against the text of the standard: no engine, no Java."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from serving.core.columns import Features, Predictions, TextColumn
from serving.scorers.base import LoadLimits
from serving.scorers.fast.admission import disagreement
from serving.scorers.fast.compiling import compile_document
from serving.scorers.fast.grammar import NotFastError
from serving.scorers.fast.joining import joined, taken
from serving.scorers.fast.model import Evaluator
from serving.scorers.fast.rows import made_up
from serving.scorers.fast.sums import sum_in_order
from serving.scorers.pmml.document import parse
from serving.scorers.pmml.normalise import normalise
from serving.scorers.pmml.signature import read_schema
from tests.oracle import pmml_documents as documents
from tests.oracle.pmml_records import differences, features_of, records

LIMITS = LoadLimits()
SEEDS = st.integers(0, 100_000)
NOTHING = np.empty(0, np.intp)


def signature_of(document: bytes) -> Signature:
    """What the engine would declare for a model without outputs of its own."""
    schema = read_schema(parse(document, LIMITS))
    label = TensorSpec("predicted_y", "string", (), schema.categories)
    shares = TensorSpec("probability", "float64", (len(schema.categories),), schema.categories)
    outputs = (label, shares) if schema.categories else (TensorSpec("predicted_y", "float64"),)
    slots = tuple(FeatureSlot(field.name, field.kind == "text") for field in schema.inputs)
    return Signature((), outputs, slots)


def compiled(document: bytes) -> Evaluator:
    parsed = parse(document, LIMITS)
    schema = read_schema(parsed)
    normalise(parsed)
    return compile_document(parsed, schema, signature_of(document))[0]


STRATEGIES = (
    "",
    ' missingValueStrategy="lastPrediction"',
    ' missingValueStrategy="defaultChild"',
    ' missingValueStrategy="nullPrediction"',
    ' noTrueChildStrategy="returnLastPrediction"',
)


@given(SEEDS, st.sampled_from(STRATEGIES), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_tree_does_what_the_standard_says(seed, strategy, is_regression):
    document = documents.tree(seed, () if is_regression else documents.CLASSES, attributes=strategy)
    rows = records(seed, 60, missing=0.1, extreme=0.1)

    predictions = compiled(document).evaluate(features_of(signature_of(document), rows)).predictions

    if "lastPrediction" in strategy or "LastPrediction" in strategy:
        rows, predictions = kept(rows, predictions)
    assert differences(document, rows, predictions) == []


def kept(rows, predictions: Predictions):
    """Without the records whose answer the standard leaves open: an inner node that has no number of its own."""
    fine = np.array([row for row in range(len(rows)) if row not in predictions.failures], np.intp)
    return [rows[row] for row in fine], taken(predictions, fine)


DRAWN = st.one_of(
    st.builds(documents.tree, SEEDS, st.sampled_from([documents.CLASSES, ()])),
    st.builds(documents.forest, SEEDS, trees=st.just(5)),
    st.builds(documents.linear, SEEDS, st.sampled_from(["none", "exp", "softmax"])),
    st.builds(documents.network, SEEDS),
    st.builds(documents.general_linear, SEEDS, st.sampled_from(["identity", "log"])),
)


@given(DRAWN)
@settings(max_examples=40, deadline=None)
def test_a_document_that_was_written_and_read_again_computes_the_same_bits(document):
    parsed = parse(document, LIMITS)
    schema, signature = read_schema(parsed), signature_of(document)
    normalise(parsed)
    before, graph = compile_document(parsed, schema, signature)

    after, _ = compile_document(parse(parsed.serialise(), LIMITS), schema, signature)

    rows = made_up(parsed.root, before.inputs, graph).features
    assert disagreement(rows, after.evaluate(rows).predictions, before.evaluate(rows).predictions, NOTHING) is None


@given(SEEDS, st.sampled_from(["average", "weightedAverage", "sum"]))
@settings(max_examples=30, deadline=None)
def test_a_forest_of_numbers_does_what_the_standard_says(seed, method):
    document = documents.forest(seed, (), trees=7, method=method)
    rows = records(seed, 60, extreme=0.1)

    predictions = compiled(document).evaluate(features_of(signature_of(document), rows)).predictions

    assert differences(document, rows, predictions) == []


@given(SEEDS, st.sampled_from(["average", "weightedAverage", "majorityVote", "weightedMajorityVote"]))
@settings(max_examples=30, deadline=None)
def test_a_forest_of_classes_does_what_the_standard_says_or_leaves_it_to_the_engine(seed, method):
    document = documents.forest(seed, trees=7, method=method)
    rows = records(seed, 60, extreme=0.1)

    answer = compiled(document).evaluate(features_of(signature_of(document), rows))

    decided = np.setdiff1d(np.arange(60), [] if answer.undecided is None else answer.undecided)
    shares = answer.predictions.columns["probability"]
    # The standard does not say in which order to add, so it leaves open what is nearly equal.
    ties = {row for row in decided.tolist() if (shares[row] >= shares[row].max() - 1e-12).sum() > 1}
    decided = np.array([row for row in decided.tolist() if row not in ties], np.intp)
    assert differences(document, [rows[row] for row in decided], taken(answer.predictions, decided)) == []


@given(SEEDS, st.sampled_from(["none", "exp", "softmax"]))
@settings(max_examples=30, deadline=None)
def test_a_regression_does_what_the_standard_says(seed, normalisation):
    document = documents.linear(seed, normalisation)
    rows = records(seed, 60, missing=0.03)

    predictions = compiled(document).evaluate(features_of(signature_of(document), rows)).predictions

    assert differences(document, rows, predictions) == []


@given(SEEDS, st.sampled_from([("softmax", documents.CLASSES), ("logit", ("no", "yes"))]))
@settings(max_examples=30, deadline=None)
def test_a_regression_of_classes_does_what_the_standard_says(seed, kind):
    normalisation, classes = kind
    document = documents.logistic(seed, normalisation, classes)
    rows = records(seed, 60, missing=0.03)

    answer = compiled(document).evaluate(features_of(signature_of(document), rows))

    assert answer.undecided is None
    assert differences(document, rows, answer.predictions) == []


@given(SEEDS, st.sampled_from(["logistic", "tanh", "rectifier", "Elliott"]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_network_does_what_the_standard_says(seed, activation, is_regression):
    document = documents.network(seed, activation, () if is_regression else documents.CLASSES)
    rows = records(seed, 40, missing=0.03)

    answer = compiled(document).evaluate(features_of(signature_of(document), rows))

    assert answer.undecided is None
    assert differences(document, rows, answer.predictions) == []


@given(SEEDS, st.sampled_from(["identity", "log", "logit"]))
@settings(max_examples=20, deadline=None)
def test_a_general_regression_does_what_the_standard_says(seed, link):
    document = documents.general_linear(seed, link)
    rows = [row for row in records(seed, 60) if row["colour"] != "rosé"]

    predictions = compiled(document).evaluate(features_of(signature_of(document), rows)).predictions

    assert differences(document, rows, predictions) == []


FAMILIES = {
    "tree": documents.tree(3),
    "regression tree": documents.tree(3, ()),
    "forest": documents.forest(3, trees=9),
    "forest of numbers": documents.forest(3, (), trees=9),
    "linear": documents.linear(3),
    "plain linear": documents.plain_linear(3),
    "logistic": documents.logistic(3),
    "network": documents.network(3),
    "general": documents.general_linear(3, "log"),
}


@pytest.mark.parametrize("family", FAMILIES)
@given(SEEDS, st.integers(1, 70))
@settings(max_examples=15, deadline=None)
def test_a_record_gets_the_same_answer_in_any_batch(family, seed, size):
    document = FAMILIES[family]
    evaluator = compiled(document)
    batch = features_of(signature_of(document), records(1, 300, missing=0.05, extreme=0.05))
    rows = np.array([Random(seed).randrange(300) for _ in range(size)], np.intp)

    whole, part = evaluator.evaluate(batch), evaluator.evaluate(batch.take(rows))

    expected = taken(whole.predictions, rows)
    assert part.predictions.failures == expected.failures
    for name, column in part.predictions.columns.items():
        wanted = expected.columns[name]
        if isinstance(column, TextColumn):
            assert column.codes.tolist() == wanted.codes.tolist()
        else:
            assert column.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_batch_has_an_empty_answer(family):
    document = FAMILIES[family]

    answer = compiled(document).evaluate(features_of(signature_of(document), []))

    assert answer.undecided is None
    assert not answer.predictions.failures


@given(st.integers(1, 40), st.lists(st.integers(1, 9), min_size=1, max_size=2), SEEDS)
@settings(max_examples=60, deadline=None)
def test_sums_are_taken_term_by_term_whatever_their_shape(terms, shape, seed):
    source = np.random.default_rng(seed)
    values = source.normal(size=(terms, *shape)) * 10.0 ** source.integers(-9, 9, (terms, *shape))

    total = values[0].copy()
    for term in values[1:]:
        total = total + term

    assert sum_in_order(values).tobytes() == total.tobytes()


@given(SEEDS, st.lists(st.integers(0, 19), unique=True))
@settings(max_examples=40, deadline=None)
def test_what_is_taken_out_and_put_back_is_as_it_was(seed, chosen):
    document = FAMILIES["tree"]
    answer = compiled(document).evaluate(features_of(signature_of(document), records(seed, 20, missing=0.1)))
    rows = np.array(chosen, np.intp)

    again = joined(answer.predictions, rows, taken(answer.predictions, rows))

    assert again.failures == answer.predictions.failures
    assert again.columns["probability"].tobytes() == answer.predictions.columns["probability"].tobytes()
    assert again.columns["predicted_y"].codes.tolist() == answer.predictions.columns["predicted_y"].codes.tolist()


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_made_up_records_reach_every_leaf_of_a_tree_and_stand_on_every_edge(seed):
    document = documents.tree(seed, depth=5)
    parsed = parse(document, LIMITS)
    schema = read_schema(parsed)
    normalise(parsed)
    evaluator, graph = compile_document(parsed, schema, signature_of(document))

    rows = made_up(parsed.root, evaluator.inputs, graph).features

    reached = set(evaluator.tree.leaves(rows.matrix).tolist())  # type: ignore[attr-defined]
    possible = set()
    pending = [(root, {}) for root in graph.roots]
    while pending:
        place, bounds = pending.pop()
        if place < 0:
            possible.add(-place - 1)
            continue
        column, edge = graph.columns[place], graph.thresholds[place]
        low, high = bounds.get(column, (-np.inf, np.inf))
        assert (rows.matrix[:, column] == edge).any()
        assert (rows.matrix[:, column] == np.nextafter(edge, np.inf)).any()
        if low < edge:
            pending.append((graph.ways[place][1], {**bounds, column: (low, min(high, edge))}))
        if edge < high:
            pending.append((graph.ways[place][0], {**bounds, column: (max(low, edge), high)}))
    assert possible <= reached


def test_made_up_records_are_the_same_for_the_same_document():
    def made(document: bytes) -> Features:
        parsed = parse(document, LIMITS)
        schema = read_schema(parsed)
        evaluator, graph = compile_document(parsed, schema, signature_of(document))
        return made_up(parsed.root, evaluator.inputs, graph).features

    first, second = made(FAMILIES["linear"]), made(FAMILIES["linear"])

    assert first.matrix.tobytes() == second.matrix.tobytes()
    assert first.texts[0].codes.tolist() == second.texts[0].codes.tolist()


@pytest.mark.parametrize(
    ("family", "pattern", "replacement"),
    [
        ("tree", "<TreeModel ", '<TreeModel x-mathContext="float" '),
        ("tree", "<Node ", '<Node x-new="1" '),
        ("tree", "</MiningSchema>", "</MiningSchema><LocalTransformations/>"),
        (
            "tree",
            'functionName="classification"',
            'functionName="classification" missingValueStrategy="aggregateNodes"',
        ),
        ("linear", "</MiningSchema>", '</MiningSchema><Targets><Target field="y" max="1"/></Targets>'),
        ("linear", 'name="x0" optype="continuous"', 'name="x0" optype="ordinal"'),
        ("linear", "<DataDictionary>", "<TransformationDictionary/><DataDictionary>"),
        ("network", '<NeuralLayer activationFunction="logistic"', '<NeuralLayer activationFunction="radialBasis"'),
        ("forest", "<Segment ", '<Segment x="1" '),
        ("forest", "<True/><TreeModel", "<False/><TreeModel"),
        ("forest", 'multipleModelMethod="average"', 'multipleModelMethod="median"'),
        (
            "forest",
            'multipleModelMethod="average"',
            'multipleModelMethod="average" missingPredictionTreatment="skipSegment"',
        ),
        ("logistic", 'normalizationMethod="softmax"', 'normalizationMethod="probit"'),
        ("general", 'linkFunction="log"', 'linkFunction="cloglog"'),
        ("general", 'linkFunction="log"', 'linkFunction="log" offsetVariable="x0"'),
        ("plain linear", 'coefficient="', 'coefficient="NaN" name2="'),
    ],
)
def test_a_document_with_anything_unknown_is_left_to_the_engine(family, pattern, replacement):
    source = FAMILIES[family].decode()
    assert pattern in source
    compiled(source.encode())

    with pytest.raises(NotFastError) as caught:
        compiled(source.replace(pattern, replacement, 1).encode())

    assert re.search(r"\w", str(caught.value))
