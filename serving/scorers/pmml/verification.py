"""Checks that a loaded model computes what its document says, before a record meets it.

Two of them. The *self-check* scores made-up complete records and looks at the answers: there is a label, no class lacks its
probability, probabilities sum to one. A model that PMML4S misreads shows itself there. The *verification rows* are those
that the document's author may have put into a `ModelVerification` element, with the answers that the author's own tool
gave; PMML4S ignores them, so they are compared here.

The made-up records are drawn where the document draws lines (thresholds, intervals, categories), with a fixed seed, so
that a document is accepted or refused the same way everywhere. Scoring them is also the model's warm-up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import Column, Features, Predictions, TextColumn
from serving.core.errors import SignatureError
from serving.scorers.pmml.document import Document
from serving.scorers.pmml.signature import Input, Schema

_SAMPLE_ROWS = 256
_PIECE_ROWS = 64
_MOST_VERIFICATION_ROWS = 1_000
# Distributions that documents give as rounded probabilities do not sum to one exactly.
_SUM_TOLERANCE = 0.01

Score = Callable[[Features], Predictions]


def self_check(score: Score, document: Document, schema: Schema) -> None:
    """Score made-up records and look at the answers.

    Raises:
        SignatureError: No record gets a result, a record gets a label and a null probability, or probabilities that do
            not sum to one.
    """
    features = sample(document, schema)
    answered = 0
    for start in range(0, _SAMPLE_ROWS, _PIECE_ROWS):
        predictions = score(features.take(np.arange(start, start + _PIECE_ROWS)))
        answered += _PIECE_ROWS - len(predictions.failures)
        if "probability" in predictions.columns:
            kept = [row for row in range(_PIECE_ROWS) if row not in predictions.failures]
            _check_probabilities(np.asarray(predictions.columns["probability"])[kept], schema)
    if not answered:
        reason = next(iter(predictions.failures.values()))
        raise SignatureError(f"self-check: none of {_SAMPLE_ROWS} complete records gets a result: {reason}")


def sample(document: Document, schema: Schema) -> Features:
    """Complete records, drawn near the values that the document mentions. The same for the same document."""
    random = np.random.default_rng(20_000)
    lines = _mentioned_values(document.root)
    numbers = [_draw_numbers(random, schema.inputs[slot], lines) for slot in schema.matrix_slots]
    matrix = np.column_stack(numbers) if numbers else np.empty((_SAMPLE_ROWS, 0))
    texts = []
    for slot in schema.text_slots:
        field = schema.inputs[slot]
        values = field.categories or tuple(dict.fromkeys(lines[field.name])) or ("a",)
        texts.append(TextColumn(random.integers(0, len(values), _SAMPLE_ROWS), values))
    return Features(np.ascontiguousarray(matrix), tuple(texts))


def check_verification_rows(score: Score, document: Document, schema: Schema) -> int:
    """Compare the answers with those that the document gives. Returns how many cells were compared.

    Raises:
        SignatureError: An answer differs by more than the document's own tolerance; row, field and both values are named.
    """
    element = document.model.find("ModelVerification")
    if element is None:
        return 0
    fields = [_VerificationField.read(field) for field in element.iter("VerificationField")]
    rows = [{cell.tag: cell.text or "" for cell in row} for row in element.iter("row")][:_MOST_VERIFICATION_ROWS]
    if not rows:
        return 0
    predictions = score(_features_of(rows, {field.name: field for field in fields}, schema))
    cells = 0
    for field in fields:
        actual = _output_of(field.name, predictions, document, schema)
        if actual is None:
            continue
        for index, row in enumerate(rows):
            if field.column in row:
                field.compare(index, row[field.column], actual, predictions.failures.get(index))
                cells += 1
    return cells


@dataclass(frozen=True, slots=True)
class _VerificationField:
    name: str
    column: str
    precision: float
    zero_threshold: float

    @classmethod
    def read(cls, element: Element) -> _VerificationField:
        name = element.get("field", "")
        column = element.get("column", name).rpartition(":")[2]
        precision, zero = element.get("precision", "1E-6"), element.get("zeroThreshold", "1E-16")
        try:
            return cls(name, column, float(precision), float(zero))
        except ValueError as error:
            raise SignatureError(f"ModelVerification: the tolerance of {name!r} is not a number") from error

    def compare(self, index: int, expected: str, actual: Column, failure: str | None) -> None:
        if failure is not None:
            raise SignatureError(
                f"ModelVerification: row {index + 1} gets no result, expected {self.name} = {expected}"
            )
        if isinstance(actual, TextColumn):
            found = actual.values[actual.codes[index]] if actual.codes[index] >= 0 else ""
            agrees = found == expected or _number(found) == _number(expected)
        else:
            found = repr(float(actual[index]))
            agrees = self._is_close(_number(expected), float(actual[index]))
        if not agrees:
            raise SignatureError(
                f"ModelVerification: row {index + 1}, field {self.name!r}: the document expects {expected}, "
                f"the engine gives {found}"
            )

    def _is_close(self, expected: float, actual: float) -> bool:
        if abs(expected) <= self.zero_threshold:
            return abs(actual) <= max(self.zero_threshold, self.precision)
        return abs(actual - expected) <= self.precision * abs(expected)


def _check_probabilities(probabilities: NDArray[np.float64], schema: Schema) -> None:
    null = np.isnan(probabilities).any(axis=0)
    if null.any():
        name = schema.categories[int(np.argmax(null))]
        raise SignatureError(f"self-check: the engine gives no probability of the class {name!r} for a complete record")
    sums = probabilities.sum(axis=1)
    worst = float(np.abs(sums - 1).max(initial=0.0))
    if not worst <= _SUM_TOLERANCE:
        raise SignatureError(
            f"self-check: the probabilities of a complete record sum to {1 + worst:.3g} or {1 - worst:.3g}"
        )


def _mentioned_values(root: Element) -> dict[str, list[str]]:
    """Field -> the values that predicates, intervals and norms compare it with."""
    lines: dict[str, list[str]] = defaultdict(list)
    for element in root.iter():
        match element.tag:
            case "SimplePredicate" if "value" in element.attrib:
                lines[element.get("field", "")].append(element.attrib["value"])
            case "SimpleSetPredicate":
                array = element.find("Array")
                if array is not None and array.text:
                    lines[element.get("field", "")] += [part.strip('"') for part in array.text.split()]
            case "NormContinuous" | "Discretize":
                for part in element.iter():
                    ends = [part.get(name) for name in ("orig", "leftMargin", "rightMargin")]
                    lines[element.get("field", "")] += [end for end in ends if end is not None]
            case "NormDiscrete" if "value" in element.attrib:
                lines[element.get("field", "")].append(element.attrib["value"])
            case "CategoricalPredictor":
                lines[element.get("name", "")].append(element.get("value", ""))
            case "PPCell":
                lines[element.get("predictorName", "")].append(element.get("value", ""))
            case "DataField":
                for interval in element.findall("Interval"):
                    ends = [interval.get(name) for name in ("leftMargin", "rightMargin")]
                    lines["\0" + element.get("name", "")] += [end for end in ends if end is not None]
    return lines


def _draw_numbers(random: np.random.Generator, field: Input, lines: dict[str, list[str]]) -> NDArray[np.float64]:
    if field.kind == "boolean":
        return random.integers(0, 2, _SAMPLE_ROWS).astype(np.float64)
    declared = _numbers(field.categories)
    if len(declared):
        return random.choice(declared, _SAMPLE_ROWS)
    mentioned = _numbers(lines.get(field.name, ()))
    if len(mentioned):
        spread = float(mentioned.std()) or abs(float(mentioned[0])) * 0.1 or 1.0
        values = random.choice(mentioned, _SAMPLE_ROWS) + random.choice([0.0, 1.0], _SAMPLE_ROWS) * random.normal(
            0, 0.1 * spread, _SAMPLE_ROWS
        )
    else:
        values = random.uniform(0, 1, _SAMPLE_ROWS)
    bounds = _numbers(lines.get("\0" + field.name, ()))
    if len(bounds):
        values = np.clip(values, bounds.min(), bounds.max())
    return np.round(values) if field.kind == "integer" else values


def _features_of(rows: list[dict[str, str]], fields: dict[str, _VerificationField], schema: Schema) -> Features:
    columns = {name: field.column for name, field in fields.items()}
    matrix = np.full((len(rows), len(schema.matrix_slots)), np.nan)
    for position, slot in enumerate(schema.matrix_slots):
        name = schema.inputs[slot].name
        truth = {"true": 1.0, "false": 0.0}
        for index, row in enumerate(rows):
            text = row.get(columns.get(name, name), "")
            matrix[index, position] = truth.get(text, _number(text))
    texts = []
    for slot in schema.text_slots:
        name = schema.inputs[slot].name
        cells = [row.get(columns.get(name, name)) for row in rows]
        values = list(dict.fromkeys(cell for cell in cells if cell is not None))
        codes = [-1 if cell is None else values.index(cell) for cell in cells]
        texts.append(TextColumn(np.array(codes, np.int64), values))
    return Features(matrix, tuple(texts))


def _output_of(name: str, predictions: Predictions, document: Document, schema: Schema) -> Column | None:
    """The column that a verification field speaks of, by the document's name for it."""
    if any(field.name == name for field in schema.inputs):
        return None
    output = document.model.find("Output")
    for field in () if output is None else output.findall("OutputField"):
        if field.get("name") == name and field.get("feature") == "probability" and "probability" in predictions.columns:
            value = field.get("value")
            if value not in schema.categories:
                return None
            return np.asarray(predictions.columns["probability"])[:, schema.categories.index(value)]
    if name == schema.target:
        return next(iter(predictions.columns.values()))
    return predictions.columns.get(name)


def _numbers(texts: tuple[str, ...] | list[str]) -> NDArray[np.float64]:
    values = np.array([_number(text) for text in texts])
    return values[np.isfinite(values)] if len(values) else values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
