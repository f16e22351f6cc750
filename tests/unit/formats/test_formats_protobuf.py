"""What the protobuf format adds to the runtime's answers: reasons, the route field, and that layouts are used at all."""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from serving.formats.base import FieldSelection, Rejected
from serving.formats.fields import parse_field
from serving.formats.layout_decoder import LayoutDecoder, Rows, Tuning
from serving.formats.protobuf import ProtobufFormat
from serving.formats.protobuf_schema import resolve_number, resolve_text
from serving.formats.protobuf_walk import Walker

T = descriptor_pb2.FieldDescriptorProto


def _wine() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="unit/wine.proto", package="unit", syntax="proto3")
    message = file.message_type.add(name="Wine")
    message.oneof_decl.add(name="_ph")
    message.oneof_decl.add(name="_colour")
    message.field.add(name="alcohol", number=1, type=T.TYPE_DOUBLE, label=1)
    message.field.add(name="ph", number=2, type=T.TYPE_DOUBLE, label=1, proto3_optional=True, oneof_index=0)
    message.field.add(name="colour", number=3, type=T.TYPE_STRING, label=1, proto3_optional=True, oneof_index=1)
    message.field.add(name="vector", number=4, type=T.TYPE_FLOAT, label=3)
    message.field.add(name="kind", number=5, type=T.TYPE_STRING, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindMessageTypeByName("unit.Wine")


WINE = _wine()
Wine: Any = message_factory.GetMessageClass(WINE)


def decode(values: Sequence[bytes | None], *features: str, **selection: Any) -> Any:
    return ProtobufFormat(WINE, FieldSelection(features or ("alcohol",), **selection)).decode(values)


def words(batch: Any, column: int = 0) -> list[str | None]:
    text = batch.texts[column]
    return [None if code < 0 else text.values[code] for code in text.codes.tolist()]


@pytest.mark.parametrize(
    ("value", "stage", "reason"),
    [
        (b"\x09abc", "decode", "4 bytes are not a unit.Wine: damaged, or another message"),
        (None, "decode", "the record has no value (a tombstone)"),
        (b"", "features", "field `ph` is missing"),
        (Wine(ph=1.0).SerializeToString(), "features", "field `vector` is missing"),
        (Wine(ph=1.0, vector=[1.0]).SerializeToString(), "features", "field `vector` has 1 values, 2 expected"),
        (Wine(ph=1.0, vector=[1.0, 2.0]).SerializeToString(), "features", "field `colour` is missing"),
    ],
)
@pytest.mark.parametrize("copies", [1, 100])
def test_a_bad_record_is_rejected_with_the_reason(value: bytes | None, stage: str, reason: str, copies: int) -> None:
    good = Wine(ph=3.0, vector=[1.0, 2.0], colour="red").SerializeToString()

    decoded = decode([good] + [value] * copies, "ph", "vector[2]", texts=("colour",))

    assert {(one.stage, one.reason) for one in decoded.bad} == {(stage, reason)}
    assert [one.row for one in decoded.bad] == list(range(1, copies + 1))
    assert decoded.rows.tolist() == [0]


@pytest.mark.parametrize("copies", [1, 100])
def test_a_field_without_presence_is_its_default_and_never_missing(copies: int) -> None:
    decoded = decode([b""] * copies, "alcohol", texts=("kind",))

    assert decoded.matrix.tolist() == [[0.0]] * copies
    assert words(decoded) == [""] * copies


@pytest.mark.parametrize("copies", [1, 100])
@pytest.mark.parametrize("missing", ["reject", "model"])
def test_a_route_field_that_is_missing_or_empty_is_left_to_the_pipeline(copies: int, missing: Any) -> None:
    values = [Wine(alcohol=1.0).SerializeToString(), Wine(alcohol=1.0, colour="").SerializeToString()] * copies

    decoded = decode(values, route_field="colour", missing=missing)

    assert words(decoded) == [None, ""] * copies
    assert not decoded.bad


@pytest.mark.parametrize("copies", [1, 100])
def test_nan_and_infinity_of_a_record_reach_the_matrix_unchanged(copies: int) -> None:
    numbers = [math.nan, math.inf, -math.inf, -0.0]
    values = [Wine(ph=number).SerializeToString() for number in numbers] * copies

    decoded = decode(values, "ph")

    assert [struct.pack("<d", row[0]) for row in decoded.matrix] == [struct.pack("<d", n) for n in numbers] * copies


def test_the_route_field_is_not_repeated_if_it_is_a_text_feature_too() -> None:
    wine = ProtobufFormat(WINE, FieldSelection(("ph",), ("kind", "colour"), "kind"))

    assert wine.texts == ("kind", "colour")


def test_an_empty_batch_has_no_rows() -> None:
    decoded = decode([], "ph", "vector[2]", texts=("kind",))

    assert decoded.matrix.shape == (0, 3)
    assert decoded.rows.tolist() == []
    assert not decoded.bad


def test_records_of_known_layouts_never_reach_the_exact_parser() -> None:
    numbers, texts = [resolve_number(WINE, parse_field("alcohol"))], [resolve_text(WINE, parse_field("kind"))]
    walker = Walker(WINE, numbers, texts, refuse_missing=[True, True])

    def exact(values: Sequence[bytes | None], rows: Sequence[int]) -> tuple[Rows, list[Rejected]]:
        raise AssertionError(f"{len(rows)} records were left to the exact parser")

    decoder = LayoutDecoder(numbers=1, texts=1, walk=walker.walk, exact=exact, exact_us=1.0, tuning=Tuning())
    values = [Wine(alcohol=row * 0.5, kind="red" if row % 3 else "white").SerializeToString() for row in range(1, 1001)]

    decoded = decoder.decode(values)

    assert decoded.matrix[:, 0].tolist() == [row * 0.5 for row in range(1, 1001)]
    assert words(decoded) == ["red" if row % 3 else "white" for row in range(1, 1001)]


@pytest.mark.parametrize("length", [20, 20_000])
def test_shapes_that_never_come_back_buy_neither_memory_nor_work_without_bound(length: int) -> None:
    walked: list[bytes] = []
    walker = Walker(WINE, [resolve_number(WINE, parse_field("alcohol"))], [], refuse_missing=[True])

    def walk(record: bytes) -> Any:
        walked.append(record)
        return walker.walk(record)

    def exact(values: Sequence[bytes | None], rows: Sequence[int]) -> tuple[Rows, list[Rejected]]:
        return Rows(np.array(rows, np.int64), np.zeros((len(rows), 1)), ()), []

    decoder = LayoutDecoder(numbers=1, texts=0, walk=walk, exact=exact, exact_us=1.0, tuning=Tuning())
    batches, records = 60, 400
    for batch in range(batches):
        decoder.decode([Wine(kind="x" * (length + 10 * batch + i // 40)).SerializeToString() for i in range(records)])

    allowance = Tuning().walks_saved + batches * (Tuning().walks_per_batch + records / 256)
    assert 0 < len(walked) <= allowance
    assert sum(map(len, walked)) <= 256 * allowance + 2 * length
