"""Records for the documents of `pmml_documents`, and the comparison of an engine's answers with the oracle's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from model_store.core.signature import Signature
from serving.core.columns import Features, Predictions, TextColumn
from tests.oracle import pmml_oracle

Row = Mapping[str, float | int | str | bool | None]


def records(seed: int, count: int, missing: float = 0.0, extreme: float = 0.0) -> list[dict[str, Any]]:
    """Random records with every field that our documents use; some values (no booleans) missing, some infinite, as asked."""
    random = Random(seed)

    def one() -> dict[str, Any]:
        row: dict[str, Any] = {f"x{k}": random.gauss(0, 1) for k in range(4)}
        row |= {
            "colour": random.choice(["red", "white", "rosé"]),
            "age": random.randint(0, 10),
            "organic": random.random() < 0.5,
        }
        for name in row:
            if random.random() < missing and name != "organic":
                row[name] = None
            elif name.startswith("x") and random.random() < extreme:
                row[name] = random.choice([math.inf, -math.inf, 1e300, -1e300, 0.0, -0.0, 5e-324])
        return row

    return [one() for _ in range(count)]


def features_of(signature: Signature, rows: Sequence[Row]) -> Features:
    """The rows as columns in the order of a signature's slots."""
    numeric = [slot.name for slot in signature.slots if not slot.is_text]
    texts = [slot.name for slot in signature.slots if slot.is_text]
    matrix = [
        [math.nan if row.get(str(name)) is None else float(row[str(name)] or 0) for name in numeric] for row in rows
    ]
    return Features(
        np.array(matrix, np.float64).reshape(len(rows), len(numeric)),
        tuple(_text_column([row.get(str(name)) for row in rows]) for name in texts),
    )


def labels(column: Any) -> list[str | None]:
    """A text column written out."""
    assert isinstance(column, TextColumn)
    return [None if code < 0 else column.values[code] for code in column.codes]


def differences(document: bytes, rows: Sequence[Row], predictions: Predictions, tolerance: float = 1e-12) -> list[str]:
    """Where the engine's answers differ from the oracle's, in words; none if they agree on every row."""
    found: list[str] = []
    expected = pmml_oracle.score(document, rows)
    nothing = {row for row in range(len(rows)) if all(_is_null(column[row]) for column in expected.values())}
    if nothing != set(predictions.failures):
        found.append(f"failures {sorted(set(predictions.failures) ^ nothing)[:5]} differ")
    for name, column in expected.items():
        actual = predictions.columns[name]
        if isinstance(actual, TextColumn):
            pairs = enumerate(zip(labels(actual), column, strict=True))
            found += [f"row {row}: {name} is {a}, not {b}" for row, (a, b) in pairs if row not in nothing and a != b]
            continue
        for row, wanted in enumerate(column):
            if row not in nothing and not np.allclose(
                actual[row], wanted, rtol=tolerance, atol=tolerance, equal_nan=True
            ):
                found.append(f"row {row}: {name} is {actual[row]}, not {wanted}")
    return found


def _text_column(cells: Sequence[Any]) -> TextColumn:
    values = list(dict.fromkeys(str(cell) for cell in cells if cell is not None))
    return TextColumn(np.array([-1 if cell is None else values.index(str(cell)) for cell in cells], np.int64), values)


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
