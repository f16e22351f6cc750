"""A tree of a document as a graph of tests of the form `x[column] <= threshold`, each with three ways out.

Every predicate of PMML over numbers comes down to such tests: `<`, `>` and `>=` by the next double and by swapped ways
out, `equal` as two of them, a set of texts as a test of an indicator column, compound predicates by leading one test's
ways out to the next test. The third way out is taken by a missing value. What the standard says of missing values and of
children that are all false is then a matter of where the ways lead, and nothing is left to decide while records are scored.

A child's test that is settled by the test before it (`x <= 3`, then `x > 3`) is left out, so that an ordinary binary tree
has one test a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from serving.scorers.courtesy import STRIDE, pause
from serving.scorers.fast.grammar import NotFastError, number_of, only
from serving.scorers.fast.inputs import InputsBuilder

FALSE: Final = 0
TRUE: Final = 1
MISSING: Final = 2
WAYS: Final = 3

_PREDICATES: Final = ("True", "False", "SimplePredicate", "SimpleSetPredicate", "CompoundPredicate")
_MOST_TESTS: Final = 400_000
_STRATEGIES: Final = frozenset({"none", "nullPrediction", "lastPrediction", "defaultChild"})


class Known(NamedTuple):
    """What the test just before has settled: how `column` stands to `threshold`."""

    column: int = -1
    threshold: float = 0.0
    way: int = FALSE


NOTHING_KNOWN: Final = Known()

Way = Callable[[Known], int]
"""Makes the place where a way leads, given what is known when it is taken."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a tree gives at one place.

    Attributes:
        label: Index of the class, -1 for none (or a regression).
        values: The probability of each class, or the one number of a regression; NaN for none.
        node: The id of the node in the document, if the model gives it.
    """

    label: int
    values: tuple[float, ...]
    node: str | None = None


@dataclass(slots=True)
class Graph:
    """Tests and leaves of one or more trees. A place is a test (0, 1, ...) or a leaf (-1, -2, ...).

    Attributes:
        columns: Of each test.
        thresholds: Of each test.
        ways: Of each test, where `FALSE`, `TRUE` and `MISSING` lead.
        leaves: Place -1 is `leaves[0]`.
        roots: Of each tree.
        depth: Most tests on the way to a leaf.
    """

    columns: list[int]
    thresholds: list[float]
    ways: list[tuple[int, int, int]]
    leaves: list[Leaf]
    roots: list[int]
    depth: int = 0


class TreeCompiler:
    """Compiles trees into one graph.

    Args:
        inputs: Hands out the columns.
        labels: How the document spells the classes; empty for a regression.
        class_of: Spelling -> index of the class.
        keeps_nodes: Leaves are to know the ids of their nodes.
    """

    def __init__(
        self, inputs: InputsBuilder, labels: Sequence[str], class_of: Callable[[str], int], keeps_nodes: bool = False
    ) -> None:
        self.graph = Graph([], [], [], [], [])
        self._inputs = inputs
        self._width = len(labels)
        self._class_of = class_of
        self._keeps_nodes = keeps_nodes
        self._depths: dict[int, int] = {}
        self._leaves: dict[str, int] = {}

    def add(self, model: Element) -> None:
        """Add the tree of a `TreeModel`.

        Raises:
            NotFastError: It has something that is not for the fast tier.
        """
        strategy = model.get("missingValueStrategy", "none")
        if strategy not in _STRATEGIES:
            raise NotFastError(f"a tree has missingValueStrategy={strategy!r}")
        fallback = model.get("noTrueChildStrategy", "returnNullPrediction")
        if fallback not in ("returnNullPrediction", "returnLastPrediction"):
            raise NotFastError(f"a tree has noTrueChildStrategy={fallback!r}")
        only(model, "MiningSchema", "Output", "Node")
        roots = model.findall("Node")
        if len(roots) != 1 or _predicate(roots[0]).tag != "True":
            raise NotFastError("a tree has a root with a predicate other than True")
        self._strategy, self._last_counts = strategy, fallback == "returnLastPrediction"
        self._nodes: dict[int, int] = {}
        try:
            root = self._node(roots[0])
        except RecursionError:
            raise NotFastError("a tree nests too deeply") from None
        self.graph.roots.append(root)
        self.graph.depth = max(self.graph.depth, self._depth(root))

    def _node(self, node: Element) -> int:
        known = self._nodes.get(id(node))
        if known is None:
            only(node, *_PREDICATES, "Node", "ScoreDistribution")
            children = node.findall("Node")
            known = self._child(node, children, 0, False, NOTHING_KNOWN) if children else self._leaf(node)
            self._nodes[id(node)] = known
        return known

    def _child(self, node: Element, children: list[Element], index: int, is_unknown: bool, known: Known) -> int:
        """The place where the search for a true child goes on with the child `index`."""
        if index == len(children):
            return self._no_child(node, children, is_unknown)
        child = children[index]
        return self._predicate(
            _predicate(child),
            lambda _: self._node(child),
            lambda then: self._child(node, children, index + 1, is_unknown, then),
            lambda then: self._child(node, children, index + 1, True, then),
            known,
        )

    def _no_child(self, node: Element, children: list[Element], is_unknown: bool) -> int:
        if is_unknown and self._strategy == "lastPrediction":
            return self._leaf(node)
        if is_unknown and self._strategy == "defaultChild":
            wanted = [child for child in children if child.get("id") == node.get("defaultChild")]
            if len(wanted) != 1:
                raise NotFastError("a node of a tree with missingValueStrategy=defaultChild has no default child")
            return self._node(wanted[0])
        return self._leaf(node) if self._last_counts else self._nothing()

    def _leaf(self, node: Element) -> int:
        score = node.get("score")
        name = node.get("id") if self._keeps_nodes else None
        if not self._width:
            return self._place_of(Leaf(-1, (math.nan if score is None else number_of(node, "score"),), name))
        label = -1 if score is None else self._class_of(score)
        given: dict[int, Element] = {}
        for element in node.findall("ScoreDistribution"):
            given[self._class_of(element.get("value", ""))] = element
        if not given:
            return self._place_of(Leaf(label, (math.nan,) * self._width, name))
        if len(given) != self._width or len(given) != len(node.findall("ScoreDistribution")):
            raise NotFastError("a node lists some classes only, or one twice")
        if all("probability" in element.attrib for element in given.values()):
            shares = [number_of(given[index], "probability") for index in range(self._width)]
        elif any("probability" in element.attrib for element in given.values()):
            raise NotFastError("a node gives probabilities of some classes only")
        else:
            counts = [number_of(given[index], "recordCount") for index in range(self._width)]
            # Added up in the order of the document, as the engine does.
            total = sum(number_of(element, "recordCount") for element in given.values())
            if not total > 0:
                raise NotFastError("a node has no records")
            shares = [count / total for count in counts]
        return self._place_of(Leaf(label, tuple(shares), name))

    def _nothing(self) -> int:
        return self._place_of(Leaf(-1, (math.nan,) * (self._width or 1)))

    def _place_of(self, leaf: Leaf) -> int:
        key = repr(leaf)
        if key not in self._leaves:
            self.graph.leaves.append(leaf)
            self._leaves[key] = -len(self.graph.leaves)
        return self._leaves[key]

    # Predicates. Each method returns the place where the test of the predicate begins.

    def _predicate(self, element: Element, true: Way, false: Way, unknown: Way, known: Known) -> int:
        match element.tag:
            case "True":
                return true(known)
            case "False":
                return false(known)
            case "SimplePredicate":
                return self._simple(element, true, false, unknown, known)
            case "SimpleSetPredicate":
                return self._set(element, true, false, unknown, known)
        parts = [child for child in element if child.tag in _PREDICATES]
        only(element, *_PREDICATES)
        if not parts:
            raise NotFastError("a CompoundPredicate is empty")
        match element.get("booleanOperator"):
            case "and":
                return self._all(parts, 0, False, true, false, unknown, known)
            case "or":
                return self._all(parts, 0, False, false, true, unknown, known, is_or=True)
            case "surrogate":
                return self._first_known(parts, 0, true, false, unknown, known)
        raise NotFastError(f"a CompoundPredicate has booleanOperator={element.get('booleanOperator')!r}")

    def _all(
        self,
        parts: list[Element],
        index: int,
        is_unknown: bool,
        end: Way,
        cut: Way,
        unknown: Way,
        known: Known,
        is_or: bool = False,
    ) -> int:
        """`and`: all true leads to `end`, one false to `cut`. `or` is the same with true and false exchanged."""
        if index == len(parts):
            return unknown(known) if is_unknown else end(known)

        def on(then: Known) -> int:
            return self._all(parts, index + 1, is_unknown, end, cut, unknown, then, is_or)

        def doubtful(then: Known) -> int:
            return self._all(parts, index + 1, True, end, cut, unknown, then, is_or)

        true, false = (cut, on) if is_or else (on, cut)
        return self._predicate(parts[index], true, false, doubtful, known)

    def _first_known(self, parts: list[Element], index: int, true: Way, false: Way, unknown: Way, known: Known) -> int:
        if index == len(parts):
            return unknown(known)
        return self._predicate(
            parts[index],
            true,
            false,
            lambda then: self._first_known(parts, index + 1, true, false, unknown, then),
            known,
        )

    def _simple(self, element: Element, true: Way, false: Way, unknown: Way, known: Known) -> int:
        name, operator = element.get("field", ""), element.get("operator")
        if self._inputs.is_text(name):
            if operator not in ("equal", "notEqual", "isMissing", "isNotMissing"):
                raise NotFastError(f"a text is compared by {operator!r}")
            members = [element.get("value", "")] if operator in ("equal", "notEqual") else []
            if operator in ("notEqual", "isNotMissing"):
                true, false = false, true
            column = self._inputs.indicator(name, members, 0.0, 1.0, math.nan)
            if operator in ("isMissing", "isNotMissing"):
                return self._test(column, math.inf, false, false, true, known)
            return self._test(column, 0.5, true, false, unknown, known)
        column = self._inputs.number(name)
        if operator in ("isMissing", "isNotMissing"):
            if operator == "isNotMissing":
                true, false = false, true
            return self._test(column, math.inf, false, false, true, known)
        value = number_of(element, "value")
        below = float(np.nextafter(value, -math.inf))
        match operator:
            case "lessOrEqual":
                return self._test(column, value, true, false, unknown, known)
            case "greaterThan":
                return self._test(column, value, false, true, unknown, known)
            case "lessThan":
                return self._test(column, below, true, false, unknown, known)
            case "greaterOrEqual":
                return self._test(column, below, false, true, unknown, known)
            case "notEqual":
                true, false = false, true
            case "equal":
                pass
            case _:
                raise NotFastError(f"a predicate has operator={operator!r}")
        return self._test(
            column,
            value,
            lambda then: self._test(column, below, false, true, unknown, then),
            false,
            unknown,
            known,
        )

    def _set(self, element: Element, true: Way, false: Way, unknown: Way, known: Known) -> int:
        only(element, "Array")
        array = element.find("Array")
        if array is None or array.get("type") != "string":
            raise NotFastError("a SimpleSetPredicate is not over texts")
        match element.get("booleanOperator"):
            case "isIn":
                pass
            case "isNotIn":
                true, false = false, true
            case other:
                raise NotFastError(f"a SimpleSetPredicate has booleanOperator={other!r}")
        members = texts_of(array.text or "")
        column = self._inputs.indicator(element.get("field", ""), members, 0.0, 1.0, math.nan)
        return self._test(column, 0.5, true, false, unknown, known)

    def _test(self, column: int, threshold: float, true: Way, false: Way, unknown: Way, known: Known) -> int:
        if known.column == column:
            if known.way == MISSING:
                return unknown(known)
            if known.way == TRUE and known.threshold <= threshold:
                return true(known)
            if known.way == FALSE and known.threshold >= threshold:
                return false(known)
        if len(self.graph.columns) >= _MOST_TESTS:
            raise NotFastError(f"the trees have more than {_MOST_TESTS:,} tests")
        if len(self.graph.columns) % STRIDE == 0:
            pause()
        ways = (
            false(Known(column, threshold, FALSE)),
            true(Known(column, threshold, TRUE)),
            unknown(Known(column, threshold, MISSING)),
        )
        self.graph.columns.append(column)
        self.graph.thresholds.append(threshold)
        self.graph.ways.append(ways)
        return len(self.graph.columns) - 1

    def _depth(self, place: int) -> int:
        if place < 0:
            return 0
        if place not in self._depths:
            # A test is made after those to which its ways lead, so this does not go deep but for the first time.
            self._depths[place] = 1 + max(self._depth(way) for way in self.graph.ways[place])
        return self._depths[place]


def texts_of(text: str) -> list[str]:
    """The members of an array of texts: all quoted, or none.

    Raises:
        NotFastError: Neither, or with escapes.
    """
    if '"' not in text:
        return text.split()
    parts = text.split('"')
    if "\\" in text or len(parts) % 2 == 0 or any(between.strip() for between in parts[::2]):
        raise NotFastError("an array of texts is not plainly quoted")
    return parts[1::2]


def _predicate(node: Element) -> Element:
    found = [child for child in node if child.tag in _PREDICATES]
    if len(found) != 1:
        raise NotFastError("a node has not one predicate")
    return found[0]
