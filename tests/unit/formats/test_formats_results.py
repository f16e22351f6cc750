"""Results, their headers, and dead letters."""

import json
import math
import random
from dataclasses import replace
from datetime import datetime
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1 import records_pb2

from serving.core.byte_column import ByteColumn
from serving.core.columns import TextColumn
from serving.core.errors import SettingsError
from serving.formats import open_result_format
from serving.formats.base import Provenance, Reason, ScoredColumns, Supersedes
from serving.formats.dead_letters import Failure, encode_dead_letters
from serving.formats.headers import result_headers
from serving.formats.message_encoder import MessageEncoder
from serving.formats.results import REASONS

PROVENANCE = Provenance('wine "best"', 3, bytes(range(32)), "wine", "wine.records", 2, 17, "worker-1")


def scored(*predictions: float, **columns: Any) -> ScoredColumns:
    count = len(predictions)
    return ScoredColumns(
        np.arange(100, 100 + count), np.full(count, 1_763_700_000_123), np.array(predictions), **columns
    )


def test_a_json_result_is_a_flat_object_with_the_names_of_the_message() -> None:
    label = TextColumn(np.array([0]), ["good"])

    [value] = open_result_format("json").encode(PROVENANCE, scored(5.25, label=label, scores=np.array([[0.1, 0.9]])))

    assert json.loads(value) == {
        "model": 'wine "best"',
        "model_version": 3,
        "sha256": bytes(range(32)).hex(),
        "data_type": "wine",
        "topic": "wine.records",
        "partition": 2,
        "offset": 100,
        "control_offset": 17,
        "worker": "worker-1",
        "record_timestamp_ms": 1_763_700_000_123,
        "prediction": 5.25,
        "label": "good",
        "scores": [0.1, 0.9],
    }
    choice = {"arm", "route", "reason", "supersedes", "decider"}
    assert set(json.loads(value)) == {field.name for field in records_pb2.ScoreResult.DESCRIPTOR.fields} - choice


CHOSEN = replace(
    PROVENANCE,
    arm="challenger",
    route="wine-*",
    reason="corrected",
    supersedes=Supersedes("c-1", "wine", 2, 9),
)


def test_a_json_result_says_what_a_route_chose_and_what_it_supersedes() -> None:
    [value] = open_result_format("json").encode(CHOSEN, scored(5.25))

    read = json.loads(value)
    assert (read["arm"], read["route"], read["reason"]) == ("challenger", "wine-*", "corrected")
    assert read["supersedes"] == {"correction": "c-1", "model": "wine", "model_version": 2, "control_offset": 9}


@pytest.mark.parametrize("count", [1, 100])
def test_a_protobuf_result_says_what_a_route_chose_and_what_it_supersedes(count: int) -> None:
    values = open_result_format("protobuf").encode(CHOSEN, scored(*[5.25] * count))

    read = [records_pb2.ScoreResult.FromString(value) for value in values]
    assert {(each.arm, each.route, each.reason) for each in read} == {
        ("challenger", "wine-*", records_pb2.ScoreResult.REASON_CORRECTED)
    }
    superseded = read[0].supersedes
    assert (superseded.correction, superseded.model, superseded.model_version, superseded.control_offset) == (
        "c-1", "wine", 2, 9
    )  # fmt: skip
    assert all(each.supersedes == superseded for each in read)
    assert [each.offset for each in read] == list(range(100, 100 + count))


@pytest.mark.parametrize("count", [1, 100])
def test_a_decided_result_names_its_decider_in_both_formats(count: int) -> None:
    decided = replace(PROVENANCE, reason="decided", decider="best_confidence")
    columns = scored(*[5.25] * count)

    by_protobuf = open_result_format("protobuf").encode(decided, columns)
    by_json = open_result_format("json").encode(decided, columns)

    assert {records_pb2.ScoreResult.FromString(value).decider for value in by_protobuf} == {"best_confidence"}
    assert {json.loads(value)["decider"] for value in by_json} == {"best_confidence"}


