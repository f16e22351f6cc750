"""Records made up to find a difference between a flat model and the engine, where differences hide.

For every number that the document compares a field with: the number itself, the doubles and the single-precision numbers
next to it. For every test of a tree: a record that reaches the test, at its edge, beside it, and with the value missing.
Infinities, zeros of both signs, numbers near the ends of the range; missing values one at a time and at random; texts that
no document lists; and ordinary records within and far beyond the range of what the document mentions. Always the same for
the same document, in a mixed order, so that a comparison that is cut short has seen something of everything.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import Features, TextColumn
from serving.scorers.courtesy import STRIDE, pause
from serving.scorers.fast.inputs import Inputs
from serving.scorers.fast.trees import FALSE, TRUE, Graph

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]

_SEED: Final = 20_001
_ORDINARY: Final = 1_500
_EDGES: Final = 2_500
_TESTS: Final = 600
_WILD: Final = 500
_MISSING: Final = 700
_UNKNOWN_TEXTS: Final = ("no text of any model", "", "0")
_SPECIAL: Final = (
    *(np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 5e-324, -5e-324, 2.5, 2.0**53 + 2, 1e-300, 700.0, -700.0, np.nan),
)


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Records for a comparison.

    Attributes:
        features: In a mixed order.
        is_ordinary: Which of them are complete and within range.
    """

    features: Features
    is_ordinary: NDArray[np.bool_]


def made_up(root: Element, inputs: Inputs, graph: Graph | None) -> MadeUp:
    """Some thousands of records for a document.

    Args:
        root: Of the document.
        inputs: Of its flat model.
        graph: Its trees, if it is made of trees.
    """
    return _Maker(root, inputs, graph).make()


