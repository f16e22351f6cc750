"""Write `wine.desc` and `artifacts/`: the wine set, the models of every engine, and what the references predict.

Run `python -m sluice.demo.make_models`; it needs the development dependencies (scikit-learn, TensorFlow, grpcio-tools).
With `--check` it writes nothing and fails if a committed file that does not depend on TensorFlow's training is out of date.

Everything follows from one seed. Parameters that a numerical library fits (the regression's, the network's, the
centres) are rounded to nine digits before they are written and before the reference predicts with them, so that
machines whose arithmetic differs in the last digit write the same document.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sluice.demo.pmml_writer import to_pmml
from sluice.demo.wine import ARTIFACTS, DESCRIPTOR_SET, FEATURES, SEED, Wines, make_wines, to_csv

# Rows of the set for which the predictions of the references are kept.
EXPECTED_ROWS = 300

_DESCRIPTIONS = {
    "wine_tree": "A classification tree of wine quality.",
    "wine_tree_regression": "A regression tree of wine quality.",
    "wine_linear": "A linear regression of wine quality.",
    "wine_forest": "A random forest of ten small trees for wine quality.",
    "wine_network": "A small neural network for wine quality.",
    "wine_kmeans": "Five kinds of wine.",
}


def fit_estimators(wines: Wines) -> dict[str, Any]:
    """The six fitted scikit-learn estimators by the name of their document (untyped: scikit-learn has no types)."""
    matrix, quality = wines.matrix, wines.quality
    linear = LinearRegression().fit(matrix, quality)
    linear.coef_, linear.intercept_ = _rounded(linear.coef_), float(_rounded(linear.intercept_))
    network = make_pipeline(
        _scaler(), MLPClassifier((8,), activation="logistic", max_iter=4_000, tol=1e-4, random_state=SEED)
    ).fit(matrix, quality)
    _round_network(network[-1])
    means = make_pipeline(_scaler(), KMeans(5, n_init=3, random_state=SEED)).fit(matrix)
    means[-1].cluster_centers_ = _rounded(means[-1].cluster_centers_)
    return {
        "wine_tree": DecisionTreeClassifier(max_depth=6, min_samples_leaf=8, random_state=SEED).fit(matrix, quality),
        "wine_tree_regression": DecisionTreeRegressor(max_depth=6, min_samples_leaf=8, random_state=SEED).fit(
            matrix, quality
        ),
        "wine_linear": linear,
        "wine_forest": RandomForestClassifier(10, max_depth=6, min_samples_leaf=5, random_state=SEED).fit(
            matrix, quality
        ),
        "wine_network": network,
        "wine_kmeans": means,
    }


def documents(estimators: dict[str, Any]) -> dict[str, bytes]:
    """The PMML documents by file name, and a damaged one: a tree that stops in the middle."""
    written = {
        f"{name}.pmml": to_pmml(estimator, FEATURES, "quality", _DESCRIPTIONS[name])
        for name, estimator in estimators.items()
    }
    return written | {"wine_damaged.pmml": written["wine_tree.pmml"][: len(written["wine_tree.pmml"]) * 3 // 5]}


def reference_predictions(estimators: dict[str, Any], wines: Wines) -> dict[str, np.ndarray[Any, Any]]:
    """What scikit-learn says of the first rows: `<document>` for numbers, labels and clusters, `.scores` for probabilities."""
    rows = wines.matrix[:EXPECTED_ROWS]
    expected = {name: estimator.predict(rows) for name, estimator in estimators.items()}
    for name in ("wine_tree", "wine_forest", "wine_network"):
        expected[f"{name}.scores"] = estimators[name].predict_proba(rows)
    return expected


def deterministic_files(wines: Wines, estimators: dict[str, Any]) -> dict[str, bytes]:
    """The files of `artifacts/` that are the same wherever they are made."""
    return {"wine.csv": to_csv(wines).encode(), **documents(estimators)}


def main() -> None:
    wines = make_wines()
    estimators = fit_estimators(wines)
    files = deterministic_files(wines, estimators)
    if "--check" in sys.argv:
        stale = [name for name, content in files.items() if _committed(ARTIFACTS / name) != content]
        if _committed(DESCRIPTOR_SET) != descriptor_set():
            stale.append(DESCRIPTOR_SET.name)
        if stale:
            raise SystemExit(f"out of date, run `python -m sluice.demo.make_models`: {', '.join(stale)}")
        return

    from sluice.demo.tensorflow_models import frozen_graph, saved_model

    frozen, saved = frozen_graph(wines, SEED), saved_model(wines, SEED + 1)
    files["wine_frozen.pb"], files["wine_saved_model.zip"] = frozen.payload, saved.payload
    expected = reference_predictions(estimators, wines)
    expected["wine_frozen"] = frozen.expected[:EXPECTED_ROWS]
    expected["wine_saved_model"] = saved.expected[:EXPECTED_ROWS]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **expected)
    files["expected.npz"] = buffer.getvalue()
    DESCRIPTOR_SET.write_bytes(descriptor_set())
    ARTIFACTS.mkdir(exist_ok=True)
    for name, content in files.items():
        (ARTIFACTS / name).write_bytes(content)
        print(f"{len(content):9,d} B  {name}")


def _committed(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _scaler() -> StandardScaler:
    return _RoundedScaler()


class _RoundedScaler(StandardScaler):  # type: ignore[misc]  # scikit-learn has no types
    """A standard scaler whose parameters have nine digits."""

    mean_: Any
    scale_: Any

    def fit(self, matrix: Any, target: Any = None, sample_weight: Any = None) -> _RoundedScaler:
        super().fit(matrix, target, sample_weight)
        self.mean_, self.scale_ = _rounded(self.mean_), _rounded(self.scale_)
        return self


def _round_network(network: MLPClassifier) -> None:
    network.coefs_ = [_rounded(weights) for weights in network.coefs_]
    network.intercepts_ = [_rounded(biases) for biases in network.intercepts_]


def _rounded(values: Any) -> Any:
    return np.vectorize(lambda value: float(f"{value:.9g}"))(values)


def descriptor_set() -> bytes:
    """`wine.proto` as a descriptor set, for whoever has no generated code."""
    source = Path(__file__).parent / "wine.proto"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "wine.desc"
        # A process of its own: the compiler's symbols and TensorFlow's clash within one.
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source.parent}", f"--descriptor_set_out={target}"]
        subprocess.run([*command, source.name], check=True)
        return target.read_bytes()


if __name__ == "__main__":
    main()