def test_a_plain_route_costs_a_result_no_byte() -> None:
    plain = replace(PROVENANCE, route=PROVENANCE.data_type)

    [by_protobuf] = open_result_format("protobuf").encode(plain, scored(5.25))
    [by_json] = open_result_format("json").encode(plain, scored(5.25))

    fields = {field.name for field, _ in records_pb2.ScoreResult.FromString(by_protobuf).ListFields()}
    assert fields == json.loads(by_json).keys()
    assert not fields & {"arm", "route", "reason", "supersedes", "decider"}


def test_every_reason_has_its_number() -> None:
    assert set(REASONS) == set(get_args(Reason))
    assert set(REASONS.values()) == set(records_pb2.ScoreResult.Reason.values())
    for reason, number in REASONS.items():
        assert records_pb2.ScoreResult.Reason.Name(number) == f"REASON_{reason.upper() or 'UNSPECIFIED'}"


def test_what_json_cannot_say_is_null_and_a_label_that_the_model_did_not_give_is_absent() -> None:
    label = TextColumn(np.array([-1, 0]), ["a"])
    scores = np.array([[math.nan, 1.0], [math.inf, 2.0]])

    values = open_result_format("json").encode(PROVENANCE, scored(math.nan, -math.inf, label=label, scores=scores))

    first, second = map(json.loads, values)
    assert (first["prediction"], first["scores"], "label" in first) == (None, [None, 1.0], False)
    assert (second["prediction"], second["scores"], second["label"]) == (None, [None, 2.0], "a")


@given(st.lists(st.floats(), min_size=1, max_size=20), st.lists(st.text(), min_size=1, max_size=5), st.integers(0, 3))
def test_json_results_hold_what_protobuf_results_hold(predictions: list[float], labels: list[str], width: int) -> None:
    rnd = random.Random(len(predictions))
    labels = [label.encode("utf-8", "replace").decode() for label in labels]
    columns = scored(
        *predictions,
        label=TextColumn(np.array([rnd.randrange(-1, len(labels)) for _ in predictions]), labels),
        scores=np.array([[rnd.random()] * width for _ in predictions]).reshape(len(predictions), width),
    )

    by_json = open_result_format("json").encode(PROVENANCE, columns)
    by_protobuf = open_result_format("protobuf").encode(PROVENANCE, columns)

    for text, data in zip(by_json, by_protobuf, strict=True):
        read, message = json.loads(text), records_pb2.ScoreResult.FromString(data)
        assert read.pop("sha256") == message.sha256.hex()
        assert read.pop("scores") == list(message.scores)
        assert read.pop("prediction") == (message.prediction if math.isfinite(message.prediction) else None)
        assert read.pop("label", None) == (message.label if message.HasField("label") else None)
        assert read == {name: getattr(message, name) for name in read}


@pytest.mark.parametrize("kind", ["json", "protobuf"])
def test_an_empty_batch_has_no_results(kind: str) -> None:
    assert open_result_format(kind).encode(PROVENANCE, scored()) == []


@pytest.mark.parametrize("count", [1, 100])
def test_a_prediction_of_zero_is_written(count: int) -> None:
    values = open_result_format("protobuf").encode(PROVENANCE, scored(*[0.0] * count))

    assert all(records_pb2.ScoreResult.FromString(value).HasField("prediction") for value in values)


def test_one_very_long_label_does_not_widen_the_whole_batch() -> None:
    labels = ["short", "x" * 1_000_000]
    codes = np.zeros(2_000, np.int64)
    codes[77] = 1

    values = open_result_format("protobuf").encode(PROVENANCE, scored(*[1.0] * 2_000, label=TextColumn(codes, labels)))

    read = [records_pb2.ScoreResult.FromString(value) for value in values]
    assert [each.label for each in read] == [labels[code] for code in codes]
    assert [each.offset for each in read] == list(range(100, 2_100))