class _Maker:
    def __init__(self, root: Element, inputs: Inputs, graph: Graph | None) -> None:
        self._random = np.random.default_rng(_SEED)
        self._inputs = inputs
        self._graph = graph
        schema = inputs.schema
        numbers, texts = _mentioned(root)
        self._lines = []
        for column, slot in enumerate(schema.matrix_slots):
            found = numbers[schema.inputs[slot].name]
            if column in inputs.numbers:
                found = found | set(inputs.numbers[column].mentioned())
            self._lines.append(np.array(sorted(found)))
        self._is_integer = [schema.inputs[slot].kind == "integer" for slot in schema.matrix_slots]
        self._known: list[int] = []
        self._texts: list[list[str]] = []
        for slot in schema.text_slots:
            known = list(dict.fromkeys([*schema.inputs[slot].categories, *sorted(texts[schema.inputs[slot].name])]))
            known = known or ["a", "b"]
            self._known.append(len(known))
            self._texts.append(known + [text for text in _UNKNOWN_TEXTS if text not in known])

    def make(self) -> MadeUp:
        parts = [self._base(_ORDINARY), self._edges(), self._specials(), self._holes(), self._wild(), self._paths()]
        matrix = np.concatenate([numbers for numbers, _ in parts])
        codes = np.concatenate([found for _, found in parts])
        is_ordinary = np.arange(len(matrix)) < _ORDINARY
        order = self._random.permutation(len(matrix))
        texts = tuple(
            TextColumn(np.ascontiguousarray(codes[order, slot]), values) for slot, values in enumerate(self._texts)
        )
        return MadeUp(Features(np.ascontiguousarray(matrix[order]), texts), is_ordinary[order])

    def _base(self, rows: int) -> tuple[Numbers, Codes]:
        """Complete records within the range of what the document mentions, and a little beyond."""
        matrix = np.empty((rows, len(self._lines)))
        for column, lines in enumerate(self._lines):
            if len(lines):
                spread = float(np.ptp(lines)) or abs(float(lines[0])) or 1.0
                values = self._random.uniform(lines[0] - spread / 4, lines[-1] + spread / 4, rows)
            else:
                values = self._random.normal(0, 1, rows) * self._random.choice([0.1, 1.0, 10.0], rows)
            matrix[:, column] = np.round(values) if self._is_integer[column] else values
        codes = np.empty((rows, len(self._texts)), np.int64)
        for slot, known in enumerate(self._known):
            codes[:, slot] = self._random.integers(0, known, rows)
        return matrix, codes

    def _edges(self) -> tuple[Numbers, Codes]:
        columns, values = [], []
        for column, lines in enumerate(self._lines):
            for line in lines.tolist():
                near = _beside(line)
                columns += [column] * len(near)
                values += near
        chosen = self._random.permutation(len(values))[:_EDGES]
        matrix, codes = self._base(len(chosen))
        if len(chosen):
            matrix[np.arange(len(chosen)), np.array(columns)[chosen]] = np.array(values)[chosen]
        return matrix, codes

    def _specials(self) -> tuple[Numbers, Codes]:
        """Every field in turn with each special value, and each text with every text that there is, and with none."""
        width = len(self._lines)
        texts = sum(len(values) + 1 for values in self._texts)
        matrix, codes = self._base(width * len(_SPECIAL) + 3 * texts)
        matrix[np.arange(width * len(_SPECIAL)), np.repeat(np.arange(width), len(_SPECIAL))] = np.tile(_SPECIAL, width)
        row = width * len(_SPECIAL)
        for _ in range(3):
            for slot, values in enumerate(self._texts):
                for code in range(-1, len(values)):
                    codes[row, slot] = code
                    row += 1
        return matrix, codes

    def _holes(self) -> tuple[Numbers, Codes]:
        """Missing values at random, from few to all, and texts that are not known among them."""
        matrix, codes = self._base(_MISSING)
        share = self._random.choice([0.02, 0.1, 0.3, 0.7, 1.0], _MISSING)[:, None]
        matrix[self._random.random(matrix.shape) < share] = np.nan
        codes[self._random.random(codes.shape) < share] = -1
        for slot, values in enumerate(self._texts):
            unknown = self._random.random(_MISSING) < 0.1
            codes[unknown, slot] = self._random.integers(0, len(values), int(unknown.sum()))
        return matrix, codes

    def _wild(self) -> tuple[Numbers, Codes]:
        """Far beyond the range, several special values in one record."""
        matrix, codes = self._base(_WILD)
        scale = 10.0 ** self._random.uniform(-3, 8, matrix.shape)
        matrix = np.where(
            self._random.random(matrix.shape) < 0.5, self._random.normal(0, 1, matrix.shape) * scale, matrix
        )
        special = self._random.choice(_SPECIAL, matrix.shape)
        return np.where(self._random.random(matrix.shape) < 0.1, special, matrix), codes

    def _paths(self) -> tuple[Numbers, Codes]:
        """Records that reach tests of the trees: at the edge, on both sides of it, without the value."""
        tests = self._reachable()
        matrix, codes = self._base(4 * len(tests))
        width = len(self._lines)
        for number, (test, bounds) in enumerate(tests):
            if number % STRIDE == 0:
                pause()
            assert self._graph is not None
            rows = slice(4 * number, 4 * number + 4)
            for column, (low, high) in bounds.items():
                if column < width:
                    matrix[rows, column] = self._between(low, high)
            for slot in range(len(self._texts)):
                codes[rows, slot] = self._fitting(slot, bounds)
            column, edge = self._graph.columns[test], self._graph.thresholds[test]
            if column < width:
                matrix[rows, column] = (edge, np.nextafter(edge, np.inf), np.nextafter(edge, -np.inf), np.nan)
            else:
                slot = self._inputs.indicators[column - width].slot
                codes[rows, slot] = (*self._random.integers(0, len(self._texts[slot]), 3).tolist(), -1)
        return matrix, codes

    def _reachable(self) -> list[tuple[int, dict[int, tuple[float, float]]]]:
        """Tests, chosen at random, each with the bounds within which the numbers of a record that reaches it lie."""
        if self._graph is None:
            return []
        found: list[tuple[int, dict[int, tuple[float, float]]]] = []
        most = max(1, 4 * _TESTS // len(self._graph.roots))
        for root in self._graph.roots:
            pending: list[tuple[int, dict[int, tuple[float, float]]]] = [(root, {})]
            seen = 0
            while pending and seen < most:
                place, bounds = pending.pop(int(self._random.integers(0, len(pending))))
                if place < 0:
                    continue
                seen += 1
                if seen % STRIDE == 0:
                    pause()
                found.append((place, bounds))
                column, edge = self._graph.columns[place], self._graph.thresholds[place]
                low, high = bounds.get(column, (-np.inf, np.inf))
                ways = self._graph.ways[place]
                if low < edge:
                    pending.append((ways[TRUE], {**bounds, column: (low, min(high, edge))}))
                if edge < high:
                    pending.append((ways[FALSE], {**bounds, column: (max(low, edge), high)}))
        chosen = self._random.permutation(len(found))[:_TESTS]
        return [found[index] for index in chosen.tolist()]

    def _between(self, low: float, high: float) -> float:
        """A number above `low` and not above `high`."""
        if np.isinf(low) and np.isinf(high):
            return float(self._random.normal())
        if np.isinf(low):
            return high - abs(float(self._random.normal()))
        if np.isinf(high):
            return float(np.nextafter(low, np.inf)) + abs(float(self._random.normal()))
        middle = low + (high - low) * float(self._random.random())
        return middle if low < middle <= high else high

    def _fitting(self, slot: int, bounds: dict[int, tuple[float, float]]) -> int:
        """A text for which all indicators of the slot lie within their bounds; any, if there is none."""
        width = len(self._lines)
        order = self._random.permutation(len(self._texts[slot])).tolist()
        for code in order:
            text, _ = self._inputs.texts[slot].apply(self._texts[slot][code])
            if all(
                bounds[column][0] < indicator.value(text) <= bounds[column][1]
                for column, indicator in enumerate(self._inputs.indicators, width)
                if indicator.slot == slot and column in bounds
            ):
                return int(code)
        return int(order[0])


def _beside(line: float) -> list[float]:
    """A number, its neighbours, and those in single precision."""
    single = np.float32(line)
    found = {line, float(np.nextafter(line, np.inf)), float(np.nextafter(line, -np.inf)), float(single)}
    found |= {float(np.nextafter(single, np.float32(np.inf))), float(np.nextafter(single, np.float32(-np.inf)))}
    return sorted(found)


def _mentioned(root: Element) -> tuple[dict[str, set[float]], dict[str, set[str]]]:
    """Field -> the numbers, and the texts, with which the document compares it."""
    numbers: dict[str, set[float]] = defaultdict(set)
    texts: dict[str, set[str]] = defaultdict(set)

    def add(field: str | None, value: str | None) -> None:
        if field is None or value is None:
            return
        texts[field].add(value)
        try:
            number = float(value)
        except ValueError:
            return
        if np.isfinite(number):
            numbers[field].add(number)

    for count, element in enumerate(root.iter()):
        if count % STRIDE == 0:
            pause()
        match element.tag:
            case "SimplePredicate" | "NormDiscrete":
                add(element.get("field"), element.get("value"))
            case "SimpleSetPredicate":
                for part in (element.findtext("Array") or "").replace('"', " ").split():
                    add(element.get("field"), part)
            case "CategoricalPredictor":
                add(element.get("name"), element.get("value"))
            case "PPCell":
                add(element.get("predictorName"), element.get("value"))
            case "NormContinuous":
                for point in element:
                    add(element.get("field"), point.get("orig"))
            case "MiningField":
                for name in ("lowValue", "highValue", "missingValueReplacement", "invalidValueReplacement"):
                    add(element.get("name"), element.get(name))
    return numbers, texts
