"""Values to protobuf messages of the same shape, and back, by the types that the value's class declares.

A class and its message have the same fields by name. A nested value is a nested message, a tuple a repeated field, a
`Map` a map, `X | None` a field with presence. What a class has and its message lacks is left out, and the other way
round, so either side may be the newer one. For records that are written seldom; nothing in the hot path comes here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar, cast

from google.protobuf.message import Message
from immutables import Map

Value = TypeVar("Value")
Read = Callable[[Any], Any]


def write(value: Any, message: Message) -> None:
    """Fill a message from a value (a dataclass instance) of the same shape.

    Raises:
        ValueError, TypeError: A number or text does not fit its field.
    """
    fields = message.DESCRIPTOR.fields_by_name
    for name in _readers(cast(Hashable, type(value))):
        field = fields.get(name)
        item = getattr(value, name)
        if field is None or item is None:
            continue
        if isinstance(item, Map):
            getattr(message, name).update(dict(item))
        elif isinstance(item, tuple) and not _is_record(item):
            _write_all(item, getattr(message, name))
        elif _is_record(item):
            nested = getattr(message, name)
            nested.SetInParent()
            write(item, nested)
        else:
            setattr(message, name, item)


def read(kind: type[Value], message: Message) -> Value:
    """The value of a class from a message of the same shape."""
    values = []
    for name, has_presence, reader, absent in _parts(cast(Hashable, kind), message.DESCRIPTOR):
        if reader is None or (has_presence and not message.HasField(name)):
            values.append(absent())
        elif reader is _as_it_is:
            values.append(getattr(message, name))
        else:
            values.append(reader(getattr(message, name)))
    return kind(*values)


class _Part(NamedTuple):
    """One field of a class: its name, whether its message says that it is absent, how it is read (`None`: the message has
    no such field), and what it is when it is absent.
    """

    name: str
    has_presence: bool
    reader: Read | None
    absent: Callable[[], Any]


@lru_cache(maxsize=256)
def _parts(kind: Hashable, descriptor: Any) -> tuple[_Part, ...]:
    """The fields of a class, in its order, beside those of a message."""
    parts = []
    for name, reader in _readers(kind).items():
        field = descriptor.fields_by_name.get(name)
        found = reader if field is not None else None
        parts.append(_Part(name, field is not None and field.has_presence, found, _default(kind, name)))
    return tuple(parts)


def _default(kind: Any, name: str) -> Callable[[], Any]:
    """What makes a field of a class whose message says nothing of it."""
    if not dataclasses.is_dataclass(kind):
        defaults = kind._field_defaults
        return (
            partial(_same, defaults[name]) if name in defaults else partial(_absent, typing.get_type_hints(kind)[name])
        )
    field = next(field for field in dataclasses.fields(kind) if field.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    if field.default is not dataclasses.MISSING:
        return partial(_same, field.default)
    return partial(_absent, typing.get_type_hints(kind)[name])


def _same(value: Any) -> Any:
    return value


def _absent(hint: Any) -> Any:
    """What a required field is when its message is absent: nothing, or an empty value of its class."""
    if type(None) in typing.get_args(hint):
        return None
    names = {name: _absent(inner) for name, inner in typing.get_type_hints(hint).items()} if _is_class(hint) else None
    return hint(**names) if names is not None else hint()


def _write_all(items: tuple[Any, ...], repeated: Any) -> None:
    for item in items:
        if _is_record(item):
            write(item, repeated.add())
        else:
            repeated.append(item)


@lru_cache(maxsize=256)
def _readers(kind: Hashable) -> dict[str, Read]:
    """Field name -> how its value is made of a message's field."""
    hints = typing.get_type_hints(kind)
    names = kind._fields if hasattr(kind, "_fields") else [field.name for field in dataclasses.fields(cast(Any, kind))]
    return {name: _reader(hints[name]) for name in names}


def _reader(hint: Any) -> Read:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _reader(next(part for part in typing.get_args(hint) if part is not type(None)))
    if origin is tuple:
        item = _reader(typing.get_args(hint)[0])
        return tuple if item is _as_it_is else lambda repeated: tuple([item(each) for each in repeated])
    if origin is Map:
        return lambda mapping: Map(dict(mapping))
    if _is_class(hint):
        return lambda message: read(hint, message)
    return _as_it_is


def _as_it_is(scalar: Any) -> Any:
    return scalar


def _is_class(hint: Any) -> bool:
    return isinstance(hint, type) and (dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"))


def _is_record(item: Any) -> bool:
    return dataclasses.is_dataclass(item) or hasattr(item, "_fields")
