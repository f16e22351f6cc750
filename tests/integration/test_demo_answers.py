"""The worker's engines say of the demo's models what the references say, on every row that is kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from serving.core.columns import Features, Predictions, TextColumn
from serving.core.errors import DamagedModelError
from serving.scorers.base import Artifact
from serving.scorers.registry import EngineRegistry
from sluice.demo.make_models import EXPECTED_ROWS
from sluice.demo.records import read_wines
from sluice.demo.wine import ARTIFACTS, FEATURES, QUALITIES

CLASSIFIERS = ("wine_tree", "wine_forest", "wine_network")
REGRESSIONS = ("wine_tree_regression", "wine_linear")


@pytest.fixture(scope="module")
def engines() -> Iterator[EngineRegistry]:
    registry = EngineRegistry()
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(ARTIFACTS / "expected.npz") as archive:
        return dict(archive)


def predictions(engines: EngineRegistry, model_type: str, file: str) -> Predictions:
    scorer = engines.engine_for(model_type).load(Artifact((ARTIFACTS / file).read_bytes()))
    try:
        names = [slot.name for slot in scorer.signature.slots]
        matrix = read_wines().matrix[:EXPECTED_ROWS]
        order = list(range(len(FEATURES))) if names[0] is None else [FEATURES.index(str(name)) for name in names]
        found = scorer.score(Features(np.ascontiguousarray(matrix[:, order])))
    finally:
        scorer.close()
    assert dict(found.failures) == {}
    return found


def words(column: object) -> list[str]:
    assert isinstance(column, TextColumn)
    return [column.values[code] for code in column.codes]


def test_the_frozen_graph_scores_as_tensorflow_does(engines: EngineRegistry, expected: dict[str, np.ndarray]) -> None:
    found = predictions(engines, "TENSORFLOW", "wine_frozen.pb").columns["scores"]

    assert np.allclose(np.asarray(found), expected["wine_frozen"], rtol=1e-5, atol=1e-6)


def test_the_saved_model_scores_as_tensorflow_does(engines: EngineRegistry, expected: dict[str, np.ndarray]) -> None:
    found = predictions(engines, "TENSORFLOWSAVED", "wine_saved_model.zip").columns["quality"]

    assert np.allclose(np.asarray(found), expected["wine_saved_model"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_scores_as_scikit_learn_does(
    name: str, engines: EngineRegistry, expected: dict[str, np.ndarray]
) -> None:
    columns = predictions(engines, "PMML", f"{name}.pmml").columns

    shares = np.asarray(columns["probability"])
    assert shares.shape == (EXPECTED_ROWS, len(QUALITIES))
    assert np.abs(shares - expected[f"{name}.scores"]).max() < 1e-12
    assert words(columns["predicted_quality"]) == [str(label) for label in expected[name]]


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_regression_scores_as_scikit_learn_does(
    name: str, engines: EngineRegistry, expected: dict[str, np.ndarray]
) -> None:
    found = predictions(engines, "PMML", f"{name}.pmml").columns["predicted_quality"]

    assert np.abs(np.asarray(found) - expected[name]).max() < 1e-12


def test_the_clustering_finds_the_clusters_that_scikit_learn_finds(
    engines: EngineRegistry, expected: dict[str, np.ndarray]
) -> None:
    found = predictions(engines, "PMML", "wine_kmeans.pmml").columns["cluster"]

    assert [int(word) for word in words(found)] == expected["wine_kmeans"].tolist()


def test_the_damaged_document_is_refused_as_damaged(engines: EngineRegistry) -> None:
    with pytest.raises(DamagedModelError):
        predictions(engines, "PMML", "wine_damaged.pmml")
