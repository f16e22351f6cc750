"""Bare descriptors as the publishers of the four source systems write them, from their field numbers by protoc."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from model_store.core.control_records import Announced, Invalid
from model_store.core.descriptor import Preprocessing
from model_store.core.wire import decode_record

THREE_TYPES = "TENSORFLOW = 0; TENSORFLOWSAVED = 1; PMML = 2;"
TWO_TYPES = "TENSORFLOW = 0; PMML = 1;"
FIELD_7 = """
  message ModelPreprocessing { int32 width = 1; string input = 2; string output = 3; }
  ModelPreprocessing preprocessing = 7;
"""
SCHEMA = """
syntax = "proto3";
package %(package)s;
message ModelDescriptor {
  string name = 1;
  string description = 2;
  string dataType = 3;
  enum ModelType { %(types)s }
  ModelType modeltype = 4;
  oneof MessageContent { bytes data = 5; string location = 6; }
  %(more)s
}
"""
SOURCES = {
    "tutorial": ("sluice", THREE_TYPES, ""),
    "flink_modelserver": ("sluice", THREE_TYPES, ""),
    "older_tutorial": ("pmml-1", TWO_TYPES, ""),
    "speculative": ("pmml-1", TWO_TYPES, FIELD_7),
}
PMML_TEXT = b'<?xml version="1.0"?>\n<PMML version="4.2"/>'
GRAPH = bytes.fromhex("0a100a0178120b506c616365686f6c646572")


@pytest.fixture(scope="module")
def publishers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The message class of each source, compiled from its field numbers."""
    folder = tmp_path_factory.mktemp("schemas")
    return {name: compiled(folder, name, types, more) for name, (_, types, more) in SOURCES.items()}


def compiled(folder: Path, name: str, types: str, more: str) -> Any:
    (folder / f"{name}.proto").write_text(SCHEMA % {"package": name, "types": types, "more": more})
    target = folder / f"{name}.desc"
    assert protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={target}", f"{name}.proto"]) == 0
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{name}.ModelDescriptor"))


@pytest.mark.parametrize("source", SOURCES)
def test_a_pmml_document_of_each_source_is_announced_as_one(publishers: dict[str, Any], source: str) -> None:
    wire = publishers[source](
        name="winequality", description="a tree", dataType="wine", modeltype="PMML", data=PMML_TEXT
    ).SerializeToString()

    record = decode_record(None, b"", wire, SOURCES[source][0])  # type: ignore[arg-type]  # the table holds both dialects

    assert isinstance(record, Announced)
    assert (record.descriptor.name, record.descriptor.data_type) == ("winequality", "wine")
    assert (record.descriptor.model_type, record.descriptor.description) == ("PMML", "a tree")
    assert record.payload == PMML_TEXT
    assert record.descriptor.sha256 == hashlib.sha256(PMML_TEXT).digest()
    assert record.descriptor.size_bytes == len(PMML_TEXT)


@pytest.mark.parametrize("source", SOURCES)
def test_a_frozen_graph_of_each_source_is_announced_as_one(publishers: dict[str, Any], source: str) -> None:
    wire = publishers[source](name="g", dataType="wine", data=GRAPH).SerializeToString()

    record = decode_record([], None, wire, SOURCES[source][0])  # type: ignore[arg-type]  # the table holds both dialects

    assert isinstance(record, Announced)
    assert record.descriptor.model_type == "TENSORFLOW"


@pytest.mark.parametrize("source", ["tutorial", "flink_modelserver"])
def test_a_saved_model_at_a_location_keeps_its_location(publishers: dict[str, Any], source: str) -> None:
    wire = publishers[source](
        name="s", dataType="wine", modeltype="TENSORFLOWSAVED", location="/models/s"
    ).SerializeToString()

    record = decode_record(None, None, wire)

    assert isinstance(record, Announced)
    assert record.descriptor.model_type == "TENSORFLOWSAVED"
    assert (record.descriptor.location, record.descriptor.sha256, record.payload) == ("/models/s", None, None)


def test_field_7_of_the_speculative_dialect_is_kept(publishers: dict[str, Any]) -> None:
    message = publishers["speculative"](name="s", dataType="wine", data=GRAPH)
    message.preprocessing.width = 11
    message.preprocessing.input = "in"
    message.preprocessing.output = "out"

    record = decode_record(None, None, message.SerializeToString(), "pmml-1")

    assert isinstance(record, Announced)
    assert record.descriptor.preprocessing == Preprocessing(11, "in", "out")


def test_the_bytes_are_those_that_the_field_numbers_make_by_hand(publishers: dict[str, Any]) -> None:
    by_hand = bytes.fromhex("0a01771201641a0477696e6520022a073c504d4d4c2f3e")

    wire = publishers["tutorial"](
        name="w", description="d", dataType="wine", modeltype="PMML", data=b"<PMML/>"
    ).SerializeToString()

    assert wire == by_hand
    record = decode_record(None, None, by_hand)
    assert isinstance(record, Announced)
    assert (record.descriptor.name, record.descriptor.model_type, record.payload) == ("w", "PMML", b"<PMML/>")


def test_a_pmml_document_of_the_older_enum_on_a_sluice_topic_names_both_types_and_the_dialect(
    publishers: dict[str, Any],
) -> None:
    wire = publishers["older_tutorial"](name="w", dataType="wine", modeltype="PMML", data=PMML_TEXT).SerializeToString()

    record = decode_record(None, None, wire, "sluice")

    assert isinstance(record, Invalid)
    assert record.reason == (
        "declared TENSORFLOWSAVED, but the payload looks like a PMML document; topic dialect `pmml-1`?"
    )
    assert (record.name, record.data_type) == ("w", "wine")


def test_a_pmml_document_of_the_newer_enum_on_an_older_topic_names_the_dialect(publishers: dict[str, Any]) -> None:
    wire = publishers["tutorial"](name="w", dataType="wine", modeltype="PMML", data=PMML_TEXT).SerializeToString()

    record = decode_record(None, None, wire, "pmml-1")

    assert isinstance(record, Invalid)
    assert record.reason == ("modeltype 2 is none of TENSORFLOW=0, PMML=1; topic dialect `sluice`? (it is `pmml-1`)")
