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

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from serving.core.byte_column import ByteColumn
from serving.formats.assembling import put_together
from serving.formats.message_fields import (
    SCALARS,
    Field,
    FieldColumn,
    Scalar,
    cells_of,
    check_column,
    describe,
    rows_of,
    width_of,
)
from serving.formats.pieces import Piece, piece_of

_KEYS = (bool, int, str, bytes)
_NO_KEYS = (float, Message)  # -0.0 equals 0.0, but is written otherwise; messages cannot be keys
# Above this many bytes the matrix is built for some rows at a time: it stays in the cache, and one long string does not
# widen all rows of a large batch.
_MATRIX_BYTES = 4 << 20
# The fixed cost of a batch is that of about this many messages by the runtime (measured: 40 us, 1.2 us).
FEWEST_MESSAGES = 32
# Plans of this many streams, models and partitions are remembered; each is some hundred bytes.
_PLANS_KEPT = 1_024


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same for all batches with the same scalars and the same varying fields.

    Attributes:
        parts: In the order of the field numbers: serialised scalars, and fields that vary.
        varying: The fields among them.
        width: Bytes of the scalars.
    """

    parts: tuple[bytes | Field, ...]
    varying: tuple[Field, ...]
    width: int


class MessageEncoder:
    """Encodes one message type. Any thread: what it remembers may be made twice, and is the same then."""

    def __init__(self, message: Descriptor, *, fewest_messages: int = FEWEST_MESSAGES) -> None:
        """`message` must be proto3. Batches smaller than `fewest_messages` are left to the runtime."""
        self._fewest_messages = fewest_messages
        self._class: type[Message] = message_factory.GetMessageClass(message)
        self._fields = {field.name: describe(field) for field in message.fields}
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
            check_column(field, columns[field.name], count)
        if count < self._fewest_messages:
            return self._encode_singly(count, columns)
        widest = plan.width + sum(width_of(columns[field.name]) for field in plan.varying)
        if count * widest <= _MATRIX_BYTES:
            return _encode(count, plan, columns)
        rows_at_once = max(1, _MATRIX_BYTES // widest)
        parts: list[ByteColumn] = []
        for start in range(0, count, rows_at_once):
            stop = min(count, start + rows_at_once)
            part = {field.name: rows_of(columns[field.name], start, stop) for field in plan.varying}
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
        parts: list[bytes | Field] = []
        same: dict[str, Scalar] = {}
        for field in fields:
            if field.oneof is not None:
                if field.oneof in chosen:
                    raise ValueError(f"{self._name}: only one member of `{field.oneof}` can be set")
                chosen.add(field.oneof)
            column = columns[field.name]
            if isinstance(column, SCALARS):
                same[field.name] = column
                continue
            if same:
                parts.append(self._class(**same).SerializeToString(deterministic=True))
                same = {}
            parts.append(field)
        if same:
            parts.append(self._class(**same).SerializeToString(deterministic=True))
        width = sum(len(part) for part in parts if isinstance(part, bytes))
        return _Plan(tuple(parts), tuple(part for part in parts if isinstance(part, Field)), width)

    def _encode_singly(self, count: int, columns: Mapping[str, FieldColumn]) -> list[bytes]:
        message = self._class(**{name: column for name, column in columns.items() if isinstance(column, SCALARS)})
        varying = [(name, cells_of(column)) for name, column in columns.items() if not isinstance(column, SCALARS)]
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

    def _field(self, name: str) -> Field:
        field = self._fields.get(name)
        if field is None:
            raise ValueError(f"{self._name} has no field `{name}`")
        return field


def _encode(count: int, plan: _Plan, columns: Mapping[str, FieldColumn]) -> ByteColumn:
    if count == 0:
        return ByteColumn.of([])
    pieces = [Piece(part) if isinstance(part, bytes) else piece_of(part, columns[part.name]) for part in plan.parts]
    return put_together(count, pieces)


def _number(field: Field) -> int:
    return field.number
