"""Encodes columns to serialised protobuf messages, a batch at a time, byte for byte as the protobuf runtime does.

Theory of operation. All messages of a batch are written side by side as the rows of one byte matrix, one *piece* a
field, in the order of the field numbers: bytes that are the same in all rows, payloads of fixed width, varints, entries
of a table of strings. A piece is as wide as its widest row, and each row uses a prefix of it: none of it where the field
is absent, less than all of it where its varint or its string is shorter. So

* rows that use the same prefixes are of one *kind*: their bytes in use are the same columns of the matrix, which are
  copied together;
* where there are too many kinds for that, all bytes in use are compressed into one buffer.

What comes out is one buffer and where in it each value is: no object is made of a value.

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

from serving.core.byte_column import ByteColumn
from serving.core.columns import TextColumn
from serving.formats.varints import encode_column, varint, widths

Scalar = bool | int | float | str | bytes | Message
_SCALARS = (bool, int, float, str, bytes, Message)
_KEYS = (bool, int, str, bytes)
_NO_KEYS = (float, Message)  # -0.0 equals 0.0, but is written otherwise; messages cannot be keys
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
_INTEGER_RANGES: dict[int, tuple[int, int]] = {
    _F.TYPE_INT32: (-(2**31), 2**31 - 1),
    _F.TYPE_ENUM: (-(2**31), 2**31 - 1),
    _F.TYPE_SINT32: (-(2**31), 2**31 - 1),
    _F.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    _F.TYPE_UINT32: (0, 2**32 - 1),
    _F.TYPE_FIXED32: (0, 2**32 - 1),
    _F.TYPE_INT64: (-(2**63), 2**63 - 1),
    _F.TYPE_SINT64: (-(2**63), 2**63 - 1),
    _F.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    _F.TYPE_UINT64: (0, 2**64 - 1),
    _F.TYPE_FIXED64: (0, 2**64 - 1),
}
_VARINT_TYPES = (
    _F.TYPE_INT32,
    _F.TYPE_INT64,
    _F.TYPE_UINT32,
    _F.TYPE_UINT64,
    _F.TYPE_SINT32,
    _F.TYPE_SINT64,
    _F.TYPE_BOOL,
    _F.TYPE_ENUM,
)
_EIGHT_BYTE_TYPES = (_F.TYPE_DOUBLE, _F.TYPE_FIXED64, _F.TYPE_SFIXED64)
_ZIGZAG = (_F.TYPE_SINT32, _F.TYPE_SINT64)
# Above this many bytes the matrix is built for some rows at a time: it stays in the cache, and one long string does not
# widen all rows of a large batch.
_MATRIX_BYTES = 4 << 20
# The fixed cost of a batch is that of about this many messages by the runtime (measured: 40 us, 1.2 us).
FEWEST_MESSAGES = 32
# A kind costs as much as cutting out about this many rows one by one (measured: 10 us, 0.2 us).
_ROWS_PER_KIND = 48
_FEW_KINDS = 4
# Plans of this many streams, models and partitions are remembered; each is some hundred bytes.
_PLANS_KEPT = 1_024
# Kinds are numbered below this, so that 16 bits hold them.
_KIND_NUMBERS = 1 << 16


@dataclass(frozen=True, slots=True)
class _Field:
    """What encoding needs of a field descriptor; the descriptors themselves are slow to ask."""

    name: str
    number: int
    type: int
    has_presence: bool
    is_repeated: bool
    is_packed: bool
    tag: bytes
    oneof: str | None


@dataclass(frozen=True, slots=True)
class _Piece:
    """The bytes of one field: `head` is the same in all rows, `payload` uint8 (n, w) is not.

    `used` is how many bytes of both each row uses, from the left: int64 (n,), or `None` for all.
    """

    head: bytes
    payload: NDArray[np.uint8] | None = None
    used: NDArray[np.int64] | None = None

    @property
    def width(self) -> int:
        return len(self.head) + (0 if self.payload is None else self.payload.shape[1])


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same for all batches with the same scalars and the same varying fields.

    Attributes:
        parts: In the order of the field numbers: serialised scalars, and fields that vary.
        varying: The fields among them.
        width: Bytes of the scalars.
    """

    parts: tuple[bytes | _Field, ...]
    varying: tuple[_Field, ...]
    width: int


