"""What a document says of its inputs and classes, and which edits it needs."""

from __future__ import annotations

import pytest

from serving.core.errors import DamagedModelError, SignatureError, UnsupportedModelError
from serving.scorers.base import LoadLimits
from serving.scorers.pmml.document import parse
from serving.scorers.pmml.normalise import normalise
from serving.scorers.pmml.signature import EngineField, Schema, plan_outputs, read_schema
from tests.oracle import pmml_documents as documents


def schema_of(source: bytes) -> Schema:
    return read_schema(parse(source, LoadLimits()))


def optional(source: bytes) -> set[str]:
    return {field.name for field in schema_of(source).inputs if field.is_optional}


def test_classes_keep_the_documents_spelling_and_order() -> None:
    assert schema_of(documents.tree(1, classes=("5", "5.5", "03"), label_type="double")).categories == (
        "5",
        "5.5",
        "03",
    )


def test_classes_that_the_dictionary_does_not_list_are_found_in_the_model() -> None:
    source = documents.logistic(2).replace(
        b'<Value value="3"/><Value value="4"/><Value value="5"/><Value value="6"/>', b""
    )

    assert schema_of(source).categories == documents.CLASSES


def test_a_plain_models_fields_are_all_mandatory() -> None:
    assert optional(documents.tree(3)) == set()


def test_a_field_with_a_replacement_is_optional() -> None:
    assert optional(documents.linear(4, missingValueReplacement="1")) == {*documents.NUMBERS, "colour"}


@pytest.mark.parametrize("strategy", ["defaultChild", "lastPrediction"])
def test_a_tree_with_a_strategy_for_missing_values_takes_them(strategy: str) -> None:
    assert optional(documents.tree(5, attributes=f' missingValueStrategy="{strategy}"')) == set(documents.NUMBERS)


def test_a_field_whose_absence_is_mapped_is_optional() -> None:
    assert optional(documents.transformed(6)) == {"x0", "colour"}


def test_an_active_field_that_is_not_in_the_dictionary_is_refused_by_name() -> None:
    with pytest.raises(DamagedModelError, match="'x3' is not in the DataDictionary"):
        schema_of(documents.tree(7).replace(b'<DataField name="x3"', b'<DataField name="x9"'))


def test_a_field_of_a_type_that_no_record_can_supply_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match="'x0' is of type 'dateTime'"):
        schema_of(
            documents.plain_linear(8).replace(
                b'"x0" optype="continuous" dataType="double"', b'"x0" dataType="dateTime"'
            )
        )


def test_a_model_without_inputs_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="no active field"):
        schema_of(
            documents.plain_linear(9).replace(
                b'<MiningField name="x', b'<MiningField usageType="supplementary" name="x'
            )
        )


def test_a_class_without_a_probability_is_refused_by_name() -> None:
    fields = [
        EngineField("l", "predictedValue", None, "text", False),
        EngineField("p", "probability", "3", "number", False),
    ]

    with pytest.raises(SignatureError, match="no probability for the class '4'"):
        plan_outputs(schema_of(documents.tree(10)), fields)


def test_normalising_says_what_it_edited() -> None:
    document = parse(documents.forest(11, trees=4), LoadLimits())

    edits = normalise(document)

    assert edits.targets == 4
    assert edits.distributions > 0
    assert "named the target field in 4 segments" in str(edits)


def test_a_document_that_needs_no_edit_gets_none() -> None:
    assert str(normalise(parse(documents.plain_linear(12), LoadLimits()))) == "nothing edited"


def test_a_tree_strategy_that_the_engine_does_not_know_is_refused() -> None:
    source = documents.tree(
        13, attributes=' missingValueStrategy="nullPrediction" noTrueChildStrategy="returnLastPrediction"'
    )

    with pytest.raises(UnsupportedModelError, match="nullPrediction"):
        normalise(parse(source, LoadLimits()))
