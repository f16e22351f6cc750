"""Encodes columns to serialised protobuf messages, a batch at a time, byte for byte as the protobuf runtime does.

Theory of operation. A message is a row of *pieces*, in the order of the field numbers (`pieces`): bytes that are the same
in all messages, payloads of fixed width, varints, entries of a table of strings. Each is as wide as its widest row, and
each row uses a prefix of it; they are put together a batch at a time (`assembling`).

What is the same in all messages is serialised once, by the runtime, and remembered for the next batch. Messages of one
batch may also be of several *variants*, each with scalars of its own: results of several models. That costs next to
nothing a variant, where a batch for each would cost what a batch costs whatever its size.

A batch of a few messages is left to the protobuf runtime, which has no fixed cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

from serving.core.byte_column import ByteColumn
from serving.formats.assembling import put_together
from serving.formats.message_fields import (
    SCALARS,
    Field,
    FieldColumn,
    Scalar,
    VaryingColumn,
    cells_of,
    check_column,
    describe,
    rows_of,
    width_of,
)
from serving.formats.pieces import Piece, piece_of

_NO_KEYS = (float, Message)  # -0.0 equals 0.0, but is written otherwise; messages cannot be keys
# So many bytes are put together at a time: they stay in the cache, and one long string does not widen all rows of a large
# batch.
_BYTES_AT_ONCE = 4 << 20
# The fixed cost of a batch is that of about this many messages by the runtime (measured: 40 us, 1.2 us).
FEWEST_MESSAGES = 32
# Those of versions that no longer serve would add up: 5 kB for the results of one in four partitions (measured).
_PLANS_LIVE_SECONDS = 60.0
# Records can name any number of data types, and each would have plans of its own.
_PLANS_KEPT = 8_192


@dataclass(frozen=True, slots=True)
class Variants:
    """Scalars that are not the same in all messages.

    Attributes:
        scalars: Those of each variant, at least one.
        of_row: int64 (n,), which of them each message has.
    """

    scalars: Sequence[Mapping[str, Scalar]]
    of_row: NDArray[np.int64]


ONE_VARIANT: Final = Variants(({},), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same for all batches with the same scalars and the same varying fields.

    Attributes:
        varying: The fields that vary, in the order of their numbers.
        heads: The serialised scalars before each of them, and behind the last.
        width: Bytes of the scalars.
    """

    varying: tuple[Field, ...]
    heads: tuple[bytes, ...]
    width: int


_PlanKey = tuple[object, ...]


