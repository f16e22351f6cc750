"""A new reader of a long control log starts from the newest snapshot, and holds what everybody holds."""

from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.control_records import ControlRecord, Snapshot
from model_store.core.descriptor import Descriptor
from model_store.core.snapshots import SCHEMA, decode_snapshot, encode_snapshot
from model_store.core.wire import EncodedRecord, decode_record, encode_descriptor, encode_worker_record
from model_store.snapshot_pointer import SnapshotPlace, find_snapshot, publish_snapshot

pytestmark = pytest.mark.kafka


def announced(number: int) -> EncodedRecord:
    descriptor = Descriptor(f"m{number % 20}", f"d{number % 7}", "PMML", location="/m", description=f"number {number}")
    return encode_descriptor(descriptor, None)


def write(kafka: Any, topic: str, records: list[EncodedRecord]) -> list[int]:
    """Put records on the log; returns their offsets."""
    offsets: list[int] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5})
    for record in records:
        producer.produce(
            topic, record.value, record.key, headers=record.headers, on_delivery=lambda _, m: offsets.append(m.offset())
        )
        producer.poll(0)
    producer.flush(30)
    assert len(offsets) == len(records)
    return offsets


def read(kafka: Any, topic: str, catalogue: Catalogue, start: int, end: int) -> tuple[Catalogue, int]:
    """Fold the log from an offset on; returns how many records were read, too."""
    count = 0
    for entry in entries(kafka, topic, start, end):
        catalogue, count = fold(catalogue, entry), count + 1
    return catalogue, count


def entries(kafka: Any, topic: str, start: int, end: int) -> list[LogEntry]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": f"{topic}-reader", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, 0, start)])
    found: list[LogEntry] = []
    while not found or found[-1].offset < end - 1:
        for message in consumer.consume(500, 0.2):
            assert message.error() is None
            record: ControlRecord = decode_record(message.headers(), message.key(), message.value())
            found.append(LogEntry(message.offset(), message.timestamp()[1], record))
    consumer.close()
    return found


def started(kafka: Any, topic: str) -> Catalogue | None:
    """What a new reader begins with."""
    place = find_snapshot(kafka.bootstrap, {}, topic)
    if place is None or place.schema != SCHEMA:
        return None
    record = entries(kafka, topic, place.offset, place.offset + 1)[0].record
    return decode_snapshot(record, place.offset) if isinstance(record, Snapshot) else None


def test_a_reader_that_starts_from_a_snapshot_reads_only_what_came_after_it(kafka: Any) -> None:
    topic = kafka.create_topic()
    write(kafka, topic, [announced(number) for number in range(5_000)])
    first, _ = read(kafka, topic, EMPTY, 0, 5_000)
    offset = write(kafka, topic, [encode_worker_record(encode_snapshot(first))])[0]
    assert publish_snapshot(kafka.bootstrap, {}, topic, SnapshotPlace(offset, SCHEMA))
    write(kafka, topic, [announced(number) for number in range(100)])

    beginning = started(kafka, topic)
    assert beginning is not None
    from_snapshot, count = read(kafka, topic, beginning, beginning.offset + 1, 5_101)
    from_beginning, _ = read(kafka, topic, EMPTY, 0, 5_101)

    assert count == 101
    assert from_snapshot == from_beginning


def test_records_that_overtook_the_snapshot_are_not_lost(kafka: Any) -> None:
    topic = kafka.create_topic()
    write(kafka, topic, [announced(number) for number in range(10)])
    first, _ = read(kafka, topic, EMPTY, 0, 10)
    write(kafka, topic, [announced(3)])
    offset = write(kafka, topic, [encode_worker_record(encode_snapshot(first))])[0]
    assert publish_snapshot(kafka.bootstrap, {}, topic, SnapshotPlace(offset, SCHEMA))

    beginning = started(kafka, topic)
    assert beginning is not None
    from_snapshot, _ = read(kafka, topic, beginning, beginning.offset + 1, 12)

    assert from_snapshot == read(kafka, topic, EMPTY, 0, 12)[0]


def test_a_topic_without_a_snapshot_has_none(kafka: Any) -> None:
    assert find_snapshot(kafka.bootstrap, {}, kafka.create_topic()) is None


def test_the_pointer_goes_forward_only_unless_the_schema_is_another(kafka: Any) -> None:
    topic = kafka.create_topic()
    places = [SnapshotPlace(7, "one"), SnapshotPlace(5, "one"), SnapshotPlace(6, "two")]

    found = []
    for place in places:
        assert publish_snapshot(kafka.bootstrap, {}, topic, place)
        found.append(find_snapshot(kafka.bootstrap, {}, topic))

    assert found == [places[0], places[0], places[2]]


def test_without_a_broker_there_is_no_snapshot_and_no_error() -> None:
    assert find_snapshot("127.0.0.1:1", {}, "control", timeout_seconds=0.5) is None
