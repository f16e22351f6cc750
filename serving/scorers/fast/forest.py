"""Trees over the columns of a batch: all of them at once, one level of tests after another.

Where a record stands in a tree is the number of a test, four times over: the tables are laid out in fours, so that the way
out (0 false, 1 true, 2 missing) is added to it and no multiplication is needed. A leaf is a test of its own that leads to
itself, so records that are done early wait where they are. A handful of records is walked in plain Python instead, which
is several times quicker than numpy's calls; both find the same leaf, because all they do is to compare.

What the trees of a forest give is added up tree by tree, in the order of the document, and divided at the end, which is
what the engine does: sums agree to the last bit, and a record's answer does not depend on the batch that it is in.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.scorers.fast.sums import sum_in_order
from serving.scorers.fast.trees import Graph

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

_STRIDE: Final = 4
_MOST_WALKS: Final = 64
"""Records times trees up to which walking is quicker."""
_MOST_STANDS: Final = 16_384
"""Records times trees that are looked at together: what stays in the processor's second cache."""


class Forest:
    """Finds leaves. Thread-safe.

    Args:
        graph: One or more trees.
    """

    def __init__(self, graph: Graph) -> None:
        tests, leaves = len(graph.columns), len(graph.leaves)
        columns = np.zeros(tests + leaves, np.intp)
        columns[:tests] = graph.columns
        thresholds = np.full(tests + leaves, np.inf)
        thresholds[:tests] = graph.thresholds
        ways = np.zeros((tests + leaves, _STRIDE), np.intp)
        for test, exits in enumerate(graph.ways):
            ways[test, :3] = [way if way >= 0 else tests - way - 1 for way in exits]
        ways[tests:] = np.arange(tests, tests + leaves)[:, None]
        self._columns = np.repeat(columns, _STRIDE)
        self._thresholds = np.repeat(thresholds, _STRIDE)
        self._ways = (ways * _STRIDE).ravel()
        self._roots = np.array([root if root >= 0 else tests - root - 1 for root in graph.roots], np.intp) * _STRIDE
        self._first_leaf = tests * _STRIDE
        self._depth = graph.depth
        self._tests = list(zip(graph.columns, graph.thresholds, graph.ways, strict=True))
        self._root_places = list(graph.roots)

    @property
    def trees(self) -> int:
        """How many."""
        return len(self._roots)

    def leaves(self, matrix: Numbers) -> Places:
        """The leaf of each record in each tree: (trees, n), indexes into `Graph.leaves`."""
        rows, trees = len(matrix), len(self._roots)
        if rows * trees <= _MOST_WALKS:
            return self._walk(matrix)
        step = max(1, _MOST_STANDS // trees)
        if rows <= step:
            return self._descend(matrix)
        found = np.empty((trees, rows), np.intp)
        for start in range(0, rows, step):
            found[:, start : start + step] = self._descend(matrix[start : start + step])
        return found

    def _descend(self, matrix: Numbers) -> Places:
        rows, width = matrix.shape
        trees = len(self._roots)
        cells = matrix.ravel()
        stand = np.repeat(self._roots, rows)
        starts = np.arange(0, rows * width, width, dtype=np.intp)
        if trees > 1:
            starts = np.tile(starts, trees)
        has_missing = bool(np.isnan(matrix).any())
        at, cell = np.empty_like(stand), np.empty(len(stand))
        threshold, is_true = np.empty(len(stand)), np.empty(len(stand), np.bool_)
        for _ in range(self._depth):
            # `clip` never clips here: it only spares numpy a copy for the case of an error.
            self._columns.take(stand, out=at, mode="clip")
            np.add(at, starts, out=at)
            cells.take(at, out=cell, mode="clip")
            self._thresholds.take(stand, out=threshold, mode="clip")
            np.less_equal(cell, threshold, out=is_true)
            np.add(stand, is_true, out=stand)
            if has_missing:
                stand += np.isnan(cell) * np.intp(2)
            stand = self._ways.take(stand, mode="clip")
        return ((stand - self._first_leaf) >> 2).reshape(trees, rows)

    def _walk(self, matrix: Numbers) -> Places:
        tests = self._tests
        found = []
        records = matrix.tolist()
        for root in self._root_places:
            for record in records:
                place = root
                while place >= 0:
                    column, threshold, ways = tests[place]
                    value = record[column]
                    place = ways[1] if value <= threshold else ways[0] if value > threshold else ways[2]
                found.append(-place - 1)
        return np.array(found, np.intp).reshape(len(self._root_places), len(records))


class Ensemble:
    """What the leaves of a forest add up to. Thread-safe.

    Args:
        graph: The trees.
        weights: A factor for each tree; `None` for no weighing. The engine begins a weighted sum with nought and a plain one
            with its first term, which is the same but for negative noughts.
        divisor: What the sum is divided by.
        is_vote: Trees give one vote for their label instead of their values.
    """

    def __init__(self, graph: Graph, weights: list[float] | None, divisor: float, is_vote: bool) -> None:
        values = np.array([leaf.values for leaf in graph.leaves])
        if is_vote:
            labels = np.array([leaf.label for leaf in graph.leaves])
            values = np.eye(values.shape[1])[labels]
            values[labels < 0] = np.nan
        self._forest = Forest(graph)
        self._values = values
        self._weights = None if weights is None else np.array(weights)[:, None, None]
        self._divisor = divisor

    @property
    def approximate(self) -> None:
        """See `Core.approximate`: never."""
        return None

    def compute(self, matrix: Numbers) -> tuple[Numbers, None]:
        """The combined values of each record: (n, width of a leaf's values). See `Core`."""
        leaves = self._forest.leaves(matrix)
        trees, rows = leaves.shape
        step = max(1, _MOST_STANDS // trees)
        if rows <= step:
            return self._combined(leaves), None
        pieces = [self._combined(leaves[:, start : start + step]) for start in range(0, rows, step)]
        return np.concatenate(pieces), None

    def _combined(self, leaves: Places) -> Numbers:
        given = self._values.take(leaves, axis=0, mode="clip")
        if self._weights is not None:
            given *= self._weights
        total = sum_in_order(given)
        if self._weights is not None:
            total += 0.0
        return total if self._divisor == 1.0 else total / self._divisor


class SingleTree:
    """What one tree's leaf gives. Thread-safe.

    Attributes:
        labels: Index of the class of each leaf, -1 for none.
        values: (leaves, width of a leaf's values).
        nodes: Index into `names` of each leaf's node, -1 for none.
        names: The ids of the nodes.
    """

    def __init__(self, graph: Graph) -> None:
        self._forest = Forest(graph)
        self.labels = np.array([leaf.label for leaf in graph.leaves], np.int64)
        self.values = np.array([leaf.values for leaf in graph.leaves])
        self.names = tuple(dict.fromkeys(leaf.node for leaf in graph.leaves if leaf.node is not None))
        places = {name: index for index, name in enumerate(self.names)}
        self.nodes = np.array([-1 if leaf.node is None else places[leaf.node] for leaf in graph.leaves], np.int64)

    def leaves(self, matrix: Numbers) -> Places:
        """The leaf of each record: (n,)."""
        found: Places = self._forest.leaves(matrix)[0]
        return found
