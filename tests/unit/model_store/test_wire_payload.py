import io
import tarfile
import zipfile

import pytest

from model_store.core.payload import contradiction, looks_like


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("saved_model.pb", b"\x08\x01")
    return target.getvalue()


def tarred(mode: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:  # type: ignore[call-overload]  # the mode is a parameter
        archive.addfile(tarfile.TarInfo("saved_model.pb"))
    return target.getvalue()


GRAPH = b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder"
SAVED_MODEL = b"\x08\x01\x12\x00"


@pytest.mark.parametrize(
    "document",
    [
        b"<PMML version='4.4'/>",
        b"\xef\xbb\xbf<?xml version='1.0'?>\r\n<PMML>",
        b"  <!-- <html> --><!DOCTYPE PMML [<!ENTITY a 'b>'>]><p:PMML xmlns:p='x'>",
        "<?xml version='1.0' encoding='UTF-16'?><PMML/>".encode("utf-16"),
    ],
)
def test_a_pmml_document_is_recognised_by_its_root(document: bytes) -> None:
    assert looks_like(document) == "a PMML document"


def test_graphs_and_archives_are_recognised() -> None:
    assert looks_like(GRAPH) == "a frozen TensorFlow graph"
    assert looks_like(SAVED_MODEL) == "a saved_model.pb"
    assert {looks_like(archive) for archive in (zipped(), tarred("w"), tarred("w:gz"))} == {"a zip or tar archive"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"<",
        b"<?xml",
        b"<!--",
        b"<!DOCTYPE x [",
        b"<html/>",
        b"\x0a",
        b"\x0a\xff\xff\xff",
        b"\x0a\x05hello",
        b"garbage",
        b"\0" * 600,
    ],
)
def test_what_is_not_recognised_is_left_to_the_engine(payload: bytes) -> None:
    assert looks_like(payload) is None
    assert contradiction("TENSORFLOW", payload) is None


@pytest.mark.parametrize(
    ("model_type", "payload"),
    [
        ("TENSORFLOW", GRAPH),
        ("TENSORFLOWSAVED", zipped()),
        ("TENSORFLOWSAVED", SAVED_MODEL),
        ("PMML", b"<PMML/>"),
        ("onnx", GRAPH),
    ],
)
def test_a_payload_of_the_declared_type_contradicts_nothing(model_type: str, payload: bytes) -> None:
    assert contradiction(model_type, payload) is None


@pytest.mark.parametrize(
    ("model_type", "payload", "seen"),
    [
        ("TENSORFLOW", b"<PMML/>", "a PMML document"),
        ("TENSORFLOW", zipped(), "a zip or tar archive"),
        ("TENSORFLOW", SAVED_MODEL, "a saved_model.pb"),
        ("TENSORFLOWSAVED", GRAPH, "a frozen TensorFlow graph"),
        ("PMML", GRAPH, "a frozen TensorFlow graph"),
    ],
)
def test_a_contradiction_names_both_types(model_type: str, payload: bytes, seen: str) -> None:
    assert contradiction(model_type, payload) == f"declared {model_type}, but the payload looks like {seen}"
