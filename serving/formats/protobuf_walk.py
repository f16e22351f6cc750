"""Walks one serialised protobuf message and notes its layout.

What is modelled: https://protobuf.dev/programming-guides/encoding/ as upb reads it, for proto3. Of a field that comes
twice the last value counts, messages merge, a oneof keeps its last member, repeated numbers may be packed or not, a known
field of the wrong wire type is an unknown one. Not modelled, and so left to the exact parser: groups, over-long tags and
lengths, nesting deeper than 32, invalid UTF-8, and all that is malformed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from serving.formats.layouts import Constant, Fixed, Layout, NoLayoutError, NoText, NumberSlot, Text, TextSlot, Varint
from serving.formats.message_fields import EIGHT_BYTE_TYPES, FIXED_DTYPES
from serving.formats.protobuf_schema import ProtobufField
from serving.formats.varints import VarintKind

_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5
_FIXED_WIDTH = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_DEEPEST = 32

_F = FieldDescriptor
_VARINT_KINDS: dict[int, VarintKind] = {
    _F.TYPE_INT64: "int64",
    _F.TYPE_UINT64: "uint64",
    _F.TYPE_INT32: "int32",
    _F.TYPE_UINT32: "uint32",
    _F.TYPE_BOOL: "bool",
    _F.TYPE_ENUM: "int32",
    _F.TYPE_SINT32: "sint32",
    _F.TYPE_SINT64: "sint64",
}


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column to fill. `count` is the length of a repeated field."""

    column: int
    is_text: bool
    count: int | None
    has_presence: bool


@dataclass(slots=True)
class _Wanted:
    """What is wanted of one message: its leaves, and what is wanted of the messages inside it, by field number."""

    leaves: dict[int, _Leaf] = field(default_factory=dict)
    inside: dict[int, _Wanted] = field(default_factory=dict)

    def all_leaves(self) -> Iterator[_Leaf]:
        yield from self.leaves.values()
        for wanted in self.inside.values():
            yield from wanted.all_leaves()


@dataclass(frozen=True, slots=True)
class _Known:
    """What the walk needs of a field descriptor; the descriptors themselves are slow to ask."""

    type: int
    wire_type: int
    is_repeated: bool
    message: Descriptor | None
    rivals: tuple[int, ...]
    """Numbers of the other members of its oneof."""


class Walker:
    """Finds the layouts of one message type for some of its fields. `walk` keeps nothing between calls."""

    def __init__(
        self,
        message: Descriptor,
        numbers: Sequence[ProtobufField],
        texts: Sequence[ProtobufField],
        *,
        refuse_missing: Sequence[bool],
    ) -> None:
        """`refuse_missing` says for each number and then each text whether a record without it has no layout."""
        self._message = message
        self._wanted = _Wanted()
        self._known: dict[str, dict[int, _Known]] = {}
        self._columns = 0
        self._texts = len(texts)
        self._refused_numbers: list[bool] = []
        for selected, refuse in zip(numbers, refuse_missing, strict=False):
            count = selected.path.count
            self._want(selected, _Leaf(self._columns, False, count, selected.field.has_presence))
            self._columns += count or 1
            self._refused_numbers += [refuse] * (count or 1)
        for column, selected in enumerate(texts):
            self._want(selected, _Leaf(column, True, None, selected.field.has_presence))
        self._refused_texts = list(refuse_missing[len(numbers) :])

    def walk(self, record: bytes) -> Layout:
        """The layout of a serialised message.

        Raises:
            NoLayoutError: The exact parser must decide.
        """
        walk = _Walk(self, record, [None] * self._columns, [None] * self._texts)
        walk.enter(self._wanted)
        walk.message(0, len(record), self._message, self._wanted, 0)
        for leaf in self._wanted.all_leaves():
            walk.place_vector(leaf)
        numbers = [_number(slot, refuse) for slot, refuse in zip(walk.numbers, self._refused_numbers, strict=True)]
        texts = [_text(slot, refuse) for slot, refuse in zip(walk.texts, self._refused_texts, strict=True)]
        return Layout(record, walk.mask, numbers, texts)

    def fields_of(self, message: Descriptor) -> dict[int, _Known]:
        """The fields of a message type by number."""
        known = self._known.get(message.full_name)
        if known is None:
            known = self._known[message.full_name] = {each.number: _describe(each) for each in message.fields}
        return known

    def _want(self, selected: ProtobufField, leaf: _Leaf) -> None:
        wanted = self._wanted
        for step in selected.chain[:-1]:
            wanted = wanted.inside.setdefault(step.number, _Wanted())
        wanted.leaves[selected.field.number] = leaf


