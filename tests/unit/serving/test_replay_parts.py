"""The parts of replay that need no Kafka: pace, segments, marks, and reading of recorded results."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1 import records_pb2

from serving.core.columns import TextColumn
from serving.formats import open_format, open_result_format
from serving.formats.base import DecodedBatch, FieldSelection, Provenance, RecordFormat, ScoredColumns, Supersedes
from serving.replay.errors import JobRefusedError
from serving.replay.marks import Marks
from serving.replay.pace import Pace
from serving.replay.ranges import Slice
from serving.replay.recorded import (
    Recorded,
    decode_dead_letter,
    decode_json_result,
    decode_protobuf_result,
    side_of_recorded,
)
from serving.replay.segments import MAX_SEGMENTS, NOTHING, OTHERS, Segments


class Clock:
    """A clock that waiting moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        assert seconds >= 0
        self.seconds += seconds


def test_a_pace_lets_through_what_it_says() -> None:
    clock = Clock()
    pace = Pace(100, now=clock.now, wait=clock.wait)

    for _ in range(50):
        pace.take(100)

    assert clock.seconds - 1_000.0 == pytest.approx(49.0)


def test_a_batch_that_is_larger_than_a_second_is_paid_off_before_the_next() -> None:
    clock = Clock()
    pace = Pace(10, now=clock.now, wait=clock.wait)

    pace.take(1_000)
    assert clock.seconds == 1_000.0
    pace.take(1)

    assert clock.seconds == pytest.approx(1_000 + 99.1)


@given(st.floats(0.5, 1e6), st.lists(st.tuples(st.integers(1, 5_000), st.floats(0, 10)), min_size=1, max_size=40))
def test_no_time_sees_more_records_than_its_pace(rate: float, batches: list[tuple[int, float]]) -> None:
    clock = Clock()
    pace = Pace(rate, now=clock.now, wait=clock.wait)
    went: list[tuple[float, int]] = []
    for records, work_seconds in batches:
        pace.take(records)
        went.append((clock.seconds, records))
        clock.seconds += work_seconds

    for start in range(len(went)):
        for end in range(start, len(went)):
            between = sum(records for _, records in went[start:end])
            seconds = went[end][0] - went[start][0]
            assert between <= rate * (seconds + 1) + went[start][1] + 1e-3 * rate


def test_marks_know_the_records_of_their_slices() -> None:
    marks = Marks([Slice(0, 10, 30), Slice(1, 0, 5), Slice(0, 100, 109)])

    for partition, offset in [(0, 10), (0, 29), (0, 30), (0, 29), (1, 4), (2, 1), (0, 108)]:
        marks.add(partition, offset)

    assert marks.count == 4
    assert [offset for offset in range(120) if marks.has(0, offset)] == [10, 29, 108]
    assert [offset for offset in range(120) if marks.has(1, offset)] == [4]


def records_format() -> RecordFormat:
    return open_format({"type": "json"}, FieldSelection(features=("x",), texts=("colour",), missing="model"))


def decoded(*rows: dict[str, Any]) -> DecodedBatch:
    return records_format().decode([json.dumps(row).encode() for row in rows])


def test_segments_by_text_are_bounded() -> None:
    segments = Segments(records_format(), "colour")
    batch = decoded(*({"x": 1, "colour": f"c{i % 50}"} for i in range(100)), {"x": 1})

    split = dict(segments.split(batch, np.arange(101, dtype=np.intp)))

    assert len(split) == MAX_SEGMENTS + 2
    assert split["c0"].tolist() == [0, 50]
    assert len(split[OTHERS]) == 100 - 2 * MAX_SEGMENTS
    assert split[NOTHING].tolist() == [100]
    assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(101))


