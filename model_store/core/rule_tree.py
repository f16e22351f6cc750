"""The syntax tree of a rule, read from the message that the CEL library serialises an expression to.

The library parses, checks and evaluates, but shows its tree only as a protobuf message: `cel.expr.Expr` of `syntax.proto` in
the CEL specification, from where the field numbers here are. The tree keeps apart what can be translated to columns
(literals, fields, calls, lists); everything else is an `Opaque` part that only the library evaluates. Every node keeps its
serialised form, so that the library can be given any part of a rule.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

_CONSTANT, _IDENTIFIER, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = 3, 4, 5, 6, 7, 8, 9


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; `int` where the rule writes no fraction, which CEL tells from doubles."""

    value: bool | int | float | str
    encoded: bytes

    @property
    def fields(self) -> frozenset[str]:
        """It reads none."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the record: `a.b`, or `emb[3]`, one value of a field that has several."""

    name: str
    encoded: bytes

    @property
    def fields(self) -> frozenset[str]:
        """Itself."""
        return frozenset((self.name,))


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function. Operators have CEL's names, such as `_&&_` and `!_`; a receiver is the first argument."""

    function: str
    arguments: tuple[Node, ...]
    fields: frozenset[str]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Items:
    """A list that is written out."""

    items: tuple[Node, ...]
    fields: frozenset[str]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Opaque:
    """Anything else: maps, messages, other constants, comprehensions and the names that they bind."""

    fields: frozenset[str]
    encoded: bytes


Node = Literal | Field | Call | Items | Opaque


def read_tree(encoded: bytes, prefix: str = "", bound: frozenset[str] = frozenset()) -> Node:
    """The tree of a serialised `Expr`.

    Args:
        encoded: The message.
        prefix: What the names of fields begin with there; the nodes' names come without it. Other names are no fields.
        bound: Names that are no fields, because a comprehension around the expression binds them.

    Raises:
        ValueError: The expression asks with `has` whether a field is there.
    """
    parts = Message(encoded)

    def read(part: bytes, also_bound: Iterable[str] = ()) -> Node:
        return read_tree(part, prefix, bound.union(also_bound))

    if constant := parts.blob(_CONSTANT):
        return _literal(constant, encoded)
    if (path := _path(encoded, bound)) is not None:
        return Field(path.removeprefix(prefix), encoded) if path.startswith(prefix) else Opaque(frozenset(), encoded)
    if select := parts.blob(_SELECT):
        return Opaque(read(Message(select).blob(1)).fields, encoded)
    if call := parts.blob(_CALL):
        return _call(Message(call), [read(part) for part in _operands(Message(call))], encoded)
    if listed := parts.blob(_LIST):
        items = [read(part) for part in Message(listed).blobs(1)]
        return Items(tuple(items), _fields(items), encoded)
    if entries := parts.blob(_STRUCT):
        both = [Message(entry) for entry in Message(entries).blobs(2)]
        return Opaque(_fields(read(part) for entry in both for part in (*entry.blobs(3), *entry.blobs(4))), encoded)
    if comprehension := parts.blob(_COMPREHENSION):
        loop = Message(comprehension)
        names = [name.decode() for number in (1, 3, 8) for name in loop.blobs(number)]
        inside = [read(part, names) for number in (5, 6, 7) for part in loop.blobs(number)]
        return Opaque(_fields([read(loop.blob(2)), read(loop.blob(4)), *inside]), encoded)
    return Opaque(frozenset(), encoded)


class Message:
    """The fields of a serialised protobuf message, in order. Wire types 0, 1 and 2; `Expr` has no others."""

    def __init__(self, encoded: bytes) -> None:
        self._numbers: dict[int, int] = {}
        self._blobs: dict[int, list[bytes]] = {}
        at = 0
        while at < len(encoded):
            tag, at = _varint(encoded, at)
            if tag & 7 == 0:
                self._numbers[tag >> 3], at = _varint(encoded, at)
            else:
                length, at = (8, at) if tag & 7 == 1 else _varint(encoded, at)
                self._blobs.setdefault(tag >> 3, []).append(encoded[at : at + length])
                at += length

    def number(self, field: int) -> int | None:
        """The field's unsigned integer; `None` if it is not there."""
        return self._numbers.get(field)

    def blobs(self, field: int) -> list[bytes]:
        """The field's byte strings, in order."""
        return self._blobs.get(field, [])

    def blob(self, field: int) -> bytes:
        """The field's last byte string; empty if there is none."""
        return self.blobs(field)[-1] if field in self._blobs else b""


def enclosed(field: int, content: bytes) -> bytes:
    """A serialised message field that holds bytes or a message."""
    length, head = len(content), bytearray((field << 3 | 2,))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


def _literal(constant: bytes, encoded: bytes) -> Node:
    parts = Message(constant)
    if (truth := parts.number(2)) is not None:
        return Literal(bool(truth), encoded)
    if (whole := parts.number(3)) is not None:
        return Literal(whole - (whole >> 63 << 64), encoded)
    if fraction := parts.blob(5):
        return Literal(struct.unpack("<d", fraction)[0], encoded)
    if texts := parts.blobs(6):
        return Literal(texts[-1].decode(), encoded)
    return Opaque(frozenset(), encoded)


def _path(encoded: bytes, bound: frozenset[str]) -> str | None:
    """The dotted name that the expression is, if it is one and not bound."""
    parts = Message(encoded)
    if identifier := parts.blob(_IDENTIFIER):
        name = Message(identifier).blob(1).decode()
        return None if name in bound else name
    if select := parts.blob(_SELECT):
        operand = Message(select)
        path = _path(operand.blob(1), bound)
        if operand.number(3):
            raise ValueError(
                "has() is not for records: every field of a stream is there; a missing text is null (`field == null`), "
                "a missing number is not equal to itself (`field != field`)"
            )
        return None if path is None else f"{path}.{operand.blob(2).decode()}"
    return None


def _operands(call: Message) -> list[bytes]:
    return [*call.blobs(1), *call.blobs(3)]


def _call(call: Message, arguments: list[Node], encoded: bytes) -> Node:
    function = call.blob(2).decode()
    match function, arguments:
        case "_[_]", [Field(name), Literal(int(index))] if index >= 0 and type(index) is int and "[" not in name:
            return Field(f"{name}[{index}]", encoded)
    return Call(function, tuple(arguments), _fields(arguments), encoded)


def _fields(nodes: Iterable[Node]) -> frozenset[str]:
    return frozenset().union(*(node.fields for node in nodes))


def _varint(encoded: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = encoded[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at
