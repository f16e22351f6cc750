"""Hostile, damaged and foreign documents are refused before any engine sees them, each with an error that says why."""

from __future__ import annotations

import socket
from pathlib import Path
from time import perf_counter, process_time

import pytest

from serving.core.errors import (
    DamagedModelError,
    HostileModelError,
    ModelLimitError,
    ModelRefusedError,
    UnsupportedModelError,
)
from serving.scorers.base import LoadLimits
from serving.scorers.pmml.document import parse
from tests.oracle import pmml_documents as documents

LIMITS = LoadLimits()
GOOD = documents.plain_linear(1)
BODY = GOOD.partition(b"?>")[2].strip()


def refusal(payload: bytes, limits: LoadLimits = LIMITS) -> ModelRefusedError:
    with pytest.raises(ModelRefusedError) as caught:
        parse(payload, limits)
    return caught.value


def test_a_plain_document_is_read_whole() -> None:
    document = parse(GOOD, LIMITS)

    assert (document.model.tag, document.version) == ("RegressionModel", "4.3")


def test_what_is_written_anew_is_the_same_document() -> None:
    text = GOOD.replace(b'name="x0"', 'name="x0 &lt;&amp;&quot;&#10;é𝄞"'.encode())

    once = parse(text, LIMITS).serialise()

    assert parse(once, LIMITS).serialise() == once
    assert parse(once, LIMITS).root.find("DataDictionary")[1].get("name") == 'x0 <&"\né𝄞'


def test_an_external_entity_is_refused_and_its_file_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("7.25")
    payload = f'<!DOCTYPE PMML [<!ENTITY e SYSTEM "file://{secret}">]>'.encode() + BODY.replace(
        b'intercept="', b'intercept="&e;'
    )

    error = refusal(payload)

    assert isinstance(error, HostileModelError)
    assert "document type declaration" in str(error)
    assert "line 1" in str(error)
    assert "7.25" not in str(error)


def test_an_external_definition_is_not_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        error = refusal(f'<!DOCTYPE PMML SYSTEM "http://127.0.0.1:{port}/x.dtd">'.encode() + BODY)

        assert isinstance(error, HostileModelError)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_billion_laughs_are_refused_at_once() -> None:
    entities = '<!ENTITY a "ha">' + "".join(f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(9))
    started = perf_counter()

    error = refusal(f"<!DOCTYPE PMML [{entities}]>".encode() + BODY.replace(b"<Header/>", b"<Header>&j;</Header>"))

    assert isinstance(error, HostileModelError)
    assert perf_counter() - started < 2


def test_a_quadratic_entity_is_refused_at_once() -> None:
    payload = f'<!DOCTYPE PMML [<!ENTITY a "{"x" * 50_000}">]>'.encode() + BODY.replace(
        b"<Header/>", b"<Header>" + b"&a;" * 20_000 + b"</Header>"
    )

    assert isinstance(refusal(payload), HostileModelError)


def test_an_entity_without_declaration_is_refused() -> None:
    assert "undefined entity" in str(refusal(BODY.replace(b"<Header/>", b"<Header>&e;</Header>")))


def test_a_doctype_hidden_in_utf_16_is_seen() -> None:
    text = '<!DOCTYPE PMML [<!ENTITY e "1">]>' + BODY.decode()

    assert isinstance(refusal(text.encode("utf-16")), HostileModelError)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_unicode_encodings_are_read(encoding: str) -> None:
    assert parse(BODY.decode().encode(encoding), LIMITS).model.tag == "RegressionModel"


@pytest.mark.parametrize("encoding", ["UTF-7", "rot13", "EBCDIC-CP-US", "cp1252", "no-such"])
def test_encodings_that_could_hide_markup_are_refused_by_name(encoding: str) -> None:
    error = refusal(f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + BODY)

    assert isinstance(error, DamagedModelError)
    assert encoding in str(error)


def test_bytes_that_are_not_the_declared_encoding_are_refused() -> None:
    assert isinstance(refusal(GOOD.replace(b"<Header/>", b'<Header copyright="\xff\xfe"/>')), DamagedModelError)


def test_processing_instructions_do_not_reach_the_engine() -> None:
    payload = b'<?xml-stylesheet href="file:///etc/passwd"?>' + BODY.replace(
        b"<Header/>", b"<?php x?><Header/><!-- y -->"
    )

    written = parse(payload, LIMITS).serialise()

    assert b"<?" not in written
    assert b"<!" not in written