def test_segments_by_number_are_quartiles_that_stay() -> None:
    segments = Segments(records_format(), "x")
    first = segments.split(decoded(*({"x": i} for i in range(8))), np.arange(8, dtype=np.intp))
    second = segments.split(decoded({"x": 100}, {"x": -100}, {"colour": "red"}), np.arange(3, dtype=np.intp))

    assert [name for name, _ in first] == ["x <= 1.75", "1.75 < x <= 3.5", "3.5 < x <= 5.25", "5.25 < x"]
    assert [rows.tolist() for _, rows in first] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert {name: rows.tolist() for name, rows in second} == {"x <= 1.75": [1], "5.25 < x": [0], NOTHING: [2]}


def test_a_segment_by_no_field_is_refused() -> None:
    with pytest.raises(JobRefusedError, match="no field 'size' to make segments by; it has: colour, x"):
        Segments(records_format(), "size")


PROVENANCE = Provenance(
    "wine", 2, bytes(32), "red", "source", 1, 17, "w", reason="corrected", supersedes=Supersedes("c-1", "wine", 1, 3)
)


@pytest.mark.parametrize(("kind", "decode"), [("protobuf", decode_protobuf_result), ("json", decode_json_result)])
def test_a_result_is_read_as_it_was_written(kind: str, decode: Any) -> None:
    columns = ScoredColumns(
        np.array([5, 6]),
        np.array([1, 2]),
        np.array([1.5, math.nan]),
        TextColumn(np.array([0, -1]), ["good"]),
        np.array([[0.1, math.nan], [1e300, -0.0]]),
    )

    first, second = (decode(value) for value in open_result_format(kind).encode(PROVENANCE, columns))

    assert (first.topic, first.partition, first.offset, first.data_type) == ("source", 1, 5, "red")
    assert (first.model, first.version, first.control_offset) == ("wine", 2, 17)
    assert (first.reason, first.correction, first.is_live) == ("corrected", "c-1", False)
    assert (first.prediction, first.label, second.label) == (1.5, "good", None)
    assert math.isnan(second.prediction)
    assert math.isnan(first.scores[1])
    assert str(second.scores) == "(1e+300, -0.0)"


@pytest.mark.parametrize("decode", [decode_protobuf_result, decode_json_result, decode_dead_letter])
def test_what_is_no_result_is_none(decode: Any) -> None:
    assert decode(b"\xff\xff\xff") is None


def test_a_result_without_values_has_none() -> None:
    columns = ScoredColumns(np.array([5]), np.array([1]))
    [by_json] = open_result_format("json").encode(PROVENANCE, columns)
    [by_protobuf] = open_result_format("protobuf").encode(PROVENANCE, columns)

    assert decode_json_result(by_json) == decode_protobuf_result(by_protobuf)
    found = decode_json_result(by_json)
    assert found is not None
    assert (found.prediction, found.label, found.scores) == (None, None, ())


@pytest.mark.parametrize(("stage", "name"), [(4, "score"), (0, "unspecified"), (99, "unspecified")])
def test_a_dead_letter_says_where_its_record_failed(stage: int, name: str) -> None:
    letter = records_pb2.DeadLetter(topic="source", partition=1, offset=7, stage=stage, reason="too hot")  # type: ignore[arg-type]  # an open enum

    found = decode_dead_letter(letter.SerializeToString())

    assert found is not None
    assert (found.partition, found.offset) == (1, 7)
    assert found.failure is not None
    assert (found.failure.stage, found.failure.reason) == (name, "too hot")


def test_recorded_results_of_several_models_are_one_side() -> None:
    def result(**values: Any) -> Recorded:
        return Recorded("source", 0, 0, "red", "wine", 1, **values)

    side = side_of_recorded([result(prediction=1.0), None, result(scores=(1.0, 2.0)), result(label="a", scores=(3.0,))])

    assert side.has_prediction.tolist() == [True, False, False, False]
    assert side.widths.tolist() == [0, 0, 2, 1]
    assert [side.label.values[code] for code in side.label.codes.tolist() if code >= 0] == ["a"]
    assert list(side.missing) == [1]
