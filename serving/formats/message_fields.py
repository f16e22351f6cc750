"""What encoding needs of the fields of a protobuf message, and the columns of values that they can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

from serving.core.columns import TextColumn
from serving.formats.varints import varint

Scalar = bool | int | float | str | bytes | Message
SCALARS = (bool, int, float, str, bytes, Message)
ArrayColumn = (
    NDArray[np.float64]
    | NDArray[np.float32]
    | NDArray[np.int64]
    | NDArray[np.uint64]
    | NDArray[np.int32]
    | NDArray[np.uint32]
    | NDArray[np.bool_]
)
VaryingColumn = ArrayColumn | TextColumn
FieldColumn = Scalar | VaryingColumn

_F = FieldDescriptor
FIXED_DTYPES: dict[int, str] = {
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
EIGHT_BYTE_TYPES = (_F.TYPE_DOUBLE, _F.TYPE_FIXED64, _F.TYPE_SFIXED64)
ZIGZAG = (_F.TYPE_SINT32, _F.TYPE_SINT64)


@dataclass(frozen=True, slots=True)
class Field:
    """What encoding needs of a field descriptor; the descriptors themselves are slow to ask."""

    name: str
    number: int
    type: int
    has_presence: bool
    is_repeated: bool
    is_packed: bool
    tag: bytes
    oneof: str | None


def describe(field: FieldDescriptor) -> Field:
    """What encoding needs of it."""
    oneof = field.containing_oneof
    if field.is_repeated or field.type not in FIXED_DTYPES:
        wire_type = 0 if field.type in _VARINT_TYPES and not field.is_repeated else 2
    else:
        wire_type = 1 if field.type in EIGHT_BYTE_TYPES else 5
    return Field(
        name=field.name,
        number=field.number,
        type=field.type,
        has_presence=field.has_presence,
        is_repeated=field.is_repeated,
        is_packed=field.is_packed,
        tag=varint(field.number << 3 | wire_type),
        oneof=None if oneof is None else oneof.name,
    )


def check_column(field: Field, column: FieldColumn, count: int) -> None:
    """That a field takes a column. Raises `ValueError` where it does not, or where the column has not `count` values."""
    if isinstance(column, SCALARS):
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
    if field.is_repeated and (field.type not in FIXED_DTYPES or not field.is_packed):
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


def _check_range(field: Field, column: ArrayColumn) -> None:
    if column.dtype.kind not in "iu":
        raise ValueError(f"`{field.name}` is an integer, not {column.dtype}")
    lowest, highest = _INTEGER_RANGES[field.type]
    bits = 8 * column.dtype.itemsize
    held = (0, 2**bits - 1) if column.dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if lowest <= held[0] and held[1] <= highest:
        return
    if column.size and (int(column.min()) < lowest or int(column.max()) > highest):
        raise ValueError(f"`{field.name}` has a value that is not between {lowest} and {highest}")


def width_of(column: FieldColumn) -> int:
    """About the most bytes that a row of the column takes."""
    if isinstance(column, TextColumn):
        return 16 + 4 * max(map(len, column.values), default=0)
    if isinstance(column, str | bytes):
        return 16 + 4 * len(column)
    if isinstance(column, Message):
        return 16 + column.ByteSize()
    return 16 if not isinstance(column, np.ndarray) or column.ndim == 1 else 16 + 8 * column.shape[1]


def rows_of(column: FieldColumn, start: int, stop: int) -> FieldColumn:
    """The column of some rows; not copied."""
    if isinstance(column, TextColumn):
        return TextColumn(column.codes[start:stop], column.values)
    return column[start:stop] if isinstance(column, np.ndarray) else column


def cells_of(column: VaryingColumn) -> Sequence[object]:
    """One value a row as the protobuf runtime takes it: a number, a list of numbers, a string; `None` for a missing one."""
    if isinstance(column, TextColumn):
        values = [*column.values, None]  # which code -1 finds
        return [values[code] for code in column.codes.tolist()]
    cells: list[object] = column.tolist()
    return cells
