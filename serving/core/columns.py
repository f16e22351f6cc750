"""Features and predictions of a batch, as columns.

All of it is per batch: one matrix, a few code vectors, one array per output. Nothing here is paid per record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TextColumn:
    """Strings of a batch, dictionary-encoded.

    Attributes:
        codes: int64 (n,), each an index into `values`, or -1 for a missing one.
        values: The distinct strings, in no particular order; may hold strings that no code refers to.
    """

    codes: NDArray[np.int64]
    values: Sequence[str]

    def take(self, rows: NDArray[np.intp]) -> TextColumn:
        """The same column for some rows only."""
        return TextColumn(self.codes[rows], self.values)

    @classmethod
    def joined(cls, parts: Sequence[TextColumn]) -> TextColumn:
        """One column after the other; each distinct string once."""
        codes = np.concatenate([part.codes for part in parts])
        if all(part.values is parts[0].values for part in parts):
            return cls(codes, parts[0].values)
        index: dict[str, int] = {}
        begin = 0
        for part in parts:
            places = [index.setdefault(text, len(index)) for text in part.values]
            end = begin + len(part.codes)
            codes[begin:end] = np.array([*places, -1], np.int64)[part.codes]  # whose last is what code -1 finds
            begin = end
        return cls(codes, list(index))


@dataclass(frozen=True, slots=True)
class Features:
    """The inputs of `n` records, in the order of a scorer's `Signature.slots`.

    Attributes:
        matrix: float64 (n, number of numeric slots), C-contiguous. NaN is a missing value or a NaN that the record held.
        texts: One column a text slot, in slot order.
    """

    matrix: NDArray[np.float64]
    texts: tuple[TextColumn, ...] = ()

    def __len__(self) -> int:
        return len(self.matrix)

    def take(self, rows: NDArray[np.intp]) -> Features:
        """The same features for some rows only."""
        return Features(np.ascontiguousarray(self.matrix[rows]), tuple(text.take(rows) for text in self.texts))


Column = (
    NDArray[np.float64] | NDArray[np.float32] | NDArray[np.int64] | NDArray[np.int32] | NDArray[np.bool_] | TextColumn
)


@dataclass(frozen=True, slots=True)
class Predictions:
    """The outputs of `n` records.

    Attributes:
        columns: One a `Signature.outputs` entry, under its name: an array (n,) or (n, d), or a `TextColumn` of labels.
            A value that the model could not compute is NaN (or code -1), never a made-up number.
        failures: Row -> reason, for single records that the model refused. Their cells in `columns` mean nothing.
    """

    columns: Mapping[str, Column]
    failures: Mapping[int, str] = field(default_factory=dict)
