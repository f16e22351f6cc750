import hashlib
from dataclasses import replace

import pytest
from modelserving.v1 import control_pb2, descriptor_pb2

from model_store.core.control_records import (
    Announced,
    Invalid,
    ModelReport,
    ModelState,
    PartitionOffset,
    StreamDeclared,
    Unknown,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.errors import InvalidDescriptorError
from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from model_store.core.wire import (
    decode_record,
    encode_descriptor,
    encode_model_report,
    encode_worker_started,
    signature_from_proto,
    signature_to_proto,
)

PAYLOAD = b"<PMML/>"
PMML_DESCRIPTOR = Descriptor("tree", "wine", "PMML", size_bytes=len(PAYLOAD), sha256=hashlib.sha256(PAYLOAD).digest())
SIGNATURE = Signature(
    (TensorSpec("x", "float32", (11,)), TensorSpec("colour", "string", (), ("red", "white"))),
    (TensorSpec("y", "float64", (-1, 3)),),
    (FeatureSlot(None), FeatureSlot("colour", is_text=True, is_optional=True)),
)


def bare(**fields: object) -> bytes:
    complete = {"name": "m", "data_type": "wine", "modeltype": 2, "data": PAYLOAD, **fields}
    kept = {name: value for name, value in complete.items() if value is not None}
    return descriptor_pb2.ModelDescriptor(**kept).SerializeToString()  # type: ignore[arg-type]  # checked when it runs


def reason_of(value: bytes | None, dialect: str = "sluice") -> str:
    record = decode_record(None, None, value, dialect)  # type: ignore[arg-type]  # only the two dialects are passed
    assert isinstance(record, Invalid), record
    return record.reason


def test_a_descriptor_is_keyed_by_its_data_type_and_has_no_type_header() -> None:
    record = encode_descriptor(PMML_DESCRIPTOR, PAYLOAD)

    assert (record.key, record.headers) == (b"wine", [])


def test_without_name_data_type_or_content_a_descriptor_is_invalid() -> None:
    assert reason_of(bare(name="")) == "the descriptor has no name"
    assert reason_of(bare(data_type=None)) == "the descriptor has no data_type"
    assert "no content" in reason_of(bare(data=b""))
    assert "no content" in reason_of(bare(data=None))
    assert "no content" in reason_of(bare(data=None, location=""))


def test_an_unprintable_or_endless_name_is_invalid() -> None:
    assert "cannot be printed" in reason_of(bare(name="a\x1b[2J"))
    assert "256 characters, at most 255" in reason_of(bare(name="n" * 256))


def test_names_of_other_publishers_need_not_follow_our_rule() -> None:
    record = decode_record(None, None, bare(name="Wine Quality (Übung)", data_type="Wein/rot"))

    assert isinstance(record, Announced)
    assert record.descriptor.data_type == "Wein/rot"


def test_a_digest_that_contradicts_the_inline_bytes_is_invalid_with_both_named() -> None:
    reason = reason_of(bare(sha256=b"\1" * 32))

    assert "01" * 32 in reason
    assert hashlib.sha256(PAYLOAD).hexdigest() in reason


def test_a_digest_of_another_length_is_invalid() -> None:
    assert reason_of(bare(sha256=b"abc")) == "sha256 has 3 bytes, not 32"
    assert reason_of(bare(data=None, location="/m", sha256=b"abc")) == "sha256 has 3 bytes, not 32"


def test_an_unknown_model_type_number_is_invalid_with_the_known_ones_named() -> None:
    assert "modeltype 7 is none of TENSORFLOW=0, TENSORFLOWSAVED=1, PMML=2" in reason_of(bare(modeltype=7))


def test_an_engine_name_stands_above_the_enum_and_its_payload_is_not_looked_at() -> None:
    record = decode_record(None, None, bare(engine="ONNX", modeltype=0))

    assert isinstance(record, Announced)
    assert record.descriptor.model_type == "ONNX"


def test_bytes_that_no_parser_takes_are_invalid() -> None:
    for value in (b"\xff", b"\x0a\xff", b"\x0a\x02\xc3\x28", b"not protobuf at all"):
        assert "not a ModelDescriptor" in reason_of(value)


def test_a_tombstone_is_invalid() -> None:
    assert "without a value" in reason_of(None)


def test_an_unknown_record_type_is_unknown_and_not_a_descriptor() -> None:
    assert decode_record([("sluice-type", b"claim")], b"k", bare()) == Unknown("claim")
    assert decode_record([("sluice-type", None)], b"k", bare()) == Unknown("")
    assert decode_record([("other", b"claim")], b"k", bare()) == decode_record(None, None, bare())


def test_a_damaged_record_of_a_known_type_is_passed_over_as_damaged() -> None:
    for record_type in ("worker-started", "model-report"):
        for value in (b"\xff", b"", None):
            assert decode_record([("sluice-type", record_type)], b"k", value) == Unknown(f"{record_type} (damaged)")


def test_a_report_with_a_state_of_a_later_version_is_passed_over() -> None:
    later = control_pb2.ModelReport(worker="w", epoch="e", state=99)  # type: ignore[arg-type]  # an open enum

    assert decode_record([("sluice-type", "model-report")], None, later.SerializeToString()) == Unknown(
        "model-report (damaged)"
    )


def test_what_a_worker_says_at_its_start_is_read_back() -> None:
    started = WorkerStarted(
        "w1",
        "e1",
        "host",
        42,
        "keyed",
        "sluice",
        (StreamDeclared("wine", "a", "b", "protobuf", "c"),),
        "http://h:1",
        1234567,
        "0.1.0",
    )

    record = encode_worker_started(started)

    assert record.key == b"w1"
    assert decode_record(record.headers, record.key, record.value) == started


@pytest.mark.parametrize("state", ModelState)
def test_a_report_is_read_back(state: ModelState) -> None:
    report = ModelReport(
        "w1", "e1", 17, "tree", 3, "wine", state, "why", "damaged",
        (PartitionOffset("t", 0, 5), PartitionOffset("t", 1, 0)),
        1_700_000_000_123, 12.5, 0.25, SIGNATURE, b"\7" * 32, "engine 1", 99,
    )  # fmt: skip

    record = encode_model_report(report)

    assert decode_record(record.headers, record.key, record.value) == report


def test_a_report_without_a_signature_has_none() -> None:
    report = ModelReport("w1", "e1", 17, "tree", 3, "wine", ModelState.REFUSED)

    record = encode_model_report(report)

    assert decode_record(record.headers, record.key, record.value) == report


def test_a_signature_survives_its_message() -> None:
    assert signature_from_proto(signature_to_proto(SIGNATURE)) == SIGNATURE


def test_encoding_refuses_what_no_reader_would_accept() -> None:
    with pytest.raises(InvalidDescriptorError, match="no name"):
        encode_descriptor(replace(PMML_DESCRIPTOR, name=""), PAYLOAD)
    with pytest.raises(InvalidDescriptorError, match="inline bytes have"):
        encode_descriptor(PMML_DESCRIPTOR, b"<PMML />"[:7])
    with pytest.raises(InvalidDescriptorError, match="says 7 bytes, there are 8"):
        encode_descriptor(PMML_DESCRIPTOR, b"<PMML />")
    with pytest.raises(InvalidDescriptorError, match="exactly where it has no location"):
        encode_descriptor(PMML_DESCRIPTOR, None)
    with pytest.raises(InvalidDescriptorError, match="declared TENSORFLOW, but the payload looks like a PMML document"):
        encode_descriptor(replace(PMML_DESCRIPTOR, model_type="TENSORFLOW"), PAYLOAD)