@pytest.mark.parametrize("fewest_messages", [0, 1000])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"no_such": 1}, "has no field `no_such`"),
        ({"offset": np.arange(3)}, "`offset` has 3 values, 2 expected"),
        ({"label": TextColumn(np.zeros(1, np.int64), ["a"])}, "`label` has 1 values, 2 expected"),
        ({"partition": np.array([1, 1 << 31])}, "`partition` has a value that is not between"),
        ({"offset": np.array([1.0, 2.0])}, "`offset` is an integer, not float64"),
        ({"prediction": np.array([1, 2])}, "`prediction` is a floating-point number, not int64"),
        ({"scores": np.array([1.0, 2.0])}, "`scores` takes an array of 2 dimensions"),
        ({"prediction": np.array([[1.0], [2.0]])}, "`prediction` takes an array of 1 dimensions"),
        ({"offset": TextColumn(np.zeros(2, np.int64), ["a"])}, "`offset` is not a single string"),
        ({"label": np.array([1.0, 2.0])}, "`label` is not a number"),
    ],
)
def test_columns_that_do_not_fit_the_message_are_refused(
    columns: dict[str, Any], message: str, fewest_messages: int
) -> None:
    encoder = MessageEncoder(records_pb2.ScoreResult.DESCRIPTOR, fewest_messages=fewest_messages)  # type: ignore[arg-type]  # the stubs name upb's class

    with pytest.raises(ValueError, match=message):
        encoder.encode(2, columns)


def test_results_have_no_headers_by_default() -> None:
    assert result_headers("none", stream="wine", content_type="application/json") is None


def test_cloud_events_have_the_attributes_of_version_1_in_binary_mode() -> None:
    headers = result_headers("cloudevents", stream="wine", content_type="application/protobuf")
    assert headers is not None

    first, second = headers(PROVENANCE, scored(1.0, 2.0), [])

    assert dict(first) == {
        "ce_specversion": b"1.0",
        "ce_id": b"wine.records/2/100",
        "ce_source": b"/sluice/streams/wine",
        "ce_type": b"modelserving.v1.ScoreResult",
        "ce_subject": b"wine",
        "ce_time": b"2025-11-21T04:40:00.123Z",
        "content-type": b"application/protobuf",
    }
    assert dict(second)["ce_id"] == b"wine.records/2/101"


def test_results_of_several_partitions_say_which_in_every_form() -> None:
    partitions = np.array([0, 300, 2], np.int32)
    columns = scored(1.0, 2.0, 3.0, partitions=partitions)
    headers = result_headers("cloudevents", stream="wine", content_type="application/json")
    assert headers is not None

    by_protobuf = [
        records_pb2.ScoreResult.FromString(value)
        for value in open_result_format("protobuf").encode(PROVENANCE, columns)
    ]
    by_json = [json.loads(value) for value in open_result_format("json").encode(PROVENANCE, columns)]

    where = [(0, 100), (300, 101), (2, 102)]
    assert [(row.partition, row.offset) for row in by_protobuf] == where
    assert [(row["partition"], row["offset"]) for row in by_json] == where
    ids = [dict(each)["ce_id"] for each in headers(PROVENANCE, columns, [])]
    assert ids == [b"wine.records/%d/%d" % each for each in where]


@pytest.mark.parametrize("milliseconds", [-1, 2**62])
def test_an_event_has_no_time_where_the_record_has_none(milliseconds: int) -> None:
    headers = result_headers("cloudevents", stream="wine", content_type="application/json")
    assert headers is not None

    [one] = headers(PROVENANCE, ScoredColumns(np.array([1]), np.array([milliseconds])), [])

    assert "ce_time" not in dict(one)


@given(st.integers(0, 253_402_300_799_999))
def test_the_time_of_an_event_is_that_of_the_record_to_the_millisecond(milliseconds: int) -> None:
    headers = result_headers("cloudevents", stream="wine", content_type="application/json")
    assert headers is not None

    [one] = headers(PROVENANCE, ScoredColumns(np.array([1]), np.array([milliseconds])), [])

    moment = datetime.fromisoformat((dict(one)["ce_time"] or b"").decode())
    assert (moment - datetime.fromisoformat("1970-01-01T00:00Z")).total_seconds() == pytest.approx(
        milliseconds / 1000, abs=1e-4
    )


