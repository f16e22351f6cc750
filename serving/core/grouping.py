"""Split the rows of a batch by a text column, at the price of one look where all rows are of one group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import TextColumn

_FEWER_THAN = (1 << 16) - 1

Rows = NDArray[np.intp] | None
"""Positions, ascending; `None` is all of them."""

_Number = TypeVar("_Number", np.int32, np.int64)


def within(rows: Rows, chosen: Rows) -> Rows:
    """Some of some rows: `chosen` counts among `rows`."""
    if chosen is None:
        return rows
    return chosen if rows is None else rows[chosen]


def of_rows(column: NDArray[_Number], rows: Rows) -> NDArray[_Number]:
    """The values of some rows; not copied if they are all."""
    return column if rows is None else column[rows]


def groups_of(column: TextColumn) -> list[tuple[str, Rows]]:
    """Each distinct text with its rows. Missing texts and empty ones are one group, named ""."""
    codes, values = column.codes, column.values
    if not len(codes):
        return []
    first = int(codes[0])
    if (codes == first).all():
        return [(values[first] if first >= 0 else "", None)]
    # Sorting 16-bit integers is linear; -1 becomes the last of them.
    narrow = codes.astype(np.uint16) if len(values) < _FEWER_THAN else codes
    order = np.argsort(narrow, kind="stable")
    ordered = narrow[order]
    starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    found: dict[str, list[NDArray[np.intp]]] = {}
    for rows in np.split(order, starts):
        code = int(codes[rows[0]])
        found.setdefault(values[code] if code >= 0 else "", []).append(rows)
    return [(text, parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))) for text, parts in found.items()]


def text_column(raw: Sequence[bytes | None]) -> TextColumn:
    """Encode byte strings as a column; what is not UTF-8 becomes the empty text."""
    index = {value: code for code, value in enumerate(dict.fromkeys(raw))}
    codes = np.fromiter(map(index.__getitem__, raw), np.int64, len(raw))
    return TextColumn(codes, [_text(value) for value in index])


def _text(value: bytes | None) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        return ""
