import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.feed.settings import DEFAULT_RECORD_BYTES, OVERHEAD_BYTES
from serving.feed.writer import Writer

ROOM = 1_000


@pytest.fixture(scope="module")
def writer() -> Writer:
    """A writer that never connects: sizes need no broker."""
    return Writer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, {"small": ROOM + OVERHEAD_BYTES})


@given(st.lists(st.tuples(st.integers(0, 2 * ROOM), st.none() | st.integers(0, 2 * ROOM)), max_size=20))
def test_exactly_the_rows_that_do_not_fit_are_oversized(writer: Writer, sizes: list[tuple[int, int | None]]) -> None:
    keys = [None if key is None else bytes(key) for _, key in sizes]
    values = [bytes(value) for value, _ in sizes]

    found = writer.oversized("small", keys, values)

    assert found == [row for row, (value, key) in enumerate(sizes) if value + (key or 0) > ROOM]


def test_headers_count(writer: Writer) -> None:
    values = [bytes(ROOM - 10)] * 2

    assert writer.oversized("small", None, values, [None, [("traceparent", bytes(50))]]) == [1]


def test_tombstones_fit(writer: Writer) -> None:
    assert writer.oversized("small", None, [None, bytes(2 * ROOM), None]) == [1]


def test_a_topic_without_a_limit_of_its_own_has_the_clients(writer: Writer) -> None:
    assert writer.oversized("other", None, [bytes(DEFAULT_RECORD_BYTES)]) == [0]
    assert writer.oversized("other", None, [bytes(10 * ROOM)]) == []
