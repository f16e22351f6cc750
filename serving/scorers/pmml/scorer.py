"""A PMML model as the worker sees it: columns go to the child, columns come back.

Rules for single records, all of them `failures` that cost the neighbours nothing:

* a value that the document's type cannot hold (3.5 in an integer field, 2 in a boolean one) is refused before it is sent,
  because PMML4S would cut it to fit without a word;
* a missing boolean without a replacement is refused as well: PMML4S would take it for false;
* a record for which the model gives no result, because a value is missing or is not a valid one and the model has no rule
  for that, has a null label (or number) and null probabilities. It is a failure that names the fields that are missing; no
  number is made up for it;
* a row that kills the engine or keeps it busy for too long is found among its neighbours and named.

A single null among other outputs is NaN (or code -1). Infinity goes into the model like any other number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.core.signature import Signature
from serving.core.columns import Column, Features, Predictions, TextColumn
from serving.core.errors import ScoringError
from serving.scorers.pmml.culprits import score_survivors
from serving.scorers.pmml.frames import Frame, Part
from serving.scorers.pmml.served import KilledTwiceError, RowError
from serving.scorers.pmml.signature import EngineField, OutputPlan, Schema, make_signature

_MOST_NAMED_FIELDS = 3
# A piece of a batch gets a part of the batch's time, but it may be the first one in a fresh Java machine.
_PIECE_SHARE = 0.5
_LEAST_PIECE_SECONDS = 2.0

Ask = Callable[[int, int, Sequence[Part], float], Frame]


class Served(Protocol):
    """Models that are in an engine, by number; what each method raises is said by `ServedModels`, which are the usual ones."""

    def score(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Score a batch."""

    def check(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Score a batch for which nobody waits."""

    def sample(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Score a batch that has been scored already."""

    def score_once(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Score a batch without a second try."""

    def unload(self, number: int) -> None:
        """Forget a model."""


@dataclass(slots=True)
class PmmlScorer:
    """See `Scorer`. Make it with `PmmlEngine.load`.

    Attributes:
        schema: What the document says of inputs and classes.
        edits: What was edited for PMML4S, in words.
    """

    schema: Schema
    edits: str
    _plan: OutputPlan
    _fields: tuple[EngineField, ...]
    _served: Served
    _number: int
    _score_seconds: float
    _engine: str
    _is_closed: bool = False

    @property
    def signature(self) -> Signature:
        """See `Scorer.signature`."""
        return make_signature(self.schema, self._plan)

    @property
    def engine(self) -> str:
        """See `Scorer.engine`."""
        return self._engine

    @property
    def runs_elsewhere(self) -> bool:
        """Always: the work is the child's, and `score` waits for it."""
        return True

    def score(self, features: Features) -> Predictions:
        """See `Scorer.score`."""
        return self._score(features, self._served.score)

    def try_out(self, features: Features) -> Predictions:
        """Like `score`, in the queue of the loads, so that models that serve do not wait. For checks and warm-up."""
        return self._score(features, self._served.check)

    def sample(self, features: Features) -> Predictions:
        """Like `score`, in the queue of the comparisons, for records that were answered before. May be called meanwhile."""
        return self._score(features, self._served.sample)

    def close(self) -> None:
        """See `Scorer.close`. Waits for one batch of another model at most."""
        if not self._is_closed:
            self._is_closed = True
            self._served.unload(self._number)

    def _score(self, features: Features, ask: Ask) -> Predictions:
        if self._is_closed:
            raise ScoringError("the scorer was closed")
        rows = len(features)
        if rows == 0:
            return Predictions(self._outputs([], 0))
        matrix, unfit = self._screen_values(features.matrix)
        screened = Features(matrix, features.texts)
        failures: dict[int, str] = {}
        try:
            columns = self._decode(ask(self._number, rows, _encode(screened), self._score_seconds), rows)
        except (KilledTwiceError, RowError) as error:
            if rows == 1:
                failures[0] = str(error)
                columns = self._null_columns(1)
            else:
                columns, failures = self._score_survivors(screened)
        outputs = self._outputs(columns, rows)
        for row in self._rows_without_result(outputs, rows):
            failures.setdefault(row, self._why_no_result(features, row))
        return Predictions(outputs, failures | unfit)

    def _score_survivors(self, features: Features) -> tuple[list[Column], dict[int, str]]:
        rows = len(features)
        seconds = min(self._score_seconds, max(_LEAST_PIECE_SECONDS, self._score_seconds * _PIECE_SHARE))

        def attempt(start: int, stop: int) -> list[Column]:
            piece = features.take(np.arange(start, stop))
            answer = self._served.score_once(self._number, stop - start, _encode(piece), seconds)
            return self._decode(answer, stop - start)

        search = score_survivors(rows, attempt)
        columns = self._null_columns(rows)
        for start, stop, piece in search.pieces:
            columns = [_put(whole, start, stop, part) for whole, part in zip(columns, piece, strict=True)]
        return columns, search.failures

    def _screen_values(self, matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], dict[int, str]]:
        """Make values that the fields' types cannot hold missing, and name them."""
        unfit: dict[int, str] = {}
        for column, slot in enumerate(self.schema.matrix_slots):
            field = self.schema.inputs[slot]
            if field.kind == "number":
                continue
            values = matrix[:, column]
            missing = np.isnan(values)
            if field.replacement is not None and missing.any():
                matrix = matrix.copy()
                matrix[missing, column] = field.replacement
                values, missing = matrix[:, column], np.zeros(len(matrix), np.bool_)
            if field.kind == "boolean":
                for row in np.flatnonzero(missing).tolist():
                    unfit[row] = f"the boolean field {field.name!r} is missing, which the engine cannot tell from false"
            fits = missing.copy()
            fits |= (
                (values == 0) | (values == 1)
                if field.kind == "boolean"
                else (np.abs(values) < 2**53) & (values % 1 == 0)
            )
            if not fits.all():
                matrix = matrix.copy()
                for row in np.flatnonzero(~fits).tolist():
                    unfit[row] = f"the field {field.name!r} is of type {field.kind}, and {values[row]:g} is not"
                matrix[~fits, column] = np.nan
        return matrix, unfit

    def _decode(self, answer: Frame, rows: int) -> list[Column]:
        """An answer's columns, in the order of the engine's fields. They share the answer's memory."""
        numbers = sum(field.kind == "number" for field in self._fields)
        texts = len(self._fields) - numbers
        numbers_end = numbers * rows * 8
        codes_end = numbers_end + texts * rows * 4
        doubles = iter(np.frombuffer(answer.body[:numbers_end]).reshape(numbers, rows))
        codes = iter(np.frombuffer(answer.body[numbers_end:codes_end], np.int32).reshape(texts, rows))
        dictionaries = iter(json.loads(bytes(answer.body[codes_end:])) if texts else [])
        return [
            next(doubles)
            if field.kind == "number"
            else TextColumn(next(codes).astype(np.int64), _values(next(dictionaries), self.schema.categories))
            for field in self._fields
        ]

    def _null_columns(self, rows: int) -> list[Column]:
        return [
            np.full(rows, np.nan)
            if field.kind == "number"
            else TextColumn(np.full(rows, -1, np.int64), self.schema.categories)
            for field in self._fields
        ]

    def _outputs(self, columns: Sequence[Column], rows: int) -> dict[str, Column]:
        columns = columns or self._null_columns(rows)
        outputs: dict[str, Column] = {}
        for spec, sources in zip(self._plan.outputs, self._plan.sources, strict=True):
            if spec.shape:
                vector = np.empty((rows, len(sources)))
                for position, source in enumerate(sources):
                    vector[:, position] = columns[source]  # type: ignore[assignment]  # a plan's vectors are of numbers
                outputs[spec.name] = vector
            else:
                outputs[spec.name] = columns[sources[0]]
        return outputs

    def _rows_without_result(self, outputs: dict[str, Column], rows: int) -> list[int]:
        """Rows whose main outputs are null: the predicted value and the probabilities, or else everything."""
        main = [
            name
            for name, sources in zip(outputs, self._plan.sources, strict=True)
            if self._fields[sources[0]].feature in ("predictedValue", "probability")
        ]
        empty = np.ones(rows, np.bool_)
        for name in main or outputs:
            column = outputs[name]
            if isinstance(column, TextColumn):
                empty &= column.codes < 0
            else:
                null = np.isnan(column)
                empty &= null if null.ndim == 1 else null.all(axis=1)
            if not empty.any():
                return []
        return np.flatnonzero(empty).tolist()

    def _why_no_result(self, features: Features, row: int) -> str:
        missing = []
        for column, slot in enumerate(self.schema.matrix_slots):
            if np.isnan(features.matrix[row, column]):
                missing.append(self.schema.inputs[slot].name)
        for text, slot in zip(features.texts, self.schema.text_slots, strict=True):
            if text.codes[row] < 0:
                missing.append(self.schema.inputs[slot].name)
        reason = "the model gives no result for this record"
        if missing:
            more = len(missing) - _MOST_NAMED_FIELDS
            reason += f" (missing: {', '.join(missing[:_MOST_NAMED_FIELDS])}{f' and {more} more' if more > 0 else ''})"
        return reason


def _encode(features: Features) -> list[Part]:
    matrix = np.ascontiguousarray(features.matrix, np.float64)
    parts: list[Part] = [matrix.data.cast("B")] if matrix.size else []
    if features.texts:
        parts += [np.ascontiguousarray(text.codes, np.int64).data for text in features.texts]
        parts.append(json.dumps([list(text.values) for text in features.texts]).encode())
    return parts


def _values(dictionary: list[str] | None, categories: Sequence[str]) -> Sequence[str]:
    return categories if dictionary is None else dictionary


def _put(whole: Column, start: int, stop: int, part: Column) -> Column:
    """`whole` with its rows from `start` up to `stop` replaced by `part`."""
    if isinstance(whole, TextColumn) and isinstance(part, TextColumn):
        values = list(dict.fromkeys([*whole.values, *part.values]))
        position = {value: index for index, value in enumerate(values)}
        translate = np.array([position[value] for value in part.values] + [-1], np.int64)
        codes = whole.codes.copy()
        codes[start:stop] = translate[part.codes]
        return TextColumn(codes, values)
    assert isinstance(whole, np.ndarray)
    assert isinstance(part, np.ndarray)
    whole[start:stop] = part
    return whole
