"""Whether a flat model may score in place of the engine that loaded the same document: only if the two never differ.

They are held against one another on the rows that the document brings for its own verification and on some thousands of
made-up ones (`rows`): the same records fail, for the same reasons; labels are the same; numbers are equal. What equal means
is the *agreement* that is asked for. `exact`: every bit is the same (nought and minus nought differ, NaN is NaN), and the
model does nothing from which another bit could come on a record that was not compared: its arithmetic is what IEEE 754
prescribes, in the engine's order. `tolerant`: numbers are equal to one part in 10^12, whatever the arithmetic.
Records that the flat model leaves to the engine are not compared, but few ordinary ones may be such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from model_store.core.signature import Signature
from serving.core.columns import Column, Features, Predictions, TextColumn
from serving.core.errors import ScoringError, SignatureError
from serving.scorers.fast.compiling import compile_document
from serving.scorers.fast.grammar import NotFastError
from serving.scorers.fast.joining import joined, taken
from serving.scorers.fast.model import ClassModel, Evaluator
from serving.scorers.fast.rows import MadeUp, made_up
from serving.scorers.fast.trees import Graph
from serving.scorers.pmml.document import Document
from serving.scorers.pmml.signature import Schema
from serving.scorers.pmml.verification import check_verification_rows

Agreement = Literal["exact", "tolerant"]
"""See the module."""

TOLERANCE: Final = 1e-12
"""Of a number, relative, where the agreement is `tolerant`."""
SHARE_TOLERANCE: Final = 1e-14
"""The same of an element of a vector of probabilities, absolute: the last bits of the small ones are those of the large ones."""

_PIECE_ROWS: Final = 256
_SMALL_ROWS: Final = 3
_FEWEST_ROWS: Final = 1_000
_MOST_UNDECIDED: Final = 0.01

Score = Callable[[Features], Predictions]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The first record about which a flat model and the engine differ.

    Attributes:
        row: Its position.
        what: Which output, and both values.
        record: What the record held.
    """

    row: int
    what: str
    record: str

    def __str__(self) -> str:
        return f"{self.what} for the record {self.record}"


def admit(
    document: Document,
    schema: Schema,
    signature: Signature,
    reference: Score,
    seconds: float,
    agreement: Agreement = "exact",
) -> Evaluator:
    """Compile a document and hold it against the engine.

    Args:
        document: As the engine got it.
        schema: Of the document.
        signature: Of the reference scorer.
        reference: Scores a batch by the engine.
        seconds: Longest time for the comparison.
        agreement: What it is to find.

    Raises:
        NotFastError: The document is not for the fast tier, or the two differ, or could not be compared in time.
    """
    deadline = monotonic() + seconds
    evaluator, graph = flat_model(document, schema, signature, agreement)
    try:
        if isinstance(evaluator, ClassModel):
            evaluator = _taught(evaluator, reference)
        rows = made_up(document.root, evaluator.inputs, graph)
        hold_against(evaluator, reference, rows, deadline, agreement)
        final = evaluator
        check_verification_rows(lambda features: _resolved(final, reference, features), document, schema)
    except SignatureError as error:
        raise NotFastError(f"it fails the document's own rows: {error}") from error
    except ScoringError as error:
        raise NotFastError(f"the engine failed during the comparison: {error}") from error
    return evaluator


def flat_model(
    document: Document, schema: Schema, signature: Signature, agreement: Agreement
) -> tuple[Evaluator, Graph | None]:
    """Compile a document.

    Raises:
        NotFastError: It is not for the fast tier, or what it does cannot agree so well.
    """
    evaluator, graph = compile_document(document, schema, signature)
    if agreement == "exact" and evaluator.approximate is not None:
        raise NotFastError(f"{evaluator.approximate} may differ from the engine's in the last bits")
    return evaluator, graph


def hold_against(
    evaluator: Evaluator, reference: Score, rows: MadeUp, deadline: float, agreement: Agreement = "exact"
) -> int:
    """Compare on made-up rows, in pieces, until `deadline` of `time.monotonic`. Returns how many were compared.

    Raises:
        NotFastError: They differ, time was too short, or too many ordinary records are left to the engine.
        ScoringError: The engine failed.
    """
    total, compared, open_rows, ordinary = len(rows.features), 0, 0, 0
    for start in range(0, total, _PIECE_ROWS):
        if monotonic() > deadline and compared < total:
            if compared < _FEWEST_ROWS:
                raise NotFastError(f"only {compared} records could be compared with the engine in time")
            break
        piece = rows.features.take(np.arange(start, min(start + _PIECE_ROWS, total)))
        given = reference(piece)
        undecided = _compare_piece(evaluator, piece, given, agreement)
        is_ordinary = rows.is_ordinary[start : start + _PIECE_ROWS]
        ordinary += int(is_ordinary.sum())
        open_rows += int(is_ordinary[undecided].sum())
        compared += len(piece)
    if open_rows > _MOST_UNDECIDED * ordinary:
        raise NotFastError(f"{open_rows} of {ordinary} ordinary records have classes of equal probability")
    return compared


