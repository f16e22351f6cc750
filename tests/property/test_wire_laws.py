import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from modelserving.v1 import descriptor_pb2

from model_store.core.control_records import Announced, Invalid
from model_store.core.descriptor import Descriptor, FeatureBinding, GoldenRow, Preprocessing
from model_store.core.unknown_fields import unknown_fields
from model_store.core.wire import decode_record, encode_descriptor

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
