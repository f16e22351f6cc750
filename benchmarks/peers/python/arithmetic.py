"""The demo's linear model, regression tree and forest as plain arithmetic, made by hand for these three documents.

It is no PMML engine: it reads just what these documents hold and refuses the rest. A batch is scored by numpy: all
rows walk down all trees one level a step, and rows at a leaf stay there. A single row is scored by Python alone,
because one numpy call takes longer than the whole walk.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sluice.demo.wine import FEATURES

_NS = "{*}"
Row = Sequence[float]


@dataclass(frozen=True, slots=True)
class Linear:
    """A regression table."""

    weights: tuple[float, ...]
    intercept: float
    has_several_outputs: bool = False

    def of_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 11) to (n,)."""
        return rows @ np.array(self.weights) + self.intercept

    def of_row(self, row: Row) -> float:
        """11 numbers to one."""
        return sum(map(float.__mul__, self.weights, row), self.intercept)


@dataclass(slots=True)
class Trees:
    """One tree, or several whose leaves are averaged; nodes of all are in the same arrays.

    Attributes:
        roots: First node of each tree.
        features: Column that a node tests.
        thresholds: At most this goes left; infinite at a leaf.
        left: Next node; itself at a leaf.
        right: Same.
        leaves: What a leaf says: a number, or a share for each class.
        has_several_outputs: Leaves hold shares.
    """

    has_several_outputs: bool
    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    leaves: list[list[float]] = field(default_factory=list)
    _depth: int = 0
    _arrays: tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]] | None = None

    def add(self, root: ET.Element, classes: int) -> None:
        """One more tree."""
        self.roots.append(len(self.features))
        self._depth = max(self._depth, self._place(root, max(1, classes)))
        children = np.array([self.left, self.right], np.intp)
        self._arrays = np.array(self.features), np.array(self.thresholds), children, np.array(self.leaves)

    def of_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 11) to (n,), or to (n, classes)."""
        assert self._arrays is not None
        features, thresholds, children, leaves = self._arrays
        at = np.repeat(np.array(self.roots, np.intp)[:, None], len(rows), axis=1)
        every = np.arange(len(rows))
        for _ in range(self._depth):
            goes_right = rows[every, features[at]] > thresholds[at]
            at = children[goes_right.view(np.int8), at]
        if not self.has_several_outputs:
            return leaves[at[0], 0]
        return leaves[at].mean(axis=0)

    def of_row(self, row: Row) -> float | list[float]:
        """11 numbers to one, or to one for each class."""
        features, thresholds, left, right = self.features, self.thresholds, self.left, self.right
        reached = []
        for at in self.roots:
            while left[at] != at:
                at = left[at] if row[features[at]] <= thresholds[at] else right[at]
            reached.append(self.leaves[at])
        if not self.has_several_outputs:
            return reached[0][0]
        return [sum(shares) / len(reached) for shares in zip(*reached, strict=True)]

    def _place(self, node: ET.Element, classes: int) -> int:
        """Append a node and all below it; returns how many steps lead to the lowest."""
        at = len(self.features)
        below = node.findall(f"{_NS}Node")
        self.features.append(0)
        self.thresholds.append(np.inf)
        self.left.append(at)
        self.right.append(at)
        self.leaves.append([np.nan] * classes if below else _leaf(node))
        if not below:
            return 0
        test = below[0].find(f"{_NS}SimplePredicate")
        if len(below) != 2 or test is None or test.get("operator") != "lessOrEqual":
            raise ValueError(f"node {node.get('id')} of the tree is not a test of one field against a number")
        self.features[at], self.thresholds[at] = FEATURES.index(test.get("field", "")), float(test.get("value", ""))
        self.left[at] = len(self.features)
        depth = self._place(below[0], classes)
        self.right[at] = len(self.features)
        return 1 + max(depth, self._place(below[1], classes))


Arithmetic = Linear | Trees


def read_arithmetic(document: bytes) -> Arithmetic:
    """Of a PMML document.

    Raises:
        ValueError: It is not one of the three kinds.
    """
    root = ET.fromstring(document)
    table, tree = root.find(f"{_NS}RegressionModel/{_NS}RegressionTable"), root.find(f"{_NS}TreeModel/{_NS}Node")
    segments = root.findall(f"{_NS}MiningModel/{_NS}Segmentation[@multipleModelMethod='average']/{_NS}Segment")
    if table is not None:
        return _linear(table)
    if tree is not None:
        trees = Trees(has_several_outputs=False)
        trees.add(tree, classes=0)
        return trees
    if not segments:
        raise ValueError("the document is neither a regression table, nor a tree, nor an average of trees")
    trees = Trees(has_several_outputs=True)
    for segment in segments:
        node = segment.find(f"{_NS}TreeModel/{_NS}Node")
        if node is None:
            raise ValueError(f"segment {segment.get('id')} of the forest is not a tree")
        trees.add(node, classes=len(root.findall(f"{_NS}MiningModel/{_NS}Output/{_NS}OutputField")))
    return trees


def _linear(table: ET.Element) -> Linear:
    weights = dict.fromkeys(FEATURES, 0.0)
    for predictor in table.iterfind(f"{_NS}NumericPredictor"):
        weights[predictor.get("name", "")] = float(predictor.get("coefficient", ""))
    return Linear(tuple(weights[name] for name in FEATURES), float(table.get("intercept", "0")))


def _leaf(node: ET.Element) -> list[float]:
    counts = [float(share.get("recordCount", "")) for share in node.iterfind(f"{_NS}ScoreDistribution")]
    return [count / sum(counts) for count in counts] if counts else [float(node.get("score", ""))]
