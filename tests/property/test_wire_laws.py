import dataclasses
import hashlib
import math
import types
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from modelserving.v1 import commands_pb2, descriptor_pb2

from model_store.core.commands import Command, RegisterVersion
from model_store.core.control_records import (
    Announced,
    ControlRecord,
    Invalid,
    Unknown,
)
from model_store.core.descriptor import Descriptor, FeatureBinding, GoldenRow, Preprocessing
from model_store.core.guards import SIGNALS, Guard
from model_store.core.unknown_fields import unknown_fields
from model_store.core.wire import EncodedRecord, decode_record, encode_command, encode_descriptor, encode_worker_record
from model_store.core.wire_commands import BODIES, WORKER_RECORDS

LETTERS = "abcxyz019._- äÄ"
names = st.text(LETTERS, min_size=1, max_size=20)
texts = st.text(LETTERS, max_size=20)
numbers = st.floats(allow_nan=False)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of fewer than 128 bytes, by hand."""
    tag = number << 3 | 2
    return bytes([tag & 0x7F | 0x80, tag >> 7 & 0x7F | 0x80, tag >> 14, len(payload)]) + payload


def fields_from(first: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.builds(field, st.integers(first, first + 100), st.binary(max_size=8)), max_size=3).map(b"".join)


golden_rows = st.builds(
    GoldenRow,
    st.dictionaries(texts, numbers, max_size=3).map(Map),
    st.dictionaries(texts, texts, max_size=2).map(Map),
    st.dictionaries(texts, numbers, max_size=2).map(Map),
    st.dictionaries(texts, texts, max_size=2).map(Map),
    numbers,
    fields_from(50),
)


@st.composite
def announcements(draw: st.DrawFn) -> tuple[Descriptor, bytes | None]:
    payload = draw(st.one_of(st.none(), st.binary(min_size=1, max_size=50).map(lambda some: b"\x01" + some)))
    digest = hashlib.sha256(payload).digest() if payload is not None else draw(st.none() | st.just(b"\5" * 32))
    return (
        Descriptor(
            name=draw(names),
            data_type=draw(names),
            model_type=draw(st.sampled_from(["TENSORFLOW", "TENSORFLOWSAVED", "PMML", "onnx"])),
            description=draw(texts),
            location="/models/m" if payload is None else None,
            size_bytes=None if payload is None else len(payload),
            sha256=digest,
            feature_mapping=tuple(draw(st.lists(st.builds(FeatureBinding, texts, texts, fields_from(50)), max_size=3))),
            signature_name=draw(texts),
            input_names=tuple(draw(st.lists(texts, max_size=3))),
            output_names=tuple(draw(st.lists(texts, max_size=3))),
            golden_rows=tuple(draw(st.lists(golden_rows, max_size=2))),
            use_case=draw(texts),
            publisher=draw(texts),
            request_id=draw(texts),
            source=draw(texts),
            preprocessing=draw(
                st.none() | st.builds(Preprocessing, st.integers(0, 1000), texts, texts, fields_from(50))
            ),
            unknown=draw(fields_from(1000)),
        ),
        payload,
    )


@settings(deadline=None)
@given(announcements(), st.sampled_from(["sluice", "pmml-1"]))
def test_a_descriptor_is_read_back_as_it_was_written_unknown_fields_included(
    announcement: tuple[Descriptor, bytes | None], dialect: str
) -> None:
    descriptor, payload = announcement

    record = encode_descriptor(descriptor, payload, dialect)  # type: ignore[arg-type]  # only the two dialects are drawn

    assert decode_record(record.headers, record.key, record.value, dialect) == Announced(descriptor, payload)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, "worker-started", "model-report", "other"]))
def test_no_bytes_make_the_decoder_raise(value: bytes, record_type: str | None) -> None:
    decode_record(None if record_type is None else [("sluice-type", record_type)], None, value)


@settings(deadline=None)
@given(announcements(), st.data())
def test_a_damaged_descriptor_is_a_value_too(
    announcement: tuple[Descriptor, bytes | None], data: st.DataObject
) -> None:
    value = bytearray(encode_descriptor(*announcement).value)
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))

    assert isinstance(decode_record(None, None, bytes(value)), Announced | Invalid)


@settings(deadline=None)
@given(fields_from(100), fields_from(300), st.integers(100, 400))
def test_unknown_fields_are_what_remains_without_the_known_ones(one: bytes, other: bytes, split: int) -> None:
    everything = one + other

    kept = unknown_fields(everything, range(1, split))

    assert unknown_fields(everything, ()) == everything
    assert unknown_fields(kept, range(1, split)) == kept
    assert len(kept) + len(unknown_fields(everything, range(split, 10_000))) == len(everything)


def test_unknown_fields_of_every_wire_type_are_kept() -> None:
    varint, fixed64, fixed32 = b"\xa0\x06\x96\x01", b"\xa1\x06" + b"8" * 8, b"\xa5\x06" + b"4" * 4
    group = b"\xa3\x06" + b"\x0b\x08\x01\x0c" + b"\xa4\x06"
    unknown = varint + fixed64 + fixed32 + group
    value = descriptor_pb2.ModelDescriptor(name="m", data_type="d", location="/m").SerializeToString() + unknown

    record = decode_record(None, None, value)

    assert isinstance(record, Announced)
    assert record.descriptor.unknown == unknown
    assert encode_descriptor(record.descriptor, None).value.endswith(unknown)


INT32 = {"approvals", "weight", "first", "timeout_ms", "step", "partition", "breaches"}
"""Fields of values whose messages have 32 bits for them; all other whole numbers have 64."""

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
guards = st.one_of(
    st.builds(
        Guard,
        st.sampled_from(SIGNALS),
        st.floats(0, 1),
        st.just(False),
        st.integers(1, 2**40),
        st.integers(1, 2**31 - 1),
    ),
    st.builds(
        Guard,
        st.sampled_from(["error_rate", "p99_ms"]),
        st.floats(0, 1e300),
        st.just(True),
        tolerance=st.floats(0, 1e9),
    ),
)


def values(hint: Any, name: str = "") -> st.SearchStrategy[Any]:
    """All values of a type, as far as the wire has room for them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Guard:
        return guards
    if hint is int:
        bits = 31 if name in INT32 else 63
        return st.integers(-(2**bits), 2**bits - 1)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(st.none() if part is type(None) else values(part, name) for part in arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is Map:
        return st.dictionaries(any_text, any_text, max_size=3).map(Map)
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        return st.builds(hint, **{field: values(kind, field) for field, kind in typing.get_type_hints(hint).items()})
    simple = {str: any_text, bool: st.booleans(), float: st.floats(allow_nan=False), bytes: st.binary(max_size=20)}
    return simple[hint]


@st.composite
def registrations(draw: st.DrawFn) -> tuple[RegisterVersion, bytes | None]:
    descriptor, payload = draw(announcements())
    references = Map(draw(st.dictionaries(any_text, any_text, max_size=3)))
    return RegisterVersion(descriptor, references, draw(any_text), draw(values(int))), payload


def commands_with(body: st.SearchStrategy[tuple[Any, bytes | None]]) -> st.SearchStrategy[Command]:
    return st.builds(
        lambda name, actor, reason, revision, what: Command(name, actor, reason, what[0], revision, what[1]),
        any_text, any_text, any_text, st.none() | values(int), body,
    )  # fmt: skip


COMMANDS = {
    name: commands_with(registrations() if kind is RegisterVersion else values(kind).map(lambda body: (body, None)))
    for name, kind in BODIES.items()
}
ENCODED: dict[str, st.SearchStrategy[tuple[ControlRecord, EncodedRecord]]] = {
    **{name: found.map(lambda command: (command, encode_command(command))) for name, found in COMMANDS.items()},
    **{
        name: values(kind).map(lambda record: (record, encode_worker_record(record)))
        for name, (kind, _) in WORKER_RECORDS.items()
    },
}
"""Kind of command, or of what a worker says -> values of it, and what is written of them."""


@pytest.mark.parametrize("kind", ENCODED)
@settings(max_examples=40)
@given(st.data())
def test_a_command_or_a_workers_word_is_read_back_as_it_was_written(kind: str, data: st.DataObject) -> None:
    value, record = data.draw(ENCODED[kind])

    assert decode_record(record.headers, record.key, record.value) == value


@pytest.mark.parametrize("kind", ENCODED)
@settings(max_examples=15)
@given(st.data(), fields_from(1000))
def test_fields_of_a_later_version_are_passed_over(kind: str, data: st.DataObject, later: bytes) -> None:
    value, record = data.draw(ENCODED[kind])

    assert decode_record(record.headers, record.key, record.value + later) == value


@pytest.mark.parametrize("kind", ENCODED)
@settings(max_examples=15)
@given(st.data())
def test_what_does_not_parse_is_unknown_and_says_so(kind: str, data: st.DataObject) -> None:
    _, record = data.draw(ENCODED[kind])
    record_type = record.headers[0][1].decode()

    assert decode_record(record.headers, record.key, record.value + b"\xff") == Unknown(f"{record_type} (damaged)")


@pytest.mark.parametrize("kind", ENCODED)
@settings(max_examples=40)
@given(st.data())
def test_a_damaged_record_is_unknown_or_another_of_its_kind(kind: str, data: st.DataObject) -> None:
    value, record = data.draw(ENCODED[kind])
    damaged = bytearray(record.value)
    if damaged:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))

    assert isinstance(decode_record(record.headers, record.key, bytes(damaged)), Unknown | type(value))


def test_a_command_of_a_later_version_is_unknown_and_says_so() -> None:
    headers = [("sluice-type", b"command")]

    assert decode_record(headers, None, field(900, b"later")) == Unknown("command (of a later version)")
    assert decode_record(headers, None, b"") == Unknown("command (of a later version)")


def test_a_guard_that_makes_no_sense_makes_its_command_unknown() -> None:
    start = commands_pb2.StartRollout(key="a", guards=[commands_pb2.Guard(signal="psi", limit=math.nan)])
    value = commands_pb2.Command(start_rollout=start).SerializeToString()

    assert decode_record([("sluice-type", b"command")], None, value) == Unknown("command (damaged)")
