"""Encodes columns to serialised protobuf messages, a batch at a time, byte for byte as the protobuf runtime does.

Theory of operation. All messages of a batch are written side by side as the rows of one byte matrix, one *piece* a
field, in the order of the field numbers: bytes that are the same in all rows, payloads of fixed width, varints, entries
of a table of strings. A piece is as wide as its widest row, and each row uses a prefix of it: none of it where the field
is absent, less than all of it where its varint or its string is shorter. So

* rows whose prefixes are equal have equal length, and their columns that are in use become values by one copy each;
* where there are too many different prefixes for that, all used bytes are compressed into one buffer and cut up.

Nearly all batches have one to four kinds of rows: a varint of offsets changes its width once in a long while.
A batch of a few messages is left to the protobuf runtime, which has no fixed cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

from serving.core.columns import TextColumn
from serving.formats.varints import encode_into, varint, widths

Scalar = bool | int | float | str | bytes
ArrayColumn = (
    NDArray[np.float64]
    | NDArray[np.float32]
    | NDArray[np.int64]
    | NDArray[np.uint64]
    | NDArray[np.int32]
    | NDArray[np.uint32]
    | NDArray[np.bool_]
)
FieldColumn = Scalar | ArrayColumn | TextColumn

_F = FieldDescriptor
_FIXED_DTYPES: dict[int, str] = {
    _F.TYPE_DOUBLE: "<f8",
    _F.TYPE_FLOAT: "<f4",
    _F.TYPE_FIXED64: "<u8",
    _F.TYPE_FIXED32: "<u4",
    _F.TYPE_SFIXED64: "<i8",
    _F.TYPE_SFIXED32: "<i4",
}
_FLOATS = (_F.TYPE_DOUBLE, _F.TYPE_FLOAT)
_INTEGER_RANGES: dict[int, type[np.integer]] = {
    _F.TYPE_INT32: np.int32,
    _F.TYPE_ENUM: np.int32,
    _F.TYPE_SINT32: np.int32,
    _F.TYPE_UINT32: np.uint32,
    _F.TYPE_INT64: np.int64,
    _F.TYPE_SINT64: np.int64,
    _F.TYPE_UINT64: np.uint64,
    _F.TYPE_FIXED32: np.uint32,
    _F.TYPE_FIXED64: np.uint64,
    _F.TYPE_SFIXED32: np.int32,
    _F.TYPE_SFIXED64: np.int64,
}
_ZIGZAG = (_F.TYPE_SINT32, _F.TYPE_SINT64)
_WIRE_TYPES: dict[int, int] = {
    _F.TYPE_DOUBLE: 1,
    _F.TYPE_FIXED64: 1,
    _F.TYPE_SFIXED64: 1,
    _F.TYPE_FLOAT: 5,
    _F.TYPE_FIXED32: 5,
    _F.TYPE_SFIXED32: 5,
    _F.TYPE_STRING: 2,
}
# Above this many bytes the matrix is built for some rows at a time: it stays in the cache, and one long string does not
# widen all rows of a large batch.
_MATRIX_BYTES = 4 << 20
# The fixed cost of a batch is that of about this many messages by the runtime (measured: 40 us, 1.2 us).
FEWEST_MESSAGES = 32
# A kind of rows costs about this many rows (measured: 10 us a kind, 0.15 us more a row that is cut out).
_ROWS_PER_KIND = 48


@dataclass(frozen=True, slots=True)
class _Piece:
    """The columns of one field: uint8 (n, w), or (w,) where all rows are the same.

    `used` is how many of them each row uses, from the left: int64 (n,), or `None` for all.
    """

    block: NDArray[np.uint8]
    used: NDArray[np.int64] | None = None


class MessageEncoder:
    """Encodes one message type. Stateless after construction: any thread."""

    def __init__(self, message: Descriptor, *, fewest_messages: int = FEWEST_MESSAGES) -> None:
        """`message` must be proto3. Batches smaller than `fewest_messages` are left to the runtime."""
        self._fewest_messages = fewest_messages
        self._class: type[Message] = message_factory.GetMessageClass(message)
        self._fields: dict[str, FieldDescriptor] = dict(message.fields_by_name)
        self._name = message.full_name
        self._oneofs = {field.name: oneof.name for oneof in message.oneofs for field in oneof.fields}

    def encode(self, count: int, columns: Mapping[str, FieldColumn]) -> list[bytes]:
        """`count` messages, each equal to `SerializeToString(deterministic=True)` of a message with these fields.

        A scalar is the value in all messages; an array (n,) one value a message; an array (n, d) a packed repeated field
        of fixed-width numbers with d values in each message; a `TextColumn` a string a message, absent where its code is
        -1. A field without presence that has its default is not written; one with presence is.

        Raises:
            ValueError: No such field, a column of another length or type, or a value out of the field's range.
        """
        order = sorted(columns, key=lambda name: self._field(name).number)
        for name in order:
            _check(self._field(name), columns[name], count)
        chosen = [oneof for name in order if (oneof := self._oneofs.get(name)) is not None]
        if len(chosen) > len(set(chosen)):
            raise ValueError(f"{self._name}: only one member of a oneof can be set")
        if count < self._fewest_messages:
            return self._encode_singly(count, order, columns)
        rows_at_once = count
        widest = sum(_width_of(columns[name]) for name in order)
        if count * widest > _MATRIX_BYTES:
            rows_at_once = max(1, _MATRIX_BYTES // widest)
        if rows_at_once >= count:
            return self._encode(count, order, columns)
        out: list[bytes] = []
        for start in range(0, count, rows_at_once):
            stop = min(count, start + rows_at_once)
            out += self._encode(stop - start, order, {name: _rows(columns[name], start, stop) for name in order})
        return out

    def _encode(self, count: int, order: Sequence[str], columns: Mapping[str, FieldColumn]) -> list[bytes]:
        if count == 0:
            return []
        pieces: list[_Piece] = []
        same = b""
        for name in order:
            field, column = self._field(name), columns[name]
            if isinstance(column, Scalar):
                same += self._class(**{name: column}).SerializeToString()
                continue
            if same:
                pieces.append(_constant(same))
                same = b""
            pieces.append(_piece(field, column))
        if same or not pieces:
            pieces.append(_constant(same))
        return _values(count, pieces)

    def _encode_singly(self, count: int, order: Sequence[str], columns: Mapping[str, FieldColumn]) -> list[bytes]:
        scalars = {name: column for name in order if isinstance(column := columns[name], Scalar)}
        varying = [(name, _cells(column)) for name in order if not isinstance(column := columns[name], Scalar)]
        message = self._class(**scalars)
        out = []
        for row in range(count):
            for name, cells in varying:
                message.ClearField(name)
                cell = cells[row]
                if isinstance(cell, list):
                    getattr(message, name).extend(cell)
                elif cell is not None:
                    setattr(message, name, cell)
            out.append(message.SerializeToString(deterministic=True))
        return out

    def _field(self, name: str) -> FieldDescriptor:
        field = self._fields.get(name)
        if field is None:
            raise ValueError(f"{self._name} has no field `{name}`")
        return field


def _check(field: FieldDescriptor, column: FieldColumn, count: int) -> None:
    if isinstance(column, Scalar):
        return
    length = len(column.codes) if isinstance(column, TextColumn) else len(column)
    if length != count:
        raise ValueError(f"`{field.name}` has {length} values, {count} expected")
    if isinstance(column, TextColumn):
        if field.type != _F.TYPE_STRING or field.is_repeated:
            raise ValueError(f"`{field.name}` is not a single string")
        return
    if field.is_repeated != (column.ndim == 2):
        raise ValueError(f"`{field.name}` takes an array of {2 if field.is_repeated else 1} dimensions")
    if field.is_repeated and (field.type not in _FIXED_DTYPES or not field.is_packed):
        raise ValueError(f"`{field.name}` is not a packed field of fixed-width numbers")
    if field.type == _F.TYPE_BOOL:
        if column.dtype.kind != "b":
            raise ValueError(f"`{field.name}` is a bool, not {column.dtype}")
    elif field.type in _FLOATS:
        if column.dtype.kind != "f":
            raise ValueError(f"`{field.name}` is a floating-point number, not {column.dtype}")
    elif field.type in _INTEGER_RANGES:
        _check_range(field, column)
    else:
        raise ValueError(f"`{field.name}` is not a number")


def _piece(field: FieldDescriptor, column: ArrayColumn | TextColumn) -> _Piece:
    if isinstance(column, TextColumn):
        return _strings(field, column)
    if field.type in _FIXED_DTYPES:
        return _packed(field, column) if field.is_repeated else _fixed(field, column)
    return _integers(field, column)


def _cells(column: ArrayColumn | TextColumn) -> Sequence[object]:
    if isinstance(column, TextColumn):
        values = [*column.values, None]  # which code -1 finds
        return [values[code] for code in column.codes.tolist()]
    cells: list[object] = column.tolist()
    return cells


def _constant(data: bytes) -> _Piece:
    return _Piece(np.frombuffer(data, np.uint8))


def _fixed(field: FieldDescriptor, column: ArrayColumn) -> _Piece:
    payload = _payload(field, column)
    tag = _tag(field, _WIRE_TYPES[field.type])
    block = np.empty((len(column), len(tag) + payload.shape[1]), np.uint8)
    block[:, : len(tag)] = np.frombuffer(tag, np.uint8)
    block[:, len(tag) :] = payload
    if field.has_presence:
        return _Piece(block)
    # The default is +0 in bits: -0.0 is written.
    is_set = payload.any(1)
    return _Piece(block, None if is_set.all() else is_set * block.shape[1])


def _packed(field: FieldDescriptor, column: ArrayColumn) -> _Piece:
    payload = _payload(field, column)
    if not payload.shape[1]:
        return _constant(b"")
    head = _tag(field, 2) + varint(payload.shape[1])
    block = np.empty((len(column), len(head) + payload.shape[1]), np.uint8)
    block[:, : len(head)] = np.frombuffer(head, np.uint8)
    block[:, len(head) :] = payload
    return _Piece(block)


def _payload(field: FieldDescriptor, column: ArrayColumn) -> NDArray[np.uint8]:
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(column, _FIXED_DTYPES[field.type])
    return values.view(np.uint8).reshape(len(column), -1)


def _integers(field: FieldDescriptor, column: ArrayColumn) -> _Piece:
    raw = column.astype(np.uint64) if column.dtype.kind in "ub" else column.astype(np.int64).view(np.uint64)
    if field.type in _ZIGZAG:
        signed = raw.view(np.int64)
        raw = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    tag = _tag(field, 0)
    taken = widths(raw)
    widest = taken if isinstance(taken, int) else int(taken.max())
    block = np.empty((len(raw), len(tag) + widest), np.uint8)
    block[:, : len(tag)] = np.frombuffer(tag, np.uint8)
    encode_into(raw, block[:, len(tag) :])
    is_default = None if field.has_presence else raw == 0
    if is_default is not None and is_default.any():
        return _Piece(block, np.where(is_default, 0, len(tag) + taken))
    return _Piece(block, None if isinstance(taken, int) else len(tag) + taken)


def _strings(field: FieldDescriptor, column: TextColumn) -> _Piece:
    codes = column.codes
    values: list[str | None] = list(column.values)
    if len(values) > len(codes):
        used, codes = np.unique(codes, return_inverse=True)
        values = [values[code] if code >= 0 else None for code in used.tolist()]
    tag = _tag(field, 2)
    encoded = [_string(tag, value, field.has_presence) for value in values]
    encoded.append(b"")  # which code -1 finds
    widest = max(map(len, encoded))
    table = np.frombuffer(b"".join(each.ljust(widest, b"\0") for each in encoded), np.uint8)
    table = table.reshape(len(encoded), widest)
    used_widths = np.array([len(each) for each in encoded], np.int64)[codes]
    return _Piece(table[codes], None if (used_widths == widest).all() else used_widths)


def _string(tag: bytes, value: str | None, has_presence: bool) -> bytes:
    if value is None or (not value and not has_presence):
        return b""
    data = value.encode()
    return tag + varint(len(data)) + data


def _tag(field: FieldDescriptor, wire_type: int) -> bytes:
    return varint(field.number << 3 | wire_type)


def _check_range(field: FieldDescriptor, column: ArrayColumn) -> None:
    if column.dtype.kind not in "iu":
        raise ValueError(f"`{field.name}` is an integer, not {column.dtype}")
    limits = np.iinfo(_INTEGER_RANGES[field.type])
    if column.size and (int(column.min()) < limits.min or int(column.max()) > limits.max):
        raise ValueError(f"`{field.name}` has a value that is not between {limits.min} and {limits.max}")


def _width_of(column: FieldColumn) -> int:
    """About the most bytes that a row of the column takes."""
    if isinstance(column, TextColumn):
        return 16 + 4 * max(map(len, column.values), default=0)
    if isinstance(column, str | bytes):
        return 16 + 4 * len(column)
    return 16 if not isinstance(column, np.ndarray) or column.ndim == 1 else 16 + 8 * column.shape[1]


def _rows(column: FieldColumn, start: int, stop: int) -> FieldColumn:
    if isinstance(column, TextColumn):
        return TextColumn(column.codes[start:stop], column.values)
    return column[start:stop] if isinstance(column, np.ndarray) else column


def _values(count: int, pieces: Sequence[_Piece]) -> list[bytes]:
    width = sum(piece.block.shape[-1] for piece in pieces)
    if not width:
        return [b""] * count
    matrix = np.empty((count, width), np.uint8)
    at = 0
    kind: NDArray[np.int64] | None = None
    kinds = 1
    starts = []
    for piece in pieces:
        end = at + piece.block.shape[-1]
        matrix[:, at:end] = piece.block
        starts.append(at)
        if piece.used is not None:
            kind = piece.used if kind is None else kind * (end - at + 1) + piece.used
            kinds *= end - at + 1
        at = end
    if kind is None:
        return _cut(matrix)
    bounded = kinds < 1 << 62
    found, first = np.unique(kind, return_index=True) if bounded else (np.empty(0, np.int64), np.empty(0, np.int64))
    if not bounded or len(found) * _ROWS_PER_KIND > max(count, 4 * _ROWS_PER_KIND):
        return _compress(matrix, pieces, starts)
    if len(found) == 1:
        return _cut(np.ascontiguousarray(matrix[:, _used_columns(pieces, starts, 0, width)]))
    out = np.empty(count, object)
    for each, row in zip(found.tolist(), first.tolist(), strict=True):
        rows = np.flatnonzero(kind == each)
        columns = _used_columns(pieces, starts, row, width)
        out[rows] = _cut(matrix[rows[:, None], columns])
    values: list[bytes] = out.tolist()
    return values


def _cut(matrix: NDArray[np.uint8]) -> list[bytes]:
    """The rows of a contiguous matrix. Void items keep trailing zero bytes, which numpy's strings would strip."""
    if not matrix.shape[1]:
        return [b""] * len(matrix)
    rows: list[bytes] = matrix.view(f"V{matrix.shape[1]}").ravel().tolist()
    return rows


def _used_columns(pieces: Sequence[_Piece], starts: Sequence[int], row: int, width: int) -> NDArray[np.intp]:
    used = np.ones(width, bool)
    for piece, start in zip(pieces, starts, strict=True):
        if piece.used is not None:
            used[start + int(piece.used[row]) : start + piece.block.shape[1]] = False
    return np.flatnonzero(used)


def _compress(matrix: NDArray[np.uint8], pieces: Sequence[_Piece], starts: Sequence[int]) -> list[bytes]:
    used = np.ones(matrix.shape, bool)
    for piece, start in zip(pieces, starts, strict=True):
        if piece.used is not None:
            width = piece.block.shape[1]
            used[:, start : start + width] = np.arange(width) < piece.used[:, None]
    ends = np.cumsum(used.sum(1)).tolist()
    data = matrix[used].tobytes()
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