class MessageEncoder:
    """Encodes one message type. Any thread: what it remembers may be made twice, and is the same then."""

    def __init__(self, message: Descriptor, *, fewest_messages: int = FEWEST_MESSAGES) -> None:
        """`message` must be proto3. Batches smaller than `fewest_messages` are left to the runtime."""
        self._fewest_messages = fewest_messages
        self._class: type[Message] = message_factory.GetMessageClass(message)
        self._fields = {field.name: _describe(field) for field in message.fields}
        self._name = message.full_name
        self._plans: dict[tuple[tuple[str, bool | int | str | bytes | None], ...], _Plan] = {}

    def encode(self, count: int, columns: Mapping[str, FieldColumn]) -> Sequence[bytes]:
        """`count` messages, each equal to `SerializeToString(deterministic=True)` of a message with these fields.

        A scalar is the value in all messages; an array (n,) one value a message; an array (n, d) a packed repeated field
        of fixed-width numbers with d values in each message; a `TextColumn` a string a message, absent where its code is
        -1. A field without presence that has its default is not written; one with presence is.

        Raises:
            ValueError: No such field, a column of another length or type, or a value out of the field's range.
        """
        plan = self._planned(columns)
        for field in plan.varying:
            _check(field, columns[field.name], count)
        if count < self._fewest_messages:
            return self._encode_singly(count, columns)
        widest = plan.width + sum(_width_of(columns[field.name]) for field in plan.varying)
        if count * widest <= _MATRIX_BYTES:
            return _encode(count, plan, columns)
        rows_at_once = max(1, _MATRIX_BYTES // widest)
        parts: list[ByteColumn] = []
        for start in range(0, count, rows_at_once):
            stop = min(count, start + rows_at_once)
            part = {field.name: _rows(columns[field.name], start, stop) for field in plan.varying}
            parts.append(_encode(stop - start, plan, part))
        return ByteColumn.joined(parts)

    def _planned(self, columns: Mapping[str, FieldColumn]) -> _Plan:
        """The plan for these fields and scalars; the same ones come batch after batch."""
        if any(isinstance(column, _NO_KEYS) for column in columns.values()):
            return self._plan(columns)
        key = tuple((name, column if isinstance(column, _KEYS) else None) for name, column in columns.items())
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _PLANS_KEPT:
                self._plans.clear()
            plan = self._plans[key] = self._plan(columns)
        return plan

    def _plan(self, columns: Mapping[str, FieldColumn]) -> _Plan:
        fields = sorted(map(self._field, columns), key=_number)
        chosen: set[str] = set()
        parts: list[bytes | _Field] = []
        same: dict[str, Scalar] = {}
        for field in fields:
            if field.oneof is not None:
                if field.oneof in chosen:
                    raise ValueError(f"{self._name}: only one member of `{field.oneof}` can be set")
                chosen.add(field.oneof)
            column = columns[field.name]
            if isinstance(column, _SCALARS):
                same[field.name] = column
                continue
            if same:
                parts.append(self._class(**same).SerializeToString(deterministic=True))
                same = {}
            parts.append(field)
        if same:
            parts.append(self._class(**same).SerializeToString(deterministic=True))
        width = sum(len(part) for part in parts if isinstance(part, bytes))
        return _Plan(tuple(parts), tuple(part for part in parts if isinstance(part, _Field)), width)

    def _encode_singly(self, count: int, columns: Mapping[str, FieldColumn]) -> list[bytes]:
        message = self._class(**{name: column for name, column in columns.items() if isinstance(column, _SCALARS)})
        varying = [(name, _cells(column)) for name, column in columns.items() if not isinstance(column, _SCALARS)]
        out = []
        for row in range(count):
            for name, cells in varying:
                cell = cells[row]
                if cell is None:
                    message.ClearField(name)
                elif isinstance(cell, list):
                    getattr(message, name)[:] = cell
                else:
                    setattr(message, name, cell)
            out.append(message.SerializeToString(deterministic=True))
        return out

    def _field(self, name: str) -> _Field:
        field = self._fields.get(name)
        if field is None:
            raise ValueError(f"{self._name} has no field `{name}`")
        return field


def _encode(count: int, plan: _Plan, columns: Mapping[str, FieldColumn]) -> ByteColumn:
    if count == 0:
        return ByteColumn.of([])
    pieces = [_Piece(part) if isinstance(part, bytes) else _piece(part, columns[part.name]) for part in plan.parts]
    return _values(count, pieces)


def _number(field: _Field) -> int:
    return field.number


def _describe(field: FieldDescriptor) -> _Field:
    oneof = field.containing_oneof
    if field.is_repeated or field.type not in _FIXED_DTYPES:
        wire_type = 0 if field.type in _VARINT_TYPES and not field.is_repeated else 2
    else:
        wire_type = 1 if field.type in _EIGHT_BYTE_TYPES else 5
    return _Field(
        name=field.name,
        number=field.number,
        type=field.type,
        has_presence=field.has_presence,
        is_repeated=field.is_repeated,
        is_packed=field.is_packed,
        tag=varint(field.number << 3 | wire_type),
        oneof=None if oneof is None else oneof.name,
    )


def _check(field: _Field, column: FieldColumn, count: int) -> None:
    if isinstance(column, _SCALARS):
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


def _piece(field: _Field, column: FieldColumn) -> _Piece:
    assert not isinstance(column, _SCALARS)
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


def _fixed(field: _Field, column: ArrayColumn) -> _Piece:
    payload = _payload(field, column)
    if field.has_presence:
        return _Piece(field.tag, payload)
    # The default is +0 in bits: -0.0 is written.
    is_set = payload.any(1)
    return _Piece(field.tag, payload, None if is_set.all() else is_set * (len(field.tag) + payload.shape[1]))


def _packed(field: _Field, column: ArrayColumn) -> _Piece:
    payload = _payload(field, column)
    if not payload.shape[1]:
        return _Piece(b"")
    return _Piece(field.tag + varint(payload.shape[1]), payload)


def _payload(field: _Field, column: ArrayColumn) -> NDArray[np.uint8]:
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(column, _FIXED_DTYPES[field.type])
    return values.view(np.uint8).reshape(len(column), -1)


def _integers(field: _Field, column: ArrayColumn) -> _Piece:
    raw = column.astype(np.uint64) if column.dtype.kind in "ub" else column.astype(np.int64).view(np.uint64)
    if field.type in _ZIGZAG:
        signed = raw.view(np.int64)
        raw = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    lowest, highest = int(raw.min()), int(raw.max())
    taken = widths(raw, lowest, highest)
    payload = encode_column(raw, lowest, highest)
    if lowest == 0 and not field.has_presence:
        return _Piece(field.tag, payload, np.where(raw == 0, 0, len(field.tag) + taken))
    return _Piece(field.tag, payload, None if isinstance(taken, int) else len(field.tag) + taken)


def _strings(field: _Field, column: TextColumn) -> _Piece:
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
    return _Piece(b"", table.take(codes, axis=0, mode="wrap"), None if (used_widths == widest).all() else used_widths)


def _string(tag: bytes, value: str | None, has_presence: bool) -> bytes:
    if value is None or (not value and not has_presence):
        return b""
    data = value.encode()
    return tag + varint(len(data)) + data


def _check_range(field: _Field, column: ArrayColumn) -> None:
    if column.dtype.kind not in "iu":
        raise ValueError(f"`{field.name}` is an integer, not {column.dtype}")
    lowest, highest = _INTEGER_RANGES[field.type]
    bits = 8 * column.dtype.itemsize
    held = (0, 2**bits - 1) if column.dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if lowest <= held[0] and held[1] <= highest:
        return
    if column.size and (int(column.min()) < lowest or int(column.max()) > highest):
        raise ValueError(f"`{field.name}` has a value that is not between {lowest} and {highest}")


def _width_of(column: FieldColumn) -> int:
    """About the most bytes that a row of the column takes."""
    if isinstance(column, TextColumn):
        return 16 + 4 * max(map(len, column.values), default=0)
    if isinstance(column, str | bytes):
        return 16 + 4 * len(column)
    if isinstance(column, Message):
        return 16 + column.ByteSize()
    return 16 if not isinstance(column, np.ndarray) or column.ndim == 1 else 16 + 8 * column.shape[1]


def _rows(column: FieldColumn, start: int, stop: int) -> FieldColumn:
    if isinstance(column, TextColumn):
        return TextColumn(column.codes[start:stop], column.values)
    return column[start:stop] if isinstance(column, np.ndarray) else column


def _values(count: int, pieces: Sequence[_Piece]) -> ByteColumn:
    row = b"".join(piece.head.ljust(piece.width, b"\0") for piece in pieces)
    if not row:
        return ByteColumn.of([b""] * count)
    matrix = np.empty((count, len(row)), np.uint8)
    matrix[:] = np.frombuffer(row, np.uint8)
    start = 0
    for piece in pieces:
        end = start + piece.width
        if piece.payload is not None:
            matrix[:, start + len(piece.head) : end] = piece.payload
        start = end
    varying = [piece for piece in pieces if piece.used is not None]
    if not varying:
        return ByteColumn.rows(matrix)
    kinds = _kinds(varying, max(1, count // _ROWS_PER_KIND))
    if kinds is None:
        return _compress(matrix, pieces)
    if len(kinds.starts) == 1:
        return ByteColumn.rows(_columns_in_use(matrix, pieces, 0))
    # All rows of a kind side by side; a row is copied as one item.
    grouped = matrix.view(f"V{len(row)}").ravel()[kinds.order].view(np.uint8).reshape(matrix.shape)
    ends = [*kinds.starts[1:], count]
    by_kind = ByteColumn.joined(
        [
            ByteColumn.rows(_columns_in_use(grouped[begin:stop], pieces, int(kinds.order[begin])))
            for begin, stop in zip(kinds.starts, ends, strict=True)
        ]
    )
    place = np.empty(count, np.intp)
    place[kinds.order] = np.arange(count)
    return by_kind.take(place)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The rows in an order in which those of one kind are neighbours, and where in it each kind starts."""

    order: NDArray[np.intp]
    starts: list[int]


def _kinds(varying: Sequence[_Piece], most: int) -> _Kinds | None:
    """The kinds of rows; `None` if there are more than `most` and more than a few."""
    kind = np.zeros(1, np.int64)
    bound = 1
    for piece in varying:
        assert piece.used is not None
        kind = kind * (piece.width + 1) + piece.used
        bound *= piece.width + 1
        if bound > _KIND_NUMBERS:
            _, kind = np.unique(kind, return_inverse=True)
            bound = int(kind.max()) + 1
    counts = np.bincount(kind)
    found = np.flatnonzero(counts)
    if len(found) > max(most, _FEW_KINDS):
        return None
    ends = np.cumsum(counts[found])
    # Sorting 16-bit integers is linear.
    return _Kinds(np.argsort(kind.astype(np.uint16), kind="stable"), [0, *ends[:-1].tolist()])


def _columns_in_use(matrix: NDArray[np.uint8], pieces: Sequence[_Piece], row: int) -> NDArray[np.uint8]:
    """The bytes of rows of one kind, of which `row` of the batch is one."""
    spans = _spans(pieces, row)
    if len(spans) == 1:
        start, end = spans[0]
        return np.ascontiguousarray(matrix[:, start:end])
    out = np.empty((len(matrix), sum(end - start for start, end in spans)), np.uint8)
    at = 0
    for start, end in spans:
        out[:, at : at + end - start] = matrix[:, start:end]
        at += end - start
    return out


def _spans(pieces: Sequence[_Piece], row: int) -> list[tuple[int, int]]:
    """The columns that a row uses, as few spans as there can be."""
    spans: list[tuple[int, int]] = []
    start = 0
    for piece in pieces:
        used = piece.width if piece.used is None else int(piece.used[row])
        if used and spans and spans[-1][1] == start:
            spans[-1] = spans[-1][0], start + used
        elif used:
            spans.append((start, start + used))
        start += piece.width
    return spans or [(0, 0)]


def _compress(matrix: NDArray[np.uint8], pieces: Sequence[_Piece]) -> ByteColumn:
    used = np.ones(matrix.shape, bool)
    start = 0
    for piece in pieces:
        if piece.used is not None:
            used[:, start : start + piece.width] = np.arange(piece.width) < piece.used[:, None]
        start += piece.width
    lengths = used.sum(1)
    return ByteColumn(matrix[used], np.cumsum(lengths) - lengths, lengths)