def test_extensions_do_not_reach_the_engine() -> None:
    foreign = (
        b'<Header><Extension><Node xmlns="http://evil"/></Extension></Header><x:Thing xmlns:x="urn:x"><x:y/></x:Thing>'
    )

    written = parse(BODY.replace(b"<Header/>", foreign), LIMITS).serialise()

    assert b"Extension" not in written
    assert b"Thing" not in written


def test_nesting_beyond_the_limit_is_refused_with_its_place() -> None:
    error = refusal(BODY.replace(b"<Header/>", b"<Header>" + b"<a>" * 5_000 + b"</a>" * 5_000 + b"</Header>"))

    assert isinstance(error, ModelLimitError)
    assert "deeper than 200" in str(error)


def test_nesting_inside_an_extension_is_counted_too() -> None:
    deep = b"<Header><Extension>" + b"<a>" * 5_000 + b"</a>" * 5_000 + b"</Extension></Header>"

    assert isinstance(refusal(BODY.replace(b"<Header/>", deep)), ModelLimitError)


def test_too_many_elements_are_refused_while_they_are_read() -> None:
    error = refusal(BODY.replace(b"<Header/>", b"<Header>" + b"<a/>" * 300_000 + b"</Header>"))

    assert isinstance(error, ModelLimitError)
    assert "200,000 elements" in str(error)


def test_too_many_bytes_are_refused_with_both_sizes_named() -> None:
    error = refusal(GOOD, LoadLimits(artifact_bytes=100))

    assert isinstance(error, ModelLimitError)
    assert f"{len(GOOD):,}" in str(error)
    assert "100 bytes" in str(error)


def test_a_document_without_a_model_is_refused() -> None:
    assert "holds no model" in str(refusal(documents.document(documents.numbers(), "")))


def test_a_document_with_two_models_is_refused_with_both_named() -> None:
    model = BODY[BODY.index(b"<RegressionModel") : BODY.index(b"</PMML>")]

    error = refusal(BODY.replace(b"</PMML>", model.replace(b"RegressionModel", b"TreeModel") + b"</PMML>"))

    assert isinstance(error, UnsupportedModelError)
    assert "<RegressionModel>, <TreeModel>" in str(error)


@pytest.mark.parametrize(
    "name", ["TimeSeriesModel", "AssociationModel", "TextModel", "BayesianNetworkModel", "FancyModel"]
)
def test_models_that_cannot_be_served_are_refused_by_name(name: str) -> None:
    error = refusal(BODY.replace(b"RegressionModel", name.encode()))

    assert isinstance(error, UnsupportedModelError)
    assert name in str(error)


@pytest.mark.parametrize(
    ("name", "error"), [("java.lang.System", HostileModelError), ("frobnicate", UnsupportedModelError)]
)
def test_functions_that_are_not_pmmls_are_refused_by_name(name: str, error: type[Exception]) -> None:
    derived = (
        '<LocalTransformations><DerivedField name="d" optype="continuous" dataType="double">'
        f'<Apply function="{name}"><FieldRef field="x0"/></Apply></DerivedField></LocalTransformations>'
    )

    found = refusal(BODY.replace(b"</MiningSchema>", b"</MiningSchema>" + derived.encode()))

    assert isinstance(found, error)
    assert name in str(found)


def test_a_model_that_says_it_cannot_be_scored_is_refused() -> None:
    assert "isScorable" in str(refusal(BODY.replace(b"functionName=", b'isScorable="false" functionName=')))


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "no element found"),
        (b"\x00\x01\x02", "not well-formed"),
        (b"<html><body/></html>", "<html>, not <PMML>"),
        (b'{"model": 1}', "line 1"),
        (b"<PMML xmlns='http://elsewhere' version='4.3'/>", "http://elsewhere"),
        (b"<PMML version='9.9'/>", "9.9"),
        (b"<PMML version='4.3'>", "no element found"),
        (BODY + b"<more/>", "junk after document element"),
        (BODY.replace(b"</MiningSchema>", b""), "mismatched tag"),
        (BODY.replace(b"<Header/>", b'<Header a="1" a="2"/>'), "duplicate attribute"),
    ],
)
def test_what_is_not_a_pmml_document_is_refused_with_its_reason(payload: bytes, says: str) -> None:
    assert says in str(refusal(payload))


def test_fifty_megabytes_of_elements_are_refused_before_they_are_all_read() -> None:
    predicate = b'<SimplePredicate field="x0" operator="lessOrEqual" value="0.123456"/>'
    payload = BODY.replace(b"<Header/>", b"<Header>" + predicate * (50_000_000 // len(predicate)) + b"</Header>")
    started = process_time()

    error = refusal(payload)

    assert isinstance(error, ModelLimitError)
    assert process_time() - started < 5
