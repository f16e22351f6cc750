"""The bytes of one field in all messages of a batch, from a column of its values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import TextColumn
from serving.formats.message_fields import FIXED_DTYPES, SCALARS, ZIGZAG, ArrayColumn, Field, FieldColumn
from serving.formats.varints import encode_column, varint, widths


@dataclass(frozen=True, slots=True)
class Piece:
    """What some bytes of each message are made of.

    Attributes:
        heads: Bytes that are not of a column: of all messages, or one each of the variants that the messages are of.
        payload: uint8 (n, w), what follows them; only where there is one head.
        used: int64 (n,), how many bytes of both each message uses, from the left; `None` for all of the payload, if any,
            and the whole head.
    """

    heads: tuple[bytes, ...]
    payload: NDArray[np.uint8] | None = None
    used: NDArray[np.int64] | None = None

    @property
    def width(self) -> int:
        """The most that a message uses."""
        return max(map(len, self.heads)) + (0 if self.payload is None else self.payload.shape[1])


def piece_of(field: Field, column: FieldColumn) -> Piece:
    """The bytes of a field that takes this column."""
    assert not isinstance(column, SCALARS)
    if isinstance(column, TextColumn):
        return _strings(field, column)
    if field.type in FIXED_DTYPES:
        return _packed(field, column) if field.is_repeated else _fixed(field, column)
    return _integers(field, column)


def _fixed(field: Field, column: ArrayColumn) -> Piece:
    payload = _payload(field, column)
    if field.has_presence:
        return Piece((field.tag,), payload)
    # The default is +0 in bits: -0.0 is written.
    is_set = payload.any(1)
    return Piece((field.tag,), payload, None if is_set.all() else is_set * (len(field.tag) + payload.shape[1]))


def _packed(field: Field, column: ArrayColumn) -> Piece:
    payload = _payload(field, column)
    if not payload.shape[1]:
        return Piece((b"",))
    return Piece((field.tag + varint(payload.shape[1]),), payload)


def _payload(field: Field, column: ArrayColumn) -> NDArray[np.uint8]:
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(column, FIXED_DTYPES[field.type])
    return values.view(np.uint8).reshape(len(column), -1)


def _integers(field: Field, column: ArrayColumn) -> Piece:
    raw = column.astype(np.uint64) if column.dtype.kind in "ub" else column.astype(np.int64).view(np.uint64)
    if field.type in ZIGZAG:
        signed = raw.view(np.int64)
        raw = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    lowest, highest = int(raw.min()), int(raw.max())
    taken = widths(raw, lowest, highest)
    payload = encode_column(raw, lowest, highest)
    if lowest == 0 and not field.has_presence:
        return Piece((field.tag,), payload, np.where(raw == 0, 0, len(field.tag) + taken))
    return Piece((field.tag,), payload, None if isinstance(taken, int) else len(field.tag) + taken)


def _strings(field: Field, column: TextColumn) -> Piece:
    codes = column.codes
    values: list[str | None] = list(column.values)
    if len(values) > len(codes):
        used, codes = np.unique(codes, return_inverse=True)
        values = [values[code] if code >= 0 else None for code in used.tolist()]
    encoded = [_string(field.tag, value, field.has_presence) for value in values]
    encoded.append(b"")  # which code -1 finds
    widest = max(map(len, encoded))
    table = np.frombuffer(b"".join(each.ljust(widest, b"\0") for each in encoded), np.uint8)
    table = table.reshape(len(encoded), widest)
    used_widths = np.array([len(each) for each in encoded], np.int64)[codes]
    return Piece((b"",), table.take(codes, axis=0, mode="wrap"), None if (used_widths == widest).all() else used_widths)


def _string(tag: bytes, value: str | None, has_presence: bool) -> bytes:
    if value is None or (not value and not has_presence):
        return b""
    data = value.encode()
    return tag + varint(len(data)) + data