def _compare_piece(evaluator: Evaluator, piece: Features, given: Predictions, agreement: Agreement) -> NDArray[np.intp]:
    """Compare whole, and a few rows by themselves, which are computed in another way."""
    answer = evaluator.evaluate(piece)
    undecided = np.empty(0, np.intp) if answer.undecided is None else answer.undecided
    found = disagreement(piece, answer.predictions, given, undecided, agreement)
    for start in range(0, min(len(piece), 4 * _SMALL_ROWS), _SMALL_ROWS):
        few = np.arange(start, min(start + _SMALL_ROWS, len(piece)))
        small = evaluator.evaluate(piece.take(few))
        left_out = np.empty(0, np.intp) if small.undecided is None else small.undecided
        found = found or disagreement(piece.take(few), small.predictions, taken(given, few), left_out, agreement)
    if found is not None:
        raise NotFastError(f"it differs from the engine: {found}")
    return undecided


def disagreement(
    features: Features,
    fast: Predictions,
    reference: Predictions,
    left_out: NDArray[np.intp],
    agreement: Agreement = "exact",
) -> Disagreement | None:
    """The first record about which they differ, but for those at the positions `left_out`; `None` if there is none."""
    counts = np.ones(len(features), np.bool_)
    counts[left_out] = False
    for row in sorted({**fast.failures, **reference.failures}):
        ours, theirs = fast.failures.get(row), reference.failures.get(row)
        if counts[row] and ours != theirs:
            what = f"failure: {theirs or 'none'} by the engine, {ours or 'none'} by the flat model"
            return Disagreement(row, what, _record(features, row))
        counts[row] = False
    if set(fast.columns) != set(reference.columns):
        return Disagreement(0, "there are other outputs", "")
    for name, theirs_column in reference.columns.items():
        ours_column = fast.columns[name]
        differs = _differs(ours_column, theirs_column, agreement) & counts
        if differs.any():
            row = int(np.argmax(differs))
            what = f"{name}: {_cell(theirs_column, row)} by the engine, {_cell(ours_column, row)} by the flat model"
            return Disagreement(row, what, _record(features, row))
    return None


def _differs(ours: Column, theirs: Column, agreement: Agreement) -> NDArray[np.bool_]:
    if isinstance(ours, TextColumn) or isinstance(theirs, TextColumn):
        if not (isinstance(ours, TextColumn) and isinstance(theirs, TextColumn)):
            return np.ones(1, np.bool_)
        unlike: NDArray[np.bool_] = np.not_equal(_texts(ours), _texts(theirs)).astype(np.bool_)
        return unlike
    same = _same_bits(ours, theirs)
    if agreement == "tolerant":
        with np.errstate(all="ignore"):
            slack = TOLERANCE * np.maximum(np.abs(ours), np.abs(theirs))
            if ours.ndim > 1:
                slack = np.maximum(slack, SHARE_TOLERANCE)
            same |= np.isfinite(ours) & np.isfinite(theirs) & (np.abs(ours - theirs) <= slack)
    differs = ~same
    return differs if differs.ndim == 1 else np.asarray(differs.any(axis=1))


def _same_bits(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.bool_]:
    """NaN is the same as any NaN."""
    left, right = np.ascontiguousarray(ours, np.float64), np.ascontiguousarray(theirs, np.float64)
    same: NDArray[np.bool_] = left.view(np.int64) == right.view(np.int64)
    same |= np.isnan(left) & np.isnan(right)
    return same


def _texts(column: TextColumn) -> NDArray[np.object_]:
    spelled = np.empty(len(column.values) + 1, np.object_)
    spelled[:-1] = list(column.values)
    texts: NDArray[np.object_] = spelled[column.codes]
    return texts


def _cell(column: Column, row: int) -> str:
    if isinstance(column, TextColumn):
        return repr(_texts(column)[row])
    return repr(column[row].tolist())


def _record(features: Features, row: int) -> str:
    texts = [repr(_texts(text)[row]) for text in features.texts]
    return f"[{', '.join([*map(repr, features.matrix[row].tolist()), *texts])}]"


def _resolved(evaluator: Evaluator, reference: Score, features: Features) -> Predictions:
    answer = evaluator.evaluate(features)
    if answer.undecided is None:
        return answer.predictions
    return joined(answer.predictions, answer.undecided, reference(features.take(answer.undecided)))


def _taught(model: ClassModel, reference: Score) -> ClassModel:
    """The model with what the engine says of a record that gives no probability: its own choice among equals.

    An ensemble of trees that all give nothing has a label all the same in the engine, always the same one.
    """
    if model.nothing is not None:
        return model
    schema = model.inputs.schema
    empty = Features(
        np.full((1, len(schema.matrix_slots)), np.nan),
        tuple(TextColumn(np.array([-1]), ("",)) for _ in schema.text_slots),
    )
    said = reference(empty)
    label, shares = said.columns[model.outputs[0].name], said.columns.get(model.outputs[-1].name)
    if said.failures or not isinstance(label, TextColumn) or isinstance(shares, TextColumn) or shares is None:
        return model
    text = _texts(label)[0]
    if not np.isnan(shares).all() or text not in model.outputs[0].categories:
        return model
    return replace(model, nothing=model.outputs[0].categories.index(text))
