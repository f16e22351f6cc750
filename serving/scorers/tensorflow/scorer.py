"""A loaded TensorFlow model: columns in, columns out.

A batch is one run, of a heavy model several. If one fails, it is halved and halved again until the records at fault stand
alone: they become failures and the others keep their predictions. That costs two runs a level and culprit, and stops at
the time limit for a batch; what has not been told apart by then fails together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.core.signature import Signature, TensorSpec
from serving.core.columns import Column, Features, Predictions, TextColumn
from serving.core.errors import ScoringError
from serving.scorers.tensorflow.blocks import filled
from serving.scorers.tensorflow.capi import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    Array,
    Session,
    TensorFlowError,
)
from serving.scorers.tensorflow.feeds import Feed
from serving.scorers.tensorflow.pacing import Pace

_NOT_OF_A_RECORD = frozenset({CANCELLED, DEADLINE_EXCEEDED, FAILED_PRECONDITION})


@dataclass(frozen=True, slots=True)
class Fetch:
    """One output.

    Attributes:
        spec: Name, type and shape of one record.
        dtype: Of the column; object for strings.
        width: Elements a record; the column is (n,) if the shape is (), else (n, width).
    """

    spec: TensorSpec
    dtype: np.dtype[Any]
    width: int

    def column(self, array: Array) -> Array:
        """The fetched tensor as a column.

        Raises:
            ScoringError: It does not have one row a record of the shape that the model had when it was checked.
        """
        if array.shape[1:] != self.spec.shape:
            raise ScoringError(
                f"output {self.spec.name!r} came with shape {array.shape[1:]} a record instead of {self.spec.shape}"
            )
        column = array if array.dtype == self.dtype else array.astype(self.dtype)
        return (
            column.reshape(len(array), self.width)
            if self.spec.shape and not self.dtype.hasobject
            else column.reshape(len(array))
        )

    def empty(self, rows: int) -> Array:
        """A column of `rows` records that have no prediction: NaN where the type has one."""
        shape = (rows, self.width) if self.spec.shape and not self.dtype.hasobject else (rows,)
        if self.dtype.hasobject:
            return np.full(shape, None, object)
        return np.full(shape, np.nan if self.dtype.kind == "f" else 0, self.dtype)


@dataclass(slots=True)
class TensorFlowScorer:
    """See `Scorer`. It runs elsewhere if it is heavy, see `Pace`.

    A batch of more records than `pace` allows is several runs, each with the time limit for itself. A run has a multiple of
    `_block` rows, see `blocks`.
    """

    signature: Signature
    engine: str
    pace: Pace
    _session: Session
    _feeds: Sequence[Feed]
    _fetches: Sequence[Fetch]
    _options: bytes
    _score_seconds: float
    _block: int
    _names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._names = tuple(fetch.spec.name for fetch in self._fetches)

    @property
    def runs_elsewhere(self) -> bool:
        """See `Scorer.runs_elsewhere`."""
        return self.pace.is_heavy

    def score(self, features: Features) -> Predictions:
        """See `Scorer.score`.

        A row gives the same bits alone and in any batch: measured for every batch size from 1 to 2000 on a dense network, and
        for samples of sizes on wider ones, recurrent and convolutional ones. They are the bits of TensorFlow's own Python
        interface with one thread and batches of whole blocks, but for results below 1e-37, where differences as small were seen.
        """
        rows = len(features)
        failures: dict[int, str] = {}
        if rows == 0:
            return self._predictions([fetch.empty(0) for fetch in self._fetches], failures)
        inputs = [feed.array(features, failures) for feed in self._feeds]
        if not failures:
            try:
                return self._predictions(self._run(inputs, rows), failures)
            except TensorFlowError as error:
                self._raise_if_of_batch(error)
        columns = [fetch.empty(rows) for fetch in self._fetches]
        good = np.array([row for row in range(rows) if row not in failures], np.intp)
        if len(good):
            self._search(inputs, good, columns, failures, time.monotonic() + self._score_seconds)
        return self._predictions(columns, failures)

    def close(self) -> None:
        """See `Scorer.close`. Waits for a batch in flight."""
        self._session.close()

    def _run(self, inputs: Sequence[Array], rows: int) -> list[Array]:
        most = self.pace.rows
        if rows <= most:
            return self._run_once(inputs, rows)
        parts = [
            self._run_once([array[start : start + most] for array in inputs], min(most, rows - start))
            for start in range(0, rows, most)
        ]
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def _run_once(self, inputs: Sequence[Array], rows: int) -> list[Array]:
        whole = -(-rows // self._block) * self._block
        arrays = self._session.run([filled(array, whole) for array in inputs], self._options)
        for fetch, array in zip(self._fetches, arrays, strict=True):
            if array.ndim == 0 or len(array) != whole:
                raise ScoringError(f"output {fetch.spec.name!r} has shape {array.shape} for a batch of {whole} records")
        return [fetch.column(array[:rows]) for fetch, array in zip(self._fetches, arrays, strict=True)]

    def _search(
        self,
        inputs: Sequence[Array],
        rows: NDArray[np.intp],
        columns: Sequence[Array],
        failures: dict[int, str],
        deadline: float,
    ) -> None:
        """Score `rows`, halving what fails, and write the outcomes into `columns` and `failures`."""
        pending = [rows]
        while pending:
            some = pending.pop()
            try:
                arrays = self._run([np.ascontiguousarray(array[some]) for array in inputs], len(some))
            except TensorFlowError as error:
                self._raise_if_of_batch(error)
                if len(some) == 1 or time.monotonic() > deadline:
                    failures.update((int(row), first_line(error)) for row in some)
                else:
                    pending += [some[len(some) // 2 :], some[: len(some) // 2]]
            else:
                for column, array in zip(columns, arrays, strict=True):
                    column[some] = array

    def _raise_if_of_batch(self, error: TensorFlowError) -> None:
        if error.code == DEADLINE_EXCEEDED:
            raise ScoringError(f"the batch took longer than {self._score_seconds:g} s and was interrupted") from error
        if error.code in _NOT_OF_A_RECORD:
            raise ScoringError(f"the batch could not be scored: {first_line(error)}") from error

    def _predictions(self, arrays: Sequence[Array], failures: dict[int, str]) -> Predictions:
        columns: dict[str, Column] = {}
        for name, fetch, array in zip(self._names, self._fetches, arrays, strict=True):
            columns[name] = _text_column(array, failures) if fetch.dtype.hasobject else array
        return Predictions(columns, failures)


def first_line(error: TensorFlowError) -> str:
    """What went wrong, without the graph's own stack of definitions that TensorFlow appends."""
    return str(error).strip().partition("\n")[0][:500] or f"TensorFlow's error {error.code}"


def _text_column(array: Array, failures: dict[int, str]) -> TextColumn:
    index: dict[str, int] = {}
    codes = np.full(len(array), -1, np.int64)
    for row, value in enumerate(array):
        if value is None:
            continue
        try:
            codes[row] = index.setdefault(value.decode(), len(index))
        except UnicodeDecodeError:
            failures[row] = "the model answered with a string that is not UTF-8"
    return TextColumn(codes, tuple(index))
