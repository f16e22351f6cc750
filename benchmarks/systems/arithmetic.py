"""The demo's linear model and regression tree as plain numpy, for the bare loop: hand-made for these two documents."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.demo.wine import FEATURES

Predict = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_NS = "{*}"


def read_model(path: Path) -> Predict:
    """A function from (n, 11) to (n,)."""
    root = ET.parse(path).getroot()
    table = root.find(f".//{_NS}RegressionTable")
    return _tree(root.find(f".//{_NS}TreeModel/{_NS}Node")) if table is None else _linear(table)


def _linear(table: ET.Element) -> Predict:
    weights = np.zeros(len(FEATURES))
    for predictor in table.iter():
        if predictor.tag.endswith("NumericPredictor"):
            weights[FEATURES.index(predictor.get("name", ""))] = float(predictor.get("coefficient", "0"))
    intercept = float(table.get("intercept", "0"))
    return lambda rows: rows @ weights + intercept


def _tree(root: ET.Element | None) -> Predict:
    """Flat arrays; every row walks down one level a step, and rows at a leaf stay there."""
    assert root is not None
    feature, threshold, children, value = [0], [np.inf], [[0, 0]], [0.0]

    def place(node: ET.Element, at: int) -> int:
        below = node.findall(f"{_NS}Node")
        value[at] = float(node.get("score") or "nan")
        children[at] = [at, at]
        if not below:
            return 1
        test = below[0].find(f"{_NS}SimplePredicate")
        assert test is not None
        assert test.get("operator") == "lessOrEqual"
        feature[at], threshold[at] = FEATURES.index(test.get("field", "")), float(test.get("value", ""))
        depths = []
        for side, child in enumerate(below):
            for column, empty in ((feature, 0), (threshold, np.inf), (value, 0.0)):
                column.append(empty)  # type: ignore[attr-defined]
            children.append([0, 0])
            children[at][side] = len(feature) - 1
            depths.append(place(child, children[at][side]))
        return 1 + max(depths)

    depth = place(root, 0)
    features, thresholds = np.array(feature), np.array(threshold)
    successors, values = np.array(children), np.array(value)

    def predict(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        at = np.zeros(len(rows), np.intp)
        every = np.arange(len(rows))
        for _ in range(depth):
            at = successors[at, (rows[every, features[at]] > thresholds[at]).astype(np.intp)]
        return values[at]

    return predict