def test_a_correction_and_a_dark_result_are_events_of_their_own() -> None:
    headers = result_headers("cloudevents", stream="wine", content_type="application/json")
    assert headers is not None

    [corrected] = headers(CHOSEN, scored(1.0), [])
    [dark] = headers(replace(PROVENANCE, reason="dark"), scored(1.0), [])

    assert dict(corrected)["ce_id"] == b"wine.records/2/100/correction/c-1"
    assert dict(dark)["ce_id"] == b'wine.records/2/100/dark/wine "best"/3'


def test_headers_of_the_record_are_passed_through_as_they_came() -> None:
    headers = result_headers("passthrough", stream="wine", content_type="application/json")
    own = [[("traceparent", b"00-1"), ("twice", b"1"), ("twice", None)], []]
    assert headers is not None

    assert headers(PROVENANCE, scored(1.0, 2.0), own) == own


def test_a_policy_for_headers_that_is_not_known_is_refused() -> None:
    with pytest.raises(SettingsError, match="`cloudevent` is not a policy for headers; did you mean `cloudevents`"):
        result_headers("cloudevent", stream="wine", content_type="")  # type: ignore[arg-type]  # settings are checked late


def test_a_dead_letter_keeps_the_record_as_it_came() -> None:
    failure = Failure(
        offset=7,
        record_timestamp_ms=-1,
        key=b"",
        value=b"\xff\x00",
        stage="score",
        reason="too hot",
        headers=[("a", b"1"), ("a", None)],
        data_type="wine",
        model="m",
        model_version=2,
    )

    [value] = encode_dead_letters([failure], [1], stream="s", topic="t", worker="w", failed_at_ms=9)

    letter = records_pb2.DeadLetter.FromString(value)
    assert (letter.topic, letter.partition, letter.offset, letter.record_timestamp_ms) == ("t", 1, 7, -1)
    assert (letter.HasField("key"), letter.key, letter.value) == (True, b"", b"\xff\x00")
    assert [(h.key, h.value, h.HasField("value")) for h in letter.headers] == [("a", b"1", True), ("a", b"", False)]
    assert (letter.stage, letter.reason) == (records_pb2.DeadLetter.STAGE_SCORE, "too hot")
    assert (letter.stream, letter.data_type, letter.model, letter.model_version) == ("s", "wine", "m", 2)
    assert (letter.worker, letter.failed_at_ms) == ("w", 9)


@pytest.mark.parametrize("stage", ["decode", "features", "route", "score", "result"])
def test_each_stage_has_its_number(stage: Any) -> None:
    failure = Failure(1, 2, None, None, stage, "lone \udc80 surrogate")

    [value] = encode_dead_letters([failure], [1], stream="s", topic="t", worker="w", failed_at_ms=9)

    letter = records_pb2.DeadLetter.FromString(value)
    assert records_pb2.DeadLetter.Stage.Name(letter.stage) == f"STAGE_{stage.upper()}"
    assert not letter.HasField("key")
    assert not letter.HasField("value")
    assert letter.reason == "lone \\udc80 surrogate"


@pytest.mark.parametrize("codes", [[0, 1] * 200, [1] + [0] * 399])
def test_one_long_label_costs_memory_in_its_own_rows_only(codes: list[int]) -> None:
    label = TextColumn(np.array(codes), ["good", "x" * 10_000])

    values = open_result_format("protobuf").encode(PROVENANCE, scored(*[5.25] * len(codes), label=label))

    assert isinstance(values, ByteColumn)
    assert len(values.buffer) == int(values.lengths.sum())
    assert [records_pb2.ScoreResult.FromString(value).label for value in values] == [label.values[i] for i in codes]
