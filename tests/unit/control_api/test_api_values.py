"""The API's pure parts: pages, cursors, events, records and settings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1 import records_pb2

from control_api.adapters.kafka_topics import decode_cursor, encode_cursor
from control_api.commanding import command_id
from control_api.core.happenings import Happenings
from control_api.core.operations import offset_of, operation_id
from control_api.core.publication import ContradictionError, describe
from control_api.core.records import blob, result_record
from control_api.errors import ApiError, pointer
from control_api.pages import page
from control_api.ports import TopicRecord
from control_api.schemas.publication import PublicationFields
from control_api.schemas.shape import rfc3339
from control_api.settings import SettingsError, load_settings
from control_api.sse import encode_event

TOPICS = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)
OFFSETS = st.integers(0, 2**59)


@given(st.sets(st.text(max_size=8), max_size=30), st.integers(1, 7))
def test_pages_hold_every_item_once_and_in_order(names: set[str], size: int) -> None:
    items, seen, token = sorted(names), list[str](), None

    for _ in range(len(items) + 1):
        shown, token = page(items, lambda name: (name,), size, token, {"filter": "x"})
        seen += shown
        if token is None:
            break

    assert seen == items


@given(st.sets(st.text(max_size=4), min_size=4, max_size=20))
def test_pages_stay_in_order_while_items_are_added(names: set[str]) -> None:
    *first_items, added = sorted(names)
    first, token = page(first_items, lambda name: (name,), 2, None, {})

    second, _ = page(sorted(names), lambda name: (name,), 100, token, {})

    assert first + second == [*first_items, added]


@given(st.text(max_size=40))
def test_no_text_makes_a_page_crash(token: str) -> None:
    if token:
        with pytest.raises(ApiError) as raised:
            page(["a", "b"], lambda name: (name,), 1, token, {})
        assert raised.value.problem.status == 400


@given(st.dictionaries(st.tuples(TOPICS, st.integers(0, 10**8)), OFFSETS, max_size=8))
def test_a_cursor_gives_its_places_back(places: dict[tuple[str, int], int]) -> None:
    assert decode_cursor(encode_cursor(places)) == places


@given(st.text(max_size=60))
def test_no_text_makes_a_cursor_crash(text: str) -> None:
    if text and ":" not in text:
        with pytest.raises(ApiError) as raised:
            decode_cursor(text)
        assert raised.value.problem.status == 400


@given(st.integers(0, 10**18 - 1))
def test_an_operations_id_gives_its_offset_back(offset: int) -> None:
    assert offset_of(operation_id(offset)) == offset


@given(st.text(max_size=20))
def test_no_text_makes_an_operations_id_crash(text: str) -> None:
    found = offset_of(text)

    assert found is None or operation_id(found) == "op-" + text.removeprefix("op-").lstrip("0").rjust(1, "0")


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 10), st.integers(-1, 60))
def test_events_after_an_offset_are_all_later_ones_that_are_kept(steps: list[int], kept: int, after: int) -> None:
    happenings, offset, noted = Happenings(kept), 0, list[int]()
    for step in steps:
        offset += step + 1
        noted.append(offset)
        happenings.note(offset, "published", {})

    found = [event.control_offset for event in happenings.since(happenings.number_after(after), 100)]

    assert found == [offset for offset in noted[-kept:] if offset > after]


@given(st.binary(max_size=40))
def test_bytes_are_text_only_where_they_can_be_read(data: bytes) -> None:
    shown = blob(data)

    assert shown is not None
    assert shown.text is None or shown.text.encode() == data
    assert "\x00" not in (shown.text or "")


@given(st.binary(max_size=60), st.sampled_from(["protobuf", "json"]))
def test_no_bytes_make_a_result_crash(data: bytes, result_format: str) -> None:
    shown = result_record(TopicRecord("t", 0, 1, -1, None, data), result_format)

    json.loads(shown.model_dump_json())


@given(st.floats())
def test_every_prediction_is_strict_json_and_no_number_is_made_up(value: float) -> None:
    message = records_pb2.ScoreResult(prediction=value, scores=[value])
    shown = result_record(TopicRecord("t", 0, 1, 0, None, message.SerializeToString()), "protobuf")

    parsed: Any = json.loads(shown.model_dump_json(), parse_constant=pytest.fail)
    assert parsed["result"]["prediction"] == (value if math.isfinite(value) else {True: "NaN"}.get(
        math.isnan(value), "Infinity" if value > 0 else "-Infinity"
    ))  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_an_event_is_one_block_whatever_its_text(data: dict[str, str]) -> None:
    block = encode_event("result", data, "1").decode()

    assert block.count("\n\n") == 1
    assert block.endswith("\n\n")
    assert json.loads(block.split("data: ", 1)[1]) == data


def test_instants_are_in_utc_with_milliseconds() -> None:
    assert rfc3339(1_772_366_400_007) == "2026-03-01T12:00:00.007Z"


def test_a_pointer_escapes_what_json_pointers_escape() -> None:
    assert pointer(("body", "a/b", "c~d", 3)) == "/body/a~1b/c~0d/3"


@pytest.mark.parametrize(
    ("given_type", "found"),
    [
        ("pmml", "PMML"),
        ("tensorflow-saved", "TENSORFLOWSAVED"),
        ("saved_model", "TENSORFLOWSAVED"),
        ("onnx-runtime", "onnx-runtime"),
    ],
)
def test_types_are_read_as_people_write_them(given_type: str, found: str) -> None:
    assert PublicationFields(data_type="wine", type=given_type).type == found


@pytest.mark.parametrize(
    ("mapping", "bindings"),
    [
        ({"10": "k", "1": "b", "0": "a"}, [("", "a"), ("", "b"), ("", "k")]),
        ({"z": "f", "0": "a"}, [("z", "f"), ("0", "a")]),
    ],
)
def test_named_features_keep_their_order_and_a_vectors_go_by_number(
    mapping: dict[str, str], bindings: list[tuple[str, str]]
) -> None:
    fields = PublicationFields(data_type="wine", type="other", feature_mapping=mapping)

    descriptor = describe("m", fields, b"data", "m.bin", "r")

    assert [(b.feature, b.field) for b in descriptor.feature_mapping] == bindings


def test_a_digest_that_is_not_the_files_contradicts_it() -> None:
    with pytest.raises(ContradictionError, match="was announced"):
        describe("m", PublicationFields(data_type="wine", sha256="00" * 32), b"data", "", "r")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255))
def test_a_commands_id_is_the_same_for_the_same_key_and_fits(key: str) -> None:
    assert command_id(key) == command_id(key)
    assert len(command_id(key)) <= 64


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "api.yaml"
    file.write_text("port: 1234\nkafka: {bootstrap: file:9092}\nlimits: {inline_bytes: 5}\n")
    monkeypatch.setenv("CONTROL_API_KAFKA__BOOTSTRAP", "environment:9092")

    settings = load_settings(file)

    assert (settings.port, settings.kafka.bootstrap, settings.limits.inline_bytes) == (1234, "environment:9092", 5)
    assert settings.host == "127.0.0.1"


@pytest.mark.parametrize("text", ["prot: 1", "port: many", "limits: {inline: 3}", "- a", "{", "port: 99999"])
def test_wrong_settings_name_the_file_and_the_key(tmp_path: Path, text: str) -> None:
    file = tmp_path / "api.yaml"
    file.write_text(text)

    with pytest.raises(SettingsError, match=r"api\.yaml"):
        load_settings(file)


def test_a_missing_settings_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(tmp_path / "none.yaml")
