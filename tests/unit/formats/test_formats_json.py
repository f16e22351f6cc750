"""JSON records: what is a value, what is missing, and what is refused with which words."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.core.errors import SettingsError
from serving.formats.base import DecodedBatch, FieldSelection
from serving.formats.json import JsonFormat


def decode(record: bytes | None, *features: str, **selection: Any) -> DecodedBatch:
    return JsonFormat(FieldSelection(features or ("alcohol",), **selection)).decode([record])


def words(batch: DecodedBatch, column: int = 0) -> list[str | None]:
    text = batch.texts[column]
    return [None if code < 0 else text.values[code] for code in text.codes.tolist()]


@pytest.mark.parametrize(
    ("record", "stage", "reason"),
    [
        (b'{"alcohol":"12"}', "features", "field `alcohol` is a string, a number was expected"),
        (b'{"alcohol":true}', "features", "field `alcohol` is a boolean, a number was expected"),
        (b'{"alcohol":[1]}', "features", "field `alcohol` is an array, a number was expected"),
        (b'{"alcohol":{}}', "features", "field `alcohol` is an object, a number was expected"),
        (b'{"alcohol":null}', "features", "field `alcohol` is missing"),
        (b'{"Alcohol":12}', "features", "field `alcohol` is missing"),
        (b'{"alcohol":1e400}', "features", "field `alcohol` is a number beyond the range of a double"),
        (b'{"alcohol":NaN}', "decode", "the value is not JSON: invalid character (byte 11)"),
        (b'{"alcohol":Infinity}', "decode", "the value is not JSON: invalid character (byte 11)"),
        (b'{"alcohol":1', "decode", "the value is not JSON: Input data was truncated"),
        (b"", "decode", "the value is not JSON: Input data was truncated"),
        (b"[12]", "decode", "the value is not a JSON object: Expected `object`, got `array`"),
        (b'{"alcohol":1}{"alcohol":2}', "decode", "the value is not JSON: trailing characters (byte 14)"),
        (b'{"x":' + b"[" * 100_000, "decode", "the value is JSON nested too deeply to be read"),
        (None, "decode", "the record has no value (a tombstone)"),
    ],
)  # fmt: skip
def test_a_record_without_the_number_is_refused_with_the_reason(record: bytes, stage: str, reason: str) -> None:
    decoded = decode(record)

    assert [(one.row, one.stage, one.reason) for one in decoded.bad] == [(0, stage, reason)]
    assert decoded.matrix.shape == (0, 1)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b'{"alcohol":12}', 12.0),
        (b' {"alcohol" : -0.0}\n', -0.0),
        (b'{"alcohol":5e-324}', 5e-324),
        (b'{"alcohol":9007199254740993}', 9007199254740992.0),
        (b'{"alcohol":1,"alcohol":2}', 2.0),
        (b'{"skipped":{"deep":["\xff"]},"alcohol":3}', 3.0),
    ],
)
def test_a_number_is_taken_as_the_nearest_double(record: bytes, expected: float) -> None:
    value = decode(record).matrix[0, 0]

    assert (value, math.copysign(1, value)) == (expected, math.copysign(1, expected))


def test_a_bad_record_costs_its_neighbours_nothing() -> None:
    values = [b'{"a":1,"t":"x"}', b"garbage", b'{"a":2,"t":"y"}', b'{"t":"z"}', None, b'{"a":3,"t":"x"}']

    decoded = JsonFormat(FieldSelection(("a",), ("t",))).decode(values)

    assert decoded.rows.tolist() == [0, 2, 5]
    assert decoded.matrix.tolist() == [[1.0], [2.0], [3.0]]
    assert words(decoded) == ["x", "y", "x"]
    assert [one.row for one in decoded.bad] == [1, 3, 4]


def test_missing_fields_are_nan_and_code_minus_one_where_the_model_is_to_handle_them() -> None:
    decoded = decode(b"{}", "a", "o.x", "v[2]", texts=("t",), missing="model")

    assert [math.isnan(value) for value in decoded.matrix[0]] == [True] * 4
    assert words(decoded) == [None]


@pytest.mark.parametrize("missing", ["reject", "model"])
@pytest.mark.parametrize(
    ("record", "expected"), [(b'{"a":1}', None), (b'{"a":1,"r":null}', None), (b'{"a":1,"r":""}', "")]
)
def test_a_route_field_that_is_missing_or_empty_is_not_rejected_here(
    record: bytes, expected: str | None, missing: Any
) -> None:
    decoded = decode(record, "a", route_field="r", missing=missing)

    assert words(decoded) == [expected]
    assert not decoded.bad


def test_a_route_field_that_is_no_string_is_rejected() -> None:
    assert decode(b'{"a":1,"r":5}', "a", route_field="r").bad[0].reason == (
        "field `r` is a number, a string was expected"
    )


def test_paths_lead_into_objects_and_arrays_fill_a_column_an_element() -> None:
    decoded = decode(b'{"a":1,"o":{"x":2,"p":{"y":3}},"v":[4,5]}', "o.x", "v[2]", "a", "o.p.y")

    assert decoded.matrix.tolist() == [[2.0, 4.0, 5.0, 1.0, 3.0]]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"o":{},"v":[1,2]}', "field `o.x` is missing"),
        (b'{"v":[1,2]}', "field `o.x` is missing"),
        (b'{"o":null,"v":[1,2]}', "field `o.x` is missing"),
        (b'{"o":7,"v":[1,2]}', "field `o` is a number, an object was expected"),
        (b'{"o":{"x":1},"v":[1,2,3]}', "field `v` has 3 values, 2 expected"),
        (b'{"o":{"x":1},"v":[]}', "field `v` has 0 values, 2 expected"),
        (b'{"o":{"x":1},"v":[1,null]}', "field `v[1]` is missing"),
        (b'{"o":{"x":1},"v":[1,"2"]}', "field `v[1]` is a string, a number was expected"),
        (b'{"o":{"x":1},"v":3}', "field `v` is a number, an array was expected"),
        (b'{"o":{"x":1}}', "field `v[0]` is missing"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(record: bytes, reason: str) -> None:
    assert [one.reason for one in decode(record, "o.x", "v[2]").bad] == [reason]


def test_keys_need_not_be_python_names() -> None:
    assert decode('{"fixed acidity":1,"größe":2}'.encode(), "fixed acidity", "größe").matrix.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (FieldSelection(("a", "a.b")), "`a` is selected as a value too"),
        (FieldSelection(("a.b", "a")), "`a` is selected twice, or as a value and as an object"),
        (FieldSelection(("a",), ("a",)), "`a` is selected twice"),
        (FieldSelection(("a",), ("t[2]",)), "text field `t` cannot be an array"),
        (FieldSelection(), "name the `features`"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(selection: FieldSelection, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        JsonFormat(selection)


def test_an_empty_batch_has_no_rows() -> None:
    decoded = JsonFormat(FieldSelection(("a", "b"), ("t",))).decode([])

    assert decoded.matrix.shape == (0, 2)
    assert len(decoded.texts[0].codes) == 0


numbers = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
objects = st.fixed_dictionaries({}, optional={"a": numbers, "b": numbers, "t": st.none() | st.text(), "x": st.text()})


@given(st.lists(objects))
def test_every_record_is_decoded_as_the_standard_library_does(records: list[dict[str, Any]]) -> None:
    values = [json.dumps(record).encode() for record in records]

    decoded = JsonFormat(FieldSelection(("a", "b"), ("t",), missing="model")).decode(values)

    expected = [record for record in records if all(_is_double(record.get(name)) for name in "ab")]
    assert len(decoded.rows) == len(expected)
    assert [[None if math.isnan(n) else n for n in row] for row in decoded.matrix.tolist()] == [
        [None if record.get(name) is None else float(record[name]) for name in "ab"] for record in expected
    ]
    assert words(decoded) == [record.get("t") for record in expected]


def _is_double(number: Any) -> bool:
    try:
        float(0 if number is None else number)
    except OverflowError:
        return False
    return True
