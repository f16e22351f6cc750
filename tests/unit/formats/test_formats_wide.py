"""Records with very many numbers are decoded by layouts too, one at a time (protobuf.py, layouts.py)."""

from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from serving.formats import layout_decoder
from serving.formats.base import FieldSelection
from serving.formats.layouts import Layout
from serving.formats.protobuf import ProtobufFormat

STEPS = 20_000


@pytest.fixture(scope="module")
def window() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="wide.proto", package="wide", syntax="proto3")
    message = file.message_type.add(name="Window")
    message.field.add(name="values", number=1, type=2, label=3)
    message.field.add(name="unit", number=2, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("wide.Window"))


def encoded(window: Any, values: np.ndarray, unit: str = "a") -> bytes:
    data: bytes = window(values=values.tolist(), unit=unit).SerializeToString()
    return data


def rows(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(count)
    return [random.standard_normal(STEPS).astype(np.float32) for _ in range(count)]


def test_one_window_at_a_time_takes_the_layout_of_the_first(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[int] = []
    walk = layout_decoder.LayoutDecoder._learn

    def counted(self: Any, *args: Any) -> bool:
        walks.append(1)
        return walk(self, *args)

    monkeypatch.setattr(layout_decoder.LayoutDecoder, "_learn", counted)
    decoder = ProtobufFormat(window.DESCRIPTOR, FieldSelection(features=(f"values[{STEPS}]",), texts=("unit",)))

    for values in rows(5):
        batch = decoder.decode([encoded(window, values)])

        assert batch.bad == []
        assert np.array_equal(batch.matrix[0], values)
        assert [batch.texts[0].values[code] for code in batch.texts[0].codes] == ["a"]
    assert walks == [1]


def test_windows_of_several_lengths_and_bad_ones_share_a_batch(window: Any) -> None:
    decoder = ProtobufFormat(window.DESCRIPTOR, FieldSelection(features=(f"values[{STEPS}]",)))
    good = rows(4)
    values = [
        encoded(window, good[0]),
        encoded(window, good[1], "another"),
        encoded(window, good[2][:-1]),
        b"\xff\xff",
        encoded(window, good[3]),
        None,
    ]

    for _ in range(2):
        batch = decoder.decode(values)

        assert batch.rows.tolist() == [0, 1, 4]
        assert [np.array_equal(batch.matrix[place], good[row]) for place, row in enumerate([0, 1, 3])] == [True] * 3
        assert [(bad.row, bad.stage) for bad in batch.bad] == [(2, "features"), (3, "decode"), (5, "decode")]


@pytest.mark.parametrize("length", [1, 3, 7, 8, 12, 111, 4_096, 4_097, 5_000])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 300])
def test_a_record_that_differs_where_it_steers_is_found_wherever_it_is(length: int, count: int) -> None:
    random = np.random.default_rng(length)
    record = random.integers(0, 256, length, np.uint8)
    mask = np.where(random.random(length) < 0.3, 0xFF, 0).astype(np.uint8)
    mask[random.integers(length)] = 0x80
    layout = Layout(record.tobytes(), mask.tobytes(), [], [])
    same = np.where(mask == 0, random.integers(0, 256, (count, length), np.uint8), record)

    assert layout.matches(same) is None
    for row in {0, count // 2, count - 1}:
        for place in (int(np.flatnonzero(mask)[0]), int(np.flatnonzero(mask)[-1])):
            other = same.copy()
            other[row, place] ^= 0x80
            found = layout.matches(other)
            assert found is not None
            assert np.flatnonzero(~found).tolist() == [row]
