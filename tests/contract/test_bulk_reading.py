"""Reading in bulk gives what the Python client gives, and what it relies on in librdkafka holds (bulk_consumer.py)."""

import os
import select
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from patience import patient, until

from serving.feed import lent_messages
from serving.feed.bulk_consumer import BulkConsumer, ReadError
from serving.feed.lent_messages import LENT, MessageFunctions
from serving.feed.native import UnknownClientError

pytestmark = pytest.mark.kafka

PARTITIONS = 3
Record = tuple[int, int, bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]


@pytest.fixture(autouse=True, params=[0, 1_000_000], ids=["together", "one by one"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of looking at messages, whatever their number."""
    monkeypatch.setattr("serving.feed.bulk_consumer.FEW", request.param)


@pytest.fixture
def topic(kafka: Any) -> str:
    return str(kafka.create_topic(partitions=PARTITIONS))


def open_consumer(kafka: Any, **properties: Any) -> Consumer:
    given = {"enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "error", **properties}
    return Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": uuid.uuid4().hex, **given})


@contextmanager
def reading(kafka: Any, topic: str) -> Iterator[tuple[Consumer, BulkConsumer]]:
    consumer = open_consumer(kafka)
    bulk = BulkConsumer(consumer)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    for partition in range(PARTITIONS):
        bulk.divert((topic, partition))
    try:
        yield consumer, bulk
    finally:
        bulk.close()
        consumer.close()


def write(kafka: Any, topic: str, records: list[tuple[int, bytes | None, bytes | None, Any]]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 20})
    for partition, key, value, headers in records:
        producer.produce(topic, value, key, partition, headers=headers)
    assert producer.flush(30) == 0


def read_bulk(consumer: Consumer, bulk: BulkConsumer, count: int, most: int = 500) -> list[Record]:
    found: list[Record] = []
    end = time.monotonic() + patient(30)
    while len(found) < count and time.monotonic() < end:
        assert consumer.poll(0) is None  # everything was diverted
        runs, errors = bulk.read(most)
        assert errors == []
        for (_, partition), run in runs:
            columns = (run.offsets(), run.keys(), run.values(), run.timestamps().tolist())
            rows = enumerate(zip(*columns, strict=True))
            found += [(partition, at, key, value, ms, run.headers_of(row)) for row, (at, key, value, ms) in rows]
    return found


def read_singly(kafka: Any, topic: str, count: int) -> list[Record]:
    consumer = open_consumer(kafka)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[Record] = []
    while len(found) < count:
        (record,) = consumer.consume(1, 30)
        where = record.partition(), record.offset()
        found.append((*where, record.key(), record.value(), record.timestamp()[1], record.headers() or []))
    consumer.close()
    return found


LENGTHS = [0, 1, 7, 110, 111, 4_096, 4_097, 70_000]
SHAPES = {
    "one length": lambda row: (b"k%05d" % row, b"v%07d" % row),
    "few lengths": lambda row: (b"k" * (1 + row % 5), b"v" * (row % 3)),
    "many lengths": lambda row: (b"%d" % row, bytes([row % 251]) * (row % 199)),
    "long ones": lambda row: (b"k", bytes([row % 251]) * LENGTHS[row % len(LENGTHS)]),
    "tombstones": lambda row: (b"k%d" % row, None if row % 3 else b"v"),
    "no keys": lambda row: (None, b"v%d" % row),
    "some keys": lambda row: (b"k" if row % 2 else None, b""),
    "nothing": lambda row: (None, None),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_columns_are_what_the_python_client_gives(kafka: Any, topic: str, shape: str) -> None:
    rows = [SHAPES[shape](row) for row in range(700)]
    headers = [[("a", b"1"), ("a", None), ("é", b"")] if row % 50 == 0 else None for row in range(700)]
    write(kafka, topic, [(row % PARTITIONS, *pair, headers[row]) for row, pair in enumerate(rows)])

    with reading(kafka, topic) as (consumer, bulk):
        found = read_bulk(consumer, bulk, len(rows))

    expected = read_singly(kafka, topic, len(rows))
    assert {record[:2]: record for record in found} == {record[:2]: record for record in expected}
    assert len(found) == len(expected)


def test_a_run_has_one_partition_in_order_and_splits_at_any_offset(kafka: Any, topic: str) -> None:
    write(kafka, topic, [(row % PARTITIONS, b"k", b"%d" % row, None) for row in range(300)])

    with reading(kafka, topic) as (_, bulk):
        runs: list[Any] = []
        until(lambda: runs.extend(bulk.read(1_000)[0]) or sum(len(run) for _, run in runs) == 300)

        for _, run in runs:
            assert list(run.offsets()) == sorted(run.offsets())
            for offset in (run.first, run.first + 1, run.last, run.last + 1):
                below, rest = run.split(offset)
                parts = [part for part in (below, rest) if part is not None]
                assert [at for part in parts for at in part.offsets()] == list(run.offsets())
                assert [value for part in parts for value in part.values()] == list(run.values())
                assert below is None or below.last < offset
                assert rest is None or rest.first >= offset


def test_a_partition_that_was_left_keeps_what_is_fetched_until_it_is_diverted_again(kafka: Any, topic: str) -> None:
    with reading(kafka, topic) as (consumer, bulk):
        write(kafka, topic, [(partition, b"k", b"first", None) for partition in (0, 1)])
        read_bulk(consumer, bulk, 2)
        bulk.leave((topic, 0))
        write(kafka, topic, [(row % 2, b"k", b"%d" % row, None) for row in range(200)])

        assert {record[0] for record in read_bulk(consumer, bulk, 100)} == {1}

        bulk.divert((topic, 0))
        found = read_bulk(consumer, bulk, 100)
        assert [record[:2] for record in found] == [(0, offset) for offset in range(1, 101)]


def test_a_partition_may_be_given_back_while_it_is_left(kafka: Any, topic: str) -> None:
    write(kafka, topic, [(row % 2, b"k", b"%d" % row, None) for row in range(200)])

    with reading(kafka, topic) as (consumer, bulk):
        read_bulk(consumer, bulk, 200)
        bulk.leave((topic, 0))
        write(kafka, topic, [(row % 2, b"k", b"%d" % row, None) for row in range(200)])
        read_bulk(consumer, bulk, 100)
        consumer.unassign()
        consumer.assign([TopicPartition(topic, 0, 50)])
        bulk.divert((topic, 0))

        assert [record[:2] for record in read_bulk(consumer, bulk, 150)] == [(0, offset) for offset in range(50, 200)]


def test_what_was_fetched_before_a_seek_or_a_pause_does_not_come(kafka: Any, topic: str) -> None:
    write(kafka, topic, [(0, b"k", b"%d" % row, None) for row in range(2_000)])

    with reading(kafka, topic) as (consumer, bulk):
        assert read_bulk(consumer, bulk, 100, most=100)
        consumer.seek(TopicPartition(topic, 0, 1_000))
        after = [record[1] for record in read_bulk(consumer, bulk, 10, most=10)]
        consumer.pause([TopicPartition(topic, 0)])
        paused = bulk.read(100)
        consumer.seek(TopicPartition(topic, 0, 500))
        consumer.resume([TopicPartition(topic, 0)])
        resumed = [record[1] for record in read_bulk(consumer, bulk, 10, most=10)]

    assert after == list(range(1_000, 1_010))
    assert paused == ([], [])
    assert resumed == list(range(500, 510))


def test_an_error_of_a_partition_is_given_with_its_place(kafka: Any, topic: str) -> None:
    write(kafka, topic, [(0, b"k", b"v", None)])
    errors: list[ReadError] = []

    with reading(kafka, topic) as (consumer, bulk):
        read_bulk(consumer, bulk, 1)
        consumer.seek(TopicPartition(topic, 0, 1_000))
        until(lambda: errors.extend(bulk.read(10)[1]) or len(errors) > 0)

    assert errors[0].key == (topic, 0)
    assert errors[0].offset == 1_000
    assert errors[0].error.code() == KafkaError._AUTO_OFFSET_RESET
    assert "offset not available" in errors[0].error.str()


def test_a_byte_is_written_when_a_record_comes(kafka: Any, topic: str) -> None:
    reading_end, writing_end = os.pipe()
    os.set_blocking(writing_end, False)

    with reading(kafka, topic) as (consumer, bulk):
        bulk.wake(writing_end)
        for row in range(3):
            while bulk.read(10)[0] or consumer.poll(0) is not None:
                pass
            while select.select([reading_end], [], [], 0)[0]:
                os.read(reading_end, 100)
            write(kafka, topic, [(0, b"k", b"%d" % row, None)])
            assert select.select([reading_end], [], [], 30)[0]
            until(lambda: bool(bulk.read(10)[0]))
    os.close(reading_end)
    os.close(writing_end)


def test_the_client_ends_at_once_with_much_that_was_fetched_and_not_read(kafka: Any, topic: str) -> None:
    write(kafka, topic, [(row % PARTITIONS, b"k", bytes(100), None) for row in range(20_000)])

    with reading(kafka, topic) as (_, bulk):
        kept: list[Any] = []
        until(lambda: kept.extend(bulk.read(100)[0]) or len(kept) > 0)
        started = time.monotonic()

    assert time.monotonic() - started < 10  # it hangs for ever where a message was not given back
    assert kept[0][1].headers_of(0) == []
    assert kept[0][1].values()[0] == bytes(100)
    assert bulk.read(10) == ([], [])


def test_a_place_that_is_not_the_timestamps_is_noticed(kafka: Any, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = LENT.names or ()
    offsets = [88 if name == "timestamp" else LENT.fields[name][1] for name in names]  # type: ignore[index]
    moved = np.dtype({"names": names, "formats": [LENT[name] for name in names], "offsets": offsets, "itemsize": 104})
    monkeypatch.setattr("serving.feed.bulk_consumer.LENT", moved)
    write(kafka, topic, [(0, b"k", b"v", None)] * 5)

    with reading(kafka, topic) as (consumer, bulk):
        found = read_bulk(consumer, bulk, 5)

    assert found == read_singly(kafka, topic, 5)


def test_the_library_has_batches_of_the_known_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    MessageFunctions()
    function = lent_messages.function
    wrong: dict[str, Any] = {"rd_kafka_messages_get": lambda batch, place: 0}
    monkeypatch.setattr(lent_messages, "function", lambda name, *kinds: wrong.get(name) or function(name, *kinds))

    with pytest.raises(UnknownClientError, match="not laid out"):
        MessageFunctions()


def test_only_the_clients_own_consumer_is_reached_into() -> None:
    class Derived(Consumer):  # type: ignore[misc]  # the client has no type information
        """Of another make."""

    for consumer in (Derived({"group.id": "g"}), object(), None):
        with pytest.raises(UnknownClientError):
            BulkConsumer(consumer)
