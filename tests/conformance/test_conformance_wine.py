"""Models and records that nobody here wrote: every engine says of every row what the reference says.

Runs over the folder that `SLUICE_CORPUS` names, and is skipped without it: the files are public, but not ours to keep.
Expected there, under `wine/`: frozen graphs (`*.pb`), versions of a SavedModel (`saved/<n>/`), PMML documents (`*.pmml`)
and records (`*.csv` without a header, eleven measurements and the quality, separated by semicolons). The expected values
are computed here and now: TensorFlow's by its Python API, PMML's by the oracle that was written from the standard.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serving.core.columns import Features
from serving.scorers.base import Artifact
from serving.scorers.registry import EngineRegistry
from tests.oracle.pmml_records import differences, features_of

VARIABLE = "SLUICE_CORPUS"
MEASUREMENTS = (
    "fixed acidity",
    "volatile acidity",
    "citric acid",
    "residual sugar",
    "chlorides",
    "free sulfur dioxide",
    "total sulfur dioxide",
    "density",
    "pH",
    "sulphates",
    "alcohol",
)
WINE = Path(os.environ.get(VARIABLE, "")) / "wine"

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ,
    reason=f"{VARIABLE} is not set: NO MODEL OF OTHERS WAS CHECKED. Set it to a folder with `wine/` to check them",
)


def found(pattern: str) -> list[Path]:
    return sorted(WINE.glob(pattern)) if VARIABLE in os.environ else []


def tensorflow_models() -> dict[str, Path]:
    return {str(path.relative_to(WINE)): path for path in (*found("*.pb"), *found("saved/*/"))}


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    (table,) = found("*.csv")
    rows = np.loadtxt(table, delimiter=";", ndmin=2)
    assert rows.shape[1] == len(MEASUREMENTS) + 1
    return np.ascontiguousarray(rows[:, : len(MEASUREMENTS)])


@pytest.fixture(scope="module")
def engines() -> Iterator[EngineRegistry]:
    registry = EngineRegistry()
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def tensorflow_says(matrix: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("reference")
    np.save(folder / "matrix.npy", matrix)
    script = Path(__file__).with_name("tensorflow_reference.py")
    models = [f"{name}={path}" for name, path in tensorflow_models().items()]
    done = subprocess.run(
        [sys.executable, str(script), str(folder / "matrix.npy"), str(folder / "expected.npz"), *models],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(folder / "expected.npz") as archive:
        return dict(archive)


def test_the_corpus_has_models_of_every_type() -> None:
    assert found("*.pb")
    assert found("saved/*/")
    assert found("*.pmml")


@pytest.mark.parametrize("name", tensorflow_models())
def test_tensorflow_models_say_what_tensorflows_own_api_says(
    name: str, matrix: np.ndarray, engines: EngineRegistry, tensorflow_says: dict[str, np.ndarray]
) -> None:
    path = tensorflow_models()[name]
    if path.is_dir():
        scorer = engines.engine_for("TENSORFLOWSAVED").load(Artifact(b"", directory=path))
    else:
        scorer = engines.engine_for("TENSORFLOW").load(Artifact(path.read_bytes()))
    expected = {
        key.removeprefix(f"{name}/"): values for key, values in tensorflow_says.items() if key.startswith(f"{name}/")
    }

    try:
        predictions = scorer.score(Features(matrix))
    finally:
        scorer.close()

    assert dict(predictions.failures) == {}
    assert sorted(predictions.columns) == sorted(expected)
    for output, values in expected.items():
        column = np.asarray(predictions.columns[output])
        assert column.shape == values.shape
        assert np.allclose(column, values, rtol=1e-6, atol=1e-7), f"{output}: {np.abs(column - values).max()}"
        assert np.array_equal(column.argmax(axis=-1), values.argmax(axis=-1))


@pytest.mark.parametrize("document", found("*.pmml"), ids=lambda path: path.name)
def test_pmml_documents_say_what_the_standard_says(document: Path, matrix: np.ndarray, engines: EngineRegistry) -> None:
    text = document.read_bytes()
    rows = [dict(zip(MEASUREMENTS, map(float, row), strict=True)) for row in matrix]
    scorer = engines.engine_for("PMML").load(Artifact(text))

    try:
        predictions = scorer.score(features_of(scorer.signature, rows))
    finally:
        scorer.close()

    assert dict(predictions.failures) == {}
    assert differences(text, rows, predictions) == []
