"""Server-sent events are read as the HTML standard says, however the bytes are cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import DecodeError

from sluice.client.server_events import EventReader

BODY = (
    b"retry: 1500\n\n"
    b": keep-alive\n\n"
    b'id: a-1\nevent: result\ndata: {"x": 1}\n\n'
    b'id: a-2\r\nevent: result\r\ndata: {"x":\r\ndata: 2}\r\n\r\n'
    b'data: "no id, no name"\r\r'
    b"event: without-data\n\n"
)


def read(*chunks: bytes) -> tuple[EventReader, list[tuple[str, object, str | None]]]:
    reader = EventReader()
    return reader, [(event.kind, event.data, event.id) for chunk in chunks for event in reader.feed(chunk)]


def test_events_have_their_name_their_data_and_the_last_id():
    reader, events = read(BODY)

    assert events == [
        ("result", {"x": 1}, "a-1"),
        ("result", {"x": 2}, "a-2"),
        ("message", "no id, no name", "a-2"),
    ]
    assert reader.last_id == "a-2"
    assert reader.retry_seconds == 1.5


@settings(deadline=None)
@given(st.lists(st.integers(0, len(BODY)), max_size=8))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts):
    edges = [0, *sorted(cuts), len(BODY)]
    chunks = [BODY[start:end] for start, end in pairwise(edges)]

    assert read(*chunks)[1] == read(BODY)[1]


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(categories=["L", "N"]), min_size=1), st.integers()), max_size=5))
def test_every_event_that_was_written_is_read(pairs):
    body = b"".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode() for kind, data in pairs)

    assert [(kind, data) for kind, data, _ in read(body)[1]] == pairs


def test_what_a_broken_connection_left_unfinished_is_forgotten():
    reader = EventReader()
    assert list(reader.feed(b'id: 1\ndata: "whole"\n\ndata: "half')) != []

    reader.reconnected()

    assert [event.data for event in reader.feed(b'data: "next"\n\n')] == ["next"]
    assert reader.last_id == "1"


def test_data_that_is_no_json_is_an_error():
    with pytest.raises(DecodeError):
        read(b"data: {\n\n")
