"""The demo's models: the committed documents are what the script writes, and they say what the estimators compute."""

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sluice.demo.make_models import (
    EXPECTED_ROWS,
    descriptor_set,
    deterministic_files,
    fit_estimators,
    reference_predictions,
)
from sluice.demo.pmml_writer import NAMESPACE, _threshold_of_doubles, to_pmml
from sluice.demo.wine import ARTIFACTS, DESCRIPTOR_SET, FEATURES, QUALITIES, make_wines

TREES = ("wine_tree", "wine_tree_regression")


@pytest.fixture(scope="module")
def wines():
    return make_wines()


@pytest.fixture(scope="module")
def estimators(wines):
    return fit_estimators(wines)


@pytest.fixture(scope="module")
def expected():
    with np.load(ARTIFACTS / "expected.npz", allow_pickle=False) as archive:
        return dict(archive)


def test_the_committed_files_are_what_the_script_writes(wines, estimators):
    stale = [
        name
        for name, content in deterministic_files(wines, estimators).items()
        # The network is trained by thousands of steps, each of which may differ in the last digit on another processor.
        if name != "wine_network.pmml" and (ARTIFACTS / name).read_bytes() != content
    ]

    assert stale == []
    assert DESCRIPTOR_SET.read_bytes() == descriptor_set()


def test_the_committed_network_has_the_parameters_that_the_script_trains(wines, estimators):
    number = re.compile(rb'(?:weight|bias|orig)="([^"]+)"')

    def parameters(document):
        return np.array([float(value) for value in number.findall(document)])

    committed = parameters((ARTIFACTS / "wine_network.pmml").read_bytes())
    trained = parameters(deterministic_files(wines, estimators)["wine_network.pmml"])
    assert np.allclose(committed, trained, rtol=1e-3, atol=1e-3)


def test_the_committed_predictions_are_those_of_the_estimators(wines, estimators, expected):
    for name, values in reference_predictions(estimators, wines).items():
        assert np.allclose(values, expected[name], rtol=1e-3, atol=1e-3), name


def test_the_references_predict_for_a_few_hundred_rows_of_every_model(expected):
    models = {name for name in expected if not name.endswith(".scores")}

    assert models == {
        *(path.stem for path in ARTIFACTS.glob("wine_*.pmml") if path.stem != "wine_damaged"),
        "wine_frozen",
        "wine_saved_model",
    }
    assert {len(values) for values in expected.values()} == {EXPECTED_ROWS}


def test_each_reference_probability_row_sums_to_one(expected):
    for name in ("wine_frozen", "wine_tree.scores", "wine_forest.scores", "wine_network.scores"):
        assert expected[name].shape == (EXPECTED_ROWS, len(QUALITIES))
        assert np.allclose(expected[name].sum(axis=1), 1.0, atol=1e-6), name


@pytest.mark.parametrize("name", TREES)
def test_a_tree_document_walked_by_hand_says_what_the_reference_says(name, wines, expected):
    root = ET.parse(ARTIFACTS / f"{name}.pmml").getroot().find(f"{{{NAMESPACE}}}TreeModel/{{{NAMESPACE}}}Node")

    scores = [
        float(_walk(root, dict(zip(FEATURES, row, strict=True))).get("score")) for row in wines.matrix[:EXPECTED_ROWS]
    ]

    assert np.array_equal(scores, expected[name])


def test_a_forest_document_averages_to_what_the_reference_says(wines, expected):
    document = ET.parse(ARTIFACTS / "wine_forest.pmml").getroot()
    roots = document.findall(f".//{{{NAMESPACE}}}TreeModel/{{{NAMESPACE}}}Node")
    rows = [dict(zip(FEATURES, row, strict=True)) for row in wines.matrix[:EXPECTED_ROWS]]

    scores = np.mean([[_shares(_walk(root, row)) for row in rows] for root in roots], axis=0)

    assert len(roots) == 10
    assert np.abs(scores - expected["wine_forest.scores"]).max() < 1e-12


def test_the_linear_document_says_what_the_reference_says(wines, expected):
    table = next(ET.parse(ARTIFACTS / "wine_linear.pmml").getroot().iter(f"{{{NAMESPACE}}}RegressionTable"))
    coefficients = [float(predictor.get("coefficient")) for predictor in table]

    values = wines.matrix[:EXPECTED_ROWS] @ coefficients + float(table.get("intercept"))

    assert np.abs(values - expected["wine_linear"]).max() < 1e-12


def test_the_clustering_document_says_what_the_reference_says(wines, expected):
    document = ET.parse(ARTIFACTS / "wine_kmeans.pmml").getroot()
    weights = [float(field.get("fieldWeight")) for field in document.iter(f"{{{NAMESPACE}}}ClusteringField")]
    centres = np.array([[float(v) for v in array.text.split()] for array in document.iter(f"{{{NAMESPACE}}}Array")])

    distances = (((wines.matrix[:EXPECTED_ROWS, None, :] - centres) ** 2) * weights).sum(axis=2)

    assert np.array_equal(distances.argmin(axis=1), expected["wine_kmeans"])


def test_the_damaged_document_is_a_tree_that_stops_in_the_middle():
    damaged = (ARTIFACTS / "wine_damaged.pmml").read_bytes()

    assert (ARTIFACTS / "wine_tree.pmml").read_bytes().startswith(damaged)
    with pytest.raises(ET.ParseError):
        ET.fromstring(damaged)


def test_an_estimator_without_a_pmml_form_is_refused_by_name():
    with pytest.raises(TypeError, match="SVC"):
        to_pmml(SVC(), FEATURES, "quality", "A support vector machine.")


@settings(deadline=None)
@given(
    threshold=st.floats(-1e6, 1e6),
    value=st.floats(-1e6, 1e6),
    steps=st.integers(-3, 3),
    near=st.booleans(),
)
def test_a_written_threshold_sends_every_double_where_scikit_learn_does(threshold, value, steps, near):
    if near:  # The doubles around the midpoint of two floats are where a wrong rule would show.
        below = np.float32(threshold)
        middle = (float(below) + float(np.nextafter(below, np.float32(math.inf)))) / 2
        value = middle
        for _ in range(abs(steps)):
            value = math.nextafter(value, math.copysign(math.inf, steps))

    assert (value <= _threshold_of_doubles(threshold)) == (float(np.float32(value)) <= threshold)


def test_a_tree_fitted_on_values_with_few_digits_keeps_its_branches_in_the_document():
    values = np.array([[0.57], [0.58], [0.58], [0.59]] * 5)
    tree = DecisionTreeClassifier(random_state=0).fit(values, ["a", "b", "b", "a"] * 5)
    root = ET.fromstring(to_pmml(tree, ["x"], "y", "A tree.")).find(f"{{{NAMESPACE}}}TreeModel/{{{NAMESPACE}}}Node")

    assert [_walk(root, {"x": row[0]}).get("score") for row in values] == tree.predict(values).tolist()


def _walk(node, row):
    while children := node.findall(f"{{{NAMESPACE}}}Node"):
        node = next(child for child in children if _holds(child.find(f"{{{NAMESPACE}}}SimplePredicate"), row))
    return node


def _holds(predicate, row):
    value, threshold = row[predicate.get("field")], float(predicate.get("value"))
    return value <= threshold if predicate.get("operator") == "lessOrEqual" else value > threshold


def _shares(node):
    counts = np.array([float(d.get("recordCount")) for d in node.findall(f"{{{NAMESPACE}}}ScoreDistribution")])
    return counts / counts.sum()