@dataclass(slots=True)
class _Walk:
    """The state of one walk. A slot that is None is missing so far."""

    walker: Walker
    record: bytes
    numbers: list[NumberSlot | None]
    texts: list[TextSlot | None]
    vectors: dict[int, list[NumberSlot]] = field(default_factory=dict)
    mask: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.mask = bytearray(len(self.record))

    def enter(self, wanted: _Wanted) -> None:
        """The message is present: its fields without presence have their defaults from now on."""
        for leaf in wanted.leaves.values():
            if leaf.has_presence or leaf.count is not None:
                continue
            if leaf.is_text:
                self.texts[leaf.column] = self.texts[leaf.column] or NoText(is_missing=False)
            else:
                self.numbers[leaf.column] = self.numbers[leaf.column] or Constant(0.0)

    def clear(self, number: int, wanted: _Wanted) -> None:
        """Another member of its oneof came: the field, and all in it, is missing again."""
        leaf = wanted.leaves.get(number)
        leaves = [leaf] if leaf else []
        if number in wanted.inside:
            leaves.extend(wanted.inside[number].all_leaves())
        for each in leaves:
            if each.is_text:
                self.texts[each.column] = None
            elif each.count is not None:
                self.vectors.pop(each.column, None)
            else:
                self.numbers[each.column] = None

    def place_vector(self, leaf: _Leaf) -> None:
        """Put the values of a repeated field into its columns, once all are found."""
        if leaf.count is None:
            return
        slots = self.vectors.get(leaf.column)
        if slots is None:
            return
        if len(slots) != leaf.count:
            raise NoLayoutError
        self.numbers[leaf.column : leaf.column + leaf.count] = slots

    def message(self, start: int, end: int, message: Descriptor, wanted: _Wanted, depth: int) -> None:
        """Walk the fields of a message that lies in record[start:end]."""
        if depth > _DEEPEST:
            raise NoLayoutError
        fields = self.walker.fields_of(message)
        at = start
        while at < end:
            tag, after = self._varint(at, end, 5)
            self._steers(at, after)
            if after - at > 1 and self.record[after - 1] == 0:
                raise NoLayoutError
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise NoLayoutError
            known = fields.get(number)
            if known is not None and not _accepts(known, wire_type):
                known = None
            if known is not None:
                for rival in known.rivals:
                    self.clear(rival, wanted)
            leaf = wanted.leaves.get(number) if known is not None else None
            at = self._value(after, end, wire_type, number, known, leaf, wanted, depth)

    def _value(
        self,
        at: int,
        end: int,
        wire_type: int,
        number: int,
        known: _Known | None,
        leaf: _Leaf | None,
        wanted: _Wanted,
        depth: int,
    ) -> int:
        if wire_type == _VARINT:
            return self._integer(at, end, known, leaf)
        if wire_type in _FIXED_WIDTH:
            after = at + _FIXED_WIDTH[wire_type]
            if after > end:
                raise NoLayoutError
            self._fixed(at, known, leaf)
            return after
        if wire_type != _DELIMITED:
            raise NoLayoutError
        length, body = self._varint(at, end, 5)
        self._steers(at, body)
        after = body + length
        if (body - at > 1 and self.record[body - 1] == 0) or after > end:
            raise NoLayoutError
        if known is not None:
            self._delimited(body, after, number, known, leaf, wanted, depth)
        return after

    def _delimited(
        self, at: int, end: int, number: int, known: _Known, leaf: _Leaf | None, wanted: _Wanted, depth: int
    ) -> None:
        if known.type == _F.TYPE_STRING:
            self._string(at, end, leaf)
        elif known.message is not None:
            inside = wanted.inside.get(number, _Wanted())
            self.enter(inside)
            self.message(at, end, known.message, inside, depth + 1)
        elif known.type != _F.TYPE_BYTES:
            self._packed(at, end, known, leaf)

    def _string(self, at: int, end: int, leaf: _Leaf | None) -> None:
        text = self.record[at:end]
        if text.isascii():
            self.mask[at:end] = b"\x80" * (end - at)
        else:
            try:
                text.decode()
            except UnicodeDecodeError as error:
                raise NoLayoutError from error
            self._steers(at, end)
        if leaf is not None:
            self.texts[leaf.column] = Text(at, end - at)

    def _packed(self, at: int, end: int, known: _Known, leaf: _Leaf | None) -> None:
        if leaf is not None:
            self.vectors.setdefault(leaf.column, [])
        width = _FIXED_WIDTH.get(known.wire_type)
        if width is None:
            while at < end:
                at = self._integer(at, end, known, leaf)
            return
        if (end - at) % width:
            raise NoLayoutError
        for offset in range(at, end, width):
            self._fixed(offset, known, leaf)

    def _integer(self, at: int, end: int, known: _Known | None, leaf: _Leaf | None) -> int:
        _, after = self._varint(at, end, 10)
        self.mask[at:after] = b"\x80" * (after - at)
        if after - at == 10:
            # Only the lowest bit of the tenth byte is part of the number; runtimes differ on whether others may be set.
            self.mask[after - 1] = 0xFF
        if known is not None and leaf is not None:
            self._put(leaf, Varint(_VARINT_KINDS[known.type], at, after - at))
        return after

    def _fixed(self, at: int, known: _Known | None, leaf: _Leaf | None) -> None:
        if known is not None and leaf is not None:
            self._put(leaf, Fixed(FIXED_DTYPES[known.type], at))

    def _put(self, leaf: _Leaf, slot: NumberSlot) -> None:
        if leaf.count is None:
            self.numbers[leaf.column] = slot
        else:
            self.vectors.setdefault(leaf.column, []).append(slot)

    def _steers(self, start: int, end: int) -> None:
        self.mask[start:end] = b"\xff" * (end - start)

    def _varint(self, at: int, end: int, longest: int) -> tuple[int, int]:
        value = 0
        for i in range(longest):
            if at + i >= end:
                break
            byte = self.record[at + i]
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return value, at + i + 1
        raise NoLayoutError


def _describe(descriptor: FieldDescriptor) -> _Known:
    oneof = descriptor.containing_oneof
    rivals = () if oneof is None else tuple(f.number for f in oneof.fields if f.number != descriptor.number)
    return _Known(descriptor.type, _wire_type(descriptor.type), descriptor.is_repeated, descriptor.message_type, rivals)


def _wire_type(type_: int) -> int:
    if type_ in FIXED_DTYPES:
        return _EIGHT_BYTES if type_ in EIGHT_BYTE_TYPES else _FOUR_BYTES
    return _VARINT if type_ in _VARINT_KINDS else _DELIMITED


def _accepts(known: _Known, wire_type: int) -> bool:
    is_number = known.type in FIXED_DTYPES or known.type in _VARINT_KINDS
    return wire_type == known.wire_type or (known.is_repeated and is_number and wire_type == _DELIMITED)


def _number(slot: NumberSlot | None, refuse: bool) -> NumberSlot:
    if slot is None and refuse:
        raise NoLayoutError
    return Constant(float("nan")) if slot is None else slot


def _text(slot: TextSlot | None, refuse: bool) -> TextSlot:
    if slot is None and refuse:
        raise NoLayoutError
    return NoText(is_missing=True) if slot is None else slot
