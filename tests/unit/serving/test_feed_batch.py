from collections.abc import Sequence
from typing import Any

import pytest

from serving.feed.batch import ColumnBatch, Output
from serving.feed.errors import BatchNotReturnedError
from serving.feed.lanes import Lane
from serving.feed.runs import MessageRun


class Record:
    """A consumer record as the client makes them."""

    def __init__(self, offset: int, value: bytes | None = b"v", headers: list[tuple[str, bytes]] | None = None) -> None:
        self._offset, self._value, self._headers = offset, value, headers

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes:
        return b"k%d" % self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000 + self._offset

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._headers


class Receiver:
    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.outputs: list[Output] = []

    def take_back(self, batches: Sequence[ColumnBatch], outputs: Sequence[Output]) -> None:
        for batch in batches:
            batch.ticket.is_returned = True
        self.outputs += outputs


def make_batch(records: list[Any], receiver: Receiver, *, wants_headers: bool = False) -> ColumnBatch:
    lane = Lane("records", 3)
    lane.place(records[0].offset(), origin=1)
    ticket = lane.hand_out(records[-1].offset() + 1, now=0.0)
    return ColumnBatch(
        ticket,
        MessageRun(records),
        wants_headers=wants_headers,
        take_back=receiver.take_back,
        fail=receiver.failures.append,
    )


def test_columns_hold_the_records_in_order() -> None:
    batch = make_batch([Record(5), Record(6, None), Record(7)], Receiver())

    assert (batch.topic, batch.partition, len(batch)) == ("records", 3, 3)
    assert batch.values == [b"v", None, b"v"]
    assert batch.keys == [b"k5", b"k6", b"k7"]
    assert batch.timestamps.tolist() == [1_005, 1_006, 1_007]
    assert batch.offsets == range(5, 8)
    assert batch.headers is None


def test_offsets_with_a_gap_are_listed() -> None:
    batch = make_batch([Record(5), Record(9), Record(10)], Receiver())

    assert list(batch.offsets) == [5, 9, 10]


def test_headers_are_a_column_where_asked_for_and_else_found_one_by_one() -> None:
    records = [Record(0, headers=[("a", b"1")]), Record(1)]

    assert make_batch(records, Receiver(), wants_headers=True).headers == [[("a", b"1")], []]
    assert make_batch(records, Receiver()).headers_of(0) == [("a", b"1")]
    assert make_batch(records, Receiver()).headers_of(1) == []


def test_an_exception_inside_fails_the_feed_and_goes_on_up() -> None:
    receiver = Receiver()

    with pytest.raises(ZeroDivisionError), make_batch([Record(0)], receiver):
        raise ZeroDivisionError

    assert [type(failure) for failure in receiver.failures] == [ZeroDivisionError]


def test_leaving_without_done_fails_the_feed() -> None:
    receiver = Receiver()

    with make_batch([Record(0)], receiver):
        pass

    assert [type(failure) for failure in receiver.failures] == [BatchNotReturnedError]


def test_a_batch_is_handed_back_once() -> None:
    batch = make_batch([Record(0)], Receiver())
    batch.done()

    with pytest.raises(BatchNotReturnedError, match="handed back twice"):
        batch.done()