class MessageEncoder:
    """Encodes one message type. Any thread: what it remembers may be made twice, and is the same then."""

    def __init__(
        self,
        message: Descriptor,
        *,
        fewest_messages: int = FEWEST_MESSAGES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`message` must be proto3. Batches smaller than `fewest_messages` are left to the runtime. `clock` gives seconds."""
        self._fewest_messages = fewest_messages
        self._class: type[Message] = message_factory.GetMessageClass(message)
        self._fields = {field.name: describe(field) for field in message.fields}
        self._name = message.full_name
        self._clock = clock
        self._plans: dict[_PlanKey, _Plan] = {}
        self._earlier: dict[_PlanKey, _Plan] = {}
        self._renewed = clock()

    def encode(
        self, count: int, columns: Mapping[str, FieldColumn], variants: Variants = ONE_VARIANT
    ) -> Sequence[bytes]:
        """`count` messages, each equal to `SerializeToString(deterministic=True)` of a message with these fields.

        A scalar is the value in all messages; an array (n,) one value a message; an array (n, d) a packed repeated field
        of fixed-width numbers with d values in each message; a `TextColumn` a string a message, absent where its code is
        -1. A field without presence that has its default is not written; one with presence is. Each message also has
        the scalars of its variant.

        Raises:
            ValueError: No such field, a column of another length or type, or a value out of the field's range.
        """
        same = {name: column for name, column in columns.items() if isinstance(column, SCALARS)}
        varying = {name: column for name, column in columns.items() if not isinstance(column, SCALARS)}
        messages = [{**same, **scalars} for scalars in variants.scalars]
        plans = [self._planned(scalars, varying) for scalars in messages]
        for field in plans[0].varying:
            check_column(field, varying[field.name], count)
        of_row = variants.of_row if len(plans) > 1 else None
        if count < max(1, self._fewest_messages):
            return self._encode_singly(count, messages, varying, of_row)
        widest = max(plan.width for plan in plans) + sum(map(width_of, varying.values()))
        rows_at_once = max(1, _BYTES_AT_ONCE // max(1, widest))
        if count <= rows_at_once:
            return _encode(count, plans, varying, of_row)
        parts: list[ByteColumn] = []
        for start in range(0, count, rows_at_once):
            stop = min(count, start + rows_at_once)
            part = {name: rows_of(column, start, stop) for name, column in varying.items()}
            parts.append(_encode(stop - start, plans, part, None if of_row is None else of_row[start:stop]))
        return ByteColumn.joined(parts)

    def _planned(self, scalars: Mapping[str, Scalar], varying: Collection[str]) -> _Plan:
        """The plan for these scalars and varying fields; the same ones come batch after batch."""
        if any(isinstance(scalar, _NO_KEYS) for scalar in scalars.values()):
            return self._plan(scalars, varying)
        key = *scalars.items(), *varying
        plan = self._plans.get(key)
        if plan is None:
            self._forget()
            plan = self._plans[key] = self._earlier.get(key) or self._plan(scalars, varying)
        return plan

    def _forget(self) -> None:
        """Let go of plans that were not used for `_PLANS_LIVE_SECONDS` at least, or since there were too many."""
        now = self._clock()
        if now - self._renewed >= _PLANS_LIVE_SECONDS or len(self._plans) >= _PLANS_KEPT:
            self._earlier, self._plans, self._renewed = self._plans, {}, now

    def _plan(self, scalars: Mapping[str, Scalar], varying: Collection[str]) -> _Plan:
        fields = sorted(map(self._field, (*scalars, *varying)), key=_number)
        chosen: set[str] = set()
        heads: list[bytes] = []
        before: dict[str, Scalar] = {}
        for field in fields:
            if field.oneof is not None:
                if field.oneof in chosen:
                    raise ValueError(f"{self._name}: only one member of `{field.oneof}` can be set")
                chosen.add(field.oneof)
            if field.name in scalars:
                before[field.name] = scalars[field.name]
                continue
            heads.append(self._class(**before).SerializeToString(deterministic=True))
            before = {}
        heads.append(self._class(**before).SerializeToString(deterministic=True))
        width = sum(map(len, heads))
        return _Plan(tuple(field for field in fields if field.name in varying), tuple(heads), width)

    def _encode_singly(
        self,
        count: int,
        variants: Sequence[Mapping[str, Scalar]],
        columns: Mapping[str, VaryingColumn],
        of_row: NDArray[np.int64] | None,
    ) -> list[bytes]:
        messages = [self._class(**scalars) for scalars in variants]
        which = [0] * count if of_row is None else of_row.tolist()
        varying = [(name, cells_of(column)) for name, column in columns.items()]
        out = []
        for row in range(count):
            message = messages[which[row]]
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


def _encode(
    count: int, plans: Sequence[_Plan], columns: Mapping[str, FieldColumn], of_row: NDArray[np.int64] | None
) -> ByteColumn:
    pieces: list[Piece] = []
    for number, heads in enumerate(zip(*(plan.heads for plan in plans), strict=True)):
        if any(heads):
            pieces.append(Piece(heads if heads.count(heads[0]) < len(heads) else heads[:1]))
        if number < len(plans[0].varying):
            field = plans[0].varying[number]
            pieces.append(piece_of(field, columns[field.name]))
    return put_together(count, pieces, of_row)


def _number(field: Field) -> int:
    return field.number
