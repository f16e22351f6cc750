"""Outputs that are queued in bulk, on a real broker: where they go, that all come in order, and what a refused one ends."""

import asyncio
import random
import time
import uuid
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import patient
from test_feed_delivery import committed, fill, running

from serving.feed import ColumnBatch, Output, StartAt
from serving.feed.errors import OutputRefusedError
from serving.feed.partitioning import partitions_of
from serving.feed.settings import producer_properties
from serving.feed.writer import Writer

pytestmark = pytest.mark.kafka

DELIVERIES = ["at_least_once", "exactly_once"]
PARTITIONS = 4
SMALL_BYTES = 20_000
"""A topic's limit that a request of fifty records of 1 kB is over, and one of fifty short ones is not."""

Record = tuple[bytes | None, bytes, Any]
"""Key, value, headers."""


class Reports:
    """What the delivery callbacks said."""

    def __init__(self) -> None:
        self.good: list[tuple[int, bytes]] = []
        self.bad: list[Any] = []

    def __call__(self, error: Any, record: Any) -> None:
        if error is None:
            self.good.append((record.partition(), record.value()))
        else:
            self.bad.append(error)


def open_writer(kafka: Any, topic: str, delivery: str = "at_least_once", **properties: Any) -> Writer:
    if delivery == "exactly_once":
        properties["transaction.timeout.ms"] = 120_000  # nobody here is waiting for a transaction of the dead
    given = producer_properties(
        bootstrap=kafka.bootstrap,
        worker_id="worker",
        limits={},
        transactional_id=f"{topic}-writer" if delivery == "exactly_once" else None,
        extra={name.replace("_", "."): value for name, value in properties.items()},
    )
    writer = Writer(given, {})
    while writer.producer.list_topics(topic, 60).topics[topic].error is not None:
        pass  # a topic is there before every broker tells of it
    writer.learn([topic], seconds=60)
    if delivery == "exactly_once":
        writer.producer.init_transactions(60)
        writer.producer.begin_transaction()
    return writer


def finish(writer: Writer, delivery: str = "at_least_once") -> None:
    if delivery == "exactly_once":
        writer.producer.commit_transaction(60)
    assert writer.flush(60) == 0
    writer.close()


def read(kafka: Any, topic: str) -> dict[int, list[Record]]:
    """All committed records by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    partitions = sorted(consumer.list_topics(topic, 30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found: dict[int, list[Record]] = {partition: [] for partition in partitions}
    at_end: set[int] = set()
    while len(at_end) < len(partitions):
        for record in consumer.consume(5_000, 0.2):
            if record.error() is None:
                found[record.partition()].append((record.key(), record.value(), record.headers()))
            elif record.error().code() == KafkaError._PARTITION_EOF:
                at_end.add(record.partition())
    consumer.close()
    return found


def limit(kafka: Any, topic: str, size: int) -> None:
    """Change the topic's `max.message.bytes`; returns when the broker goes by it."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(30)
    refusals: list[Any] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    while not any(refusals):
        producer.produce(
            topic, b"probe" + bytes(size), partition=0, on_delivery=lambda error, _: refusals.append(error)
        )
        assert producer.flush(30) == 0


def numbers(records: list[Record]) -> list[int]:
    """The numbers that values begin with, but for probes."""
    return [int(value.split(b":")[0]) for _, value, _ in records if not value.startswith(b"probe")]


@pytest.fixture
def topic(kafka: Any) -> str:
    return str(kafka.create_topic(partitions=PARTITIONS))


class Chooser:
    """The client's own choice of partitions: what it writes without being told where to."""

    def __init__(self, kafka: Any) -> None:
        self.topics = {count: kafka.create_topic(partitions=count) for count in (1, 2, 3, 7, 12)}
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})

    def choose(self, keys: list[bytes], count: int) -> list[int]:
        chosen = [-1] * len(keys)

        def note(row: int) -> Any:
            def delivered(error: Any, record: Any) -> None:
                chosen[row] = -2 if error is not None else record.partition()

            return delivered

        for row, key in enumerate(keys):
            self._producer.produce(self.topics[count], b"", key, on_delivery=note(row))
        assert self._producer.flush(30) == 0
        return chosen


@pytest.fixture(scope="module")
def chooser(kafka: Any) -> Chooser:
    return Chooser(kafka)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=200), st.sampled_from([1, 2, 3, 7, 12]))
def test_keys_go_where_the_clients_default_partitioner_sends_them(
    chooser: Chooser, keys: list[bytes], count: int
) -> None:
    assert partitions_of(keys, count).tolist() == chooser.choose(keys, count)


def test_ten_thousand_keys_go_where_the_clients_default_partitioner_sends_them(chooser: Chooser) -> None:
    chance = random.Random(5)
    keys = [chance.randbytes(chance.randrange(1, 300)) for _ in range(10_000)]

    assert partitions_of(keys, 12).tolist() == chooser.choose(keys, 12)


@pytest.mark.parametrize("room", [500_000, 100])
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_all_records_are_read_back_in_order_however_they_were_sent(
    kafka: Any, topic: str, delivery: str, room: int
) -> None:
    chance = random.Random(room)
    writer = open_writer(kafka, topic, delivery, queue_buffering_max_messages=room)
    reports, expected, in_bulk = Reports(), dict[int, list[Record]](), 0
    for size in [1, 500, 47, 48, 2_000, 3, 300, 60, 700, 48, 5, 1_000]:
        keys = [b"key-%d" % chance.randrange(40) for _ in range(size)]
        values = [chance.randbytes(chance.choice([0, 1, 10, 100, 3_000])) for _ in range(size)]
        headers = [[("row", b"%d" % row)] for row in range(size)] if size in (3, 300) else None
        for row, partition in enumerate(partitions_of(keys, PARTITIONS).tolist()):
            expected.setdefault(partition, []).append((keys[row], values[row], headers[row] if headers else None))

        count = writer.send(Output(topic, keys, values, headers), reports)

        assert count <= PARTITIONS or count == size
        in_bulk += count < size
    finish(writer, delivery)

    assert in_bulk >= 5
    assert reports.bad == []
    assert read(kafka, topic) == expected


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_full_queue_is_waited_for_and_changes_no_order(kafka: Any, topic: str, delivery: str) -> None:
    writer = open_writer(kafka, topic, delivery, queue_buffering_max_messages=7)
    reports = Reports()
    for begin in range(0, 2_000, 500):
        keys = [b"key-%d" % (number % 9) for number in range(begin, begin + 500)]
        values = [b"%d" % number for number in range(begin, begin + 500)]
        assert writer.send(Output(topic, keys, values), reports) <= PARTITIONS
    finish(writer, delivery)

    found = read(kafka, topic)

    assert sorted(number for records in found.values() for number in numbers(records)) == list(range(2_000))
    assert all(numbers(records) == sorted(numbers(records)) for records in found.values())
    assert len(reports.good) <= 4 * PARTITIONS


def test_there_is_one_report_for_each_partition_and_it_is_of_the_last_record(kafka: Any, topic: str) -> None:
    writer, reports = open_writer(kafka, topic), Reports()
    keys = [b"key-%d" % number for number in range(400)]

    count = writer.send(Output(topic, keys, [b"%d" % number for number in range(400)]), reports)
    finish(writer)

    last = {partition: b"%d" % number for number, partition in enumerate(partitions_of(keys, PARTITIONS).tolist())}
    assert sorted(reports.good) == sorted(last.items())
    assert count == PARTITIONS


def test_a_partition_that_was_added_is_written_to_once_it_was_learned(kafka: Any, topic: str) -> None:
    writer, reports = open_writer(kafka, topic), Reports()
    keys = [b"key-%d" % number for number in range(500)]
    values = [b"%d" % number for number in range(500)]
    writer.send(Output(topic, keys, values), reports)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_partitions([NewPartitions(topic, 9)])[topic].result(30)
    while len(admin.list_topics(topic, 30).topics[topic].partitions) < 9:
        pass

    writer.learn([topic], seconds=60)
    count = writer.send(Output(topic, keys, values), reports)
    finish(writer)

    found = read(kafka, topic)
    chosen = partitions_of(keys, 9).tolist()
    assert count == 9
    for partition in range(PARTITIONS, 9):
        assert numbers(found[partition]) == [row for row, its in enumerate(chosen) if its == partition]


def test_a_new_producer_commits_a_bulk_batch_before_it_knows_the_topic(kafka: Any, topic: str) -> None:
    writer, reports = open_writer(kafka, topic, "exactly_once"), Reports()
    writer.producer.abort_transaction(60)

    writer.renew()
    writer.producer.init_transactions(60)
    writer.producer.begin_transaction()
    keys, values = [b"key-%d" % number for number in range(500)], [b"%d" % number for number in range(500)]
    count = writer.send(Output(topic, keys, values), reports)
    finish(writer, "exactly_once")

    assert count == PARTITIONS
    assert sorted(number for records in read(kafka, topic).values() for number in numbers(records)) == list(range(500))


@pytest.mark.parametrize(
    "properties",
    [
        {"enable.gapless.guarantee": False},
        {"message.timeout.ms": 60_000},
        {"delivery.timeout.ms": 60_000},
        {"topic.message.timeout.ms": 60_000},
        {"default.topic.config": {"message.timeout.ms": 60_000}},
        {"retries": 5},
        {"message.send.max.retries": 5},
        {"partitioner": "murmur2"},
        {"topic.partitioner": "murmur2_random"},
        {"default.topic.config": {"partitioner": "fnv1a"}},
    ],
    ids=str,
)
def test_every_record_has_its_callback_where_one_could_fail_alone(
    kafka: Any, topic: str, properties: dict[str, Any]
) -> None:
    writer, reports = open_writer(kafka, topic, **properties), Reports()

    count = writer.send(Output(topic, [b"k"] * 200, [b"%d" % number for number in range(200)]), reports)
    finish(writer)

    assert count == len(reports.good) == 200


@pytest.mark.parametrize("empty", [b"", None])
def test_records_whose_key_is_empty_or_missing_are_scattered_by_the_client(
    kafka: Any, topic: str, empty: bytes | None
) -> None:
    writer, reports = open_writer(kafka, topic), Reports()

    count = writer.send(Output(topic, [b"k"] * 99 + [empty], [b"%d" % number for number in range(100)]), reports)
    finish(writer)

    assert count == 100
    assert sum(map(len, read(kafka, topic).values())) == 100


def test_tombstones_stay_tombstones(kafka: Any, topic: str) -> None:
    writer, reports = open_writer(kafka, topic), Reports()

    assert writer.send(Output(topic, [b"k"] * 100, [b""] * 99 + [None]), reports) == 100
    finish(writer)

    assert [value for records in read(kafka, topic).values() for _, value, _ in records] == [b""] * 99 + [None]


def test_a_record_over_the_clients_limit_is_refused_at_once(kafka: Any, topic: str) -> None:
    for row in (0, 50, 99):
        writer = open_writer(kafka, topic)
        values = [bytes(2_000_000 if row == number else 10) for number in range(100)]

        with pytest.raises(OutputRefusedError, match="Message size too large"):
            writer.send(Output(topic, [b"k"] * 100, values), Reports())

        writer.flush(10)
        assert len(writer) == 0
        writer.close()


@pytest.mark.parametrize("linger", [0, 5])
@pytest.mark.parametrize("batches_before", [0, 3])
def test_no_record_is_acknowledged_behind_one_that_the_broker_refused(
    kafka: Any, topic: str, batches_before: int, linger: int
) -> None:
    # Requests of fifty records, five in flight; one over the limit among many that are not. A broker that has nothing yet of
    # a producer (`batches_before` 0) takes its later requests although the first was refused.
    writer, reports = open_writer(kafka, topic, batch_num_messages=50, linger_ms=linger), Reports()
    keys = [b"key-%d" % (row % 40) for row in range(600)]
    chosen = partitions_of(keys, PARTITIONS).tolist()
    sent: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}

    def send(batch: int, size: int) -> None:
        for row, partition in enumerate(chosen):
            sent[partition].append(batch * 1_000 + row)
        values = [b"%d:" % (batch * 1_000 + row) + bytes(size if row < 300 else 0) for row in range(600)]
        assert writer.send(Output(topic, keys, values), reports) == PARTITIONS

    for batch in range(batches_before):
        send(batch, 1_000)
    assert writer.flush(60) == 0
    limit(kafka, topic, SMALL_BYTES)

    def send_until_refused() -> None:
        send(batches_before, 1_000)
        for batch in range(batches_before + 1, batches_before + 5):
            send(batch, 0)
            writer.poll()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            writer.poll()

    with pytest.raises(OutputRefusedError, match=topic):
        send_until_refused()
    said = list(reports.good)
    for again in (writer.poll, lambda: writer.flush(1), lambda: send(9, 0)):
        with pytest.raises(OutputRefusedError, match="Message size too large"):
            again()

    written = {partition: set(numbers(records)) for partition, records in read(kafka, topic).items()}
    assert reports.good == said
    assert len(said) >= batches_before * PARTITIONS
    for partition, value in said:
        number = int(value.split(b":")[0])
        assert set(sent[partition][: sent[partition].index(number) + 1]) <= written[partition]
    writer.close()
    writer.producer.purge()


@pytest.mark.parametrize("commit_seconds", [0, 0.5])
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_feed_ends_when_the_broker_refuses_a_record_and_commits_nothing_that_was_not_written(
    kafka: Any, topic: str, delivery: str, commit_seconds: float
) -> None:
    # The first record of a batch is over the limit, alone in its request; the last ones of the partitions are not.
    source = kafka.create_topic()
    fill(kafka, source, 12_000)
    is_limited = False

    async def relay(batch: ColumnBatch) -> None:
        nonlocal is_limited
        with batch:
            if batch.offsets[0] >= 4_000 and not is_limited:
                is_limited = True
                await asyncio.to_thread(limit, kafka, topic, 2_000)
            values = [b"%d:" % offset for offset in batch.offsets]
            values[0] += bytes(3_000)
            batch.done(Output(topic, batch.keys, values))

    async def scenario() -> tuple[BaseException, str, int]:
        async with running(
            kafka,
            {source: StartAt.EARLIEST},
            relay,
            delivery=delivery,
            outputs=[topic],
            batch_records=400,
            producer={"batch.size": 1_500, "linger.ms": 5},
            commit_seconds=commit_seconds,
        ) as stage:
            error = await asyncio.wait_for(stage.app.crashed, patient(60))
            return error, stage.group, stage.feed.statistics().aborts

    error, group, aborts = asyncio.run(scenario())

    offset = committed(kafka, group, source)
    written = sorted(number for records in read(kafka, topic).values() for number in numbers(records))
    assert isinstance(error, OutputRefusedError)
    assert topic in str(error)
    assert "Message size too large" in str(error)
    assert offset < 12_000
    if delivery == "exactly_once":
        assert aborts >= 1  # the first time nobody knew why; then each record was asked
        assert written == list(range(offset))
    else:
        assert set(range(offset)) <= set(written)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_feed_ends_when_its_output_topic_is_deleted(kafka: Any, delivery: str) -> None:
    topic, source = kafka.create_topic(partitions=PARTITIONS), kafka.create_topic()
    fill(kafka, source, 8_000)
    is_deleted = False

    async def relay(batch: ColumnBatch) -> None:
        nonlocal is_deleted
        with batch:
            if batch.offsets[0] >= 4_000 and not is_deleted:
                is_deleted = True
                admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
                await asyncio.to_thread(admin.delete_topics([topic], operation_timeout=30)[topic].result, 30)
            batch.done(Output(topic, batch.keys, batch.values))

    async def scenario() -> tuple[BaseException, str]:
        async with running(
            kafka,
            {source: StartAt.EARLIEST},
            relay,
            delivery=delivery,
            outputs=[topic],
            batch_records=400,
            producer={"allow.auto.create.topics": False, "topic.metadata.propagation.max.ms": 1_000},
        ) as stage:
            return await asyncio.wait_for(stage.app.crashed, patient(90)), stage.group

    error, group = asyncio.run(scenario())

    assert isinstance(error, OutputRefusedError), error
    assert committed(kafka, group, source) <= 4_000


@pytest.mark.slow
@pytest.mark.parametrize("in_flight", [1, 5])
def test_a_killed_broker_costs_repeats_and_reorders_nothing_that_was_sent_in_bulk(
    kafka_restartable: Any, in_flight: int
) -> None:
    kafka = kafka_restartable
    topic = kafka.create_topic(partitions=PARTITIONS, name=f"killed-{uuid.uuid4().hex[:8]}")
    writer = open_writer(kafka, topic, max_in_flight=in_flight, batch_num_messages=200)
    reports, total, expected_reports = Reports(), 0, 0

    def send_for(seconds: float) -> None:
        nonlocal total, expected_reports
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            numbers = range(total, total + 500)
            keys = [b"key-%d" % (number % 50) for number in numbers]
            expected_reports += writer.send(Output(topic, keys, [b"%d" % number for number in numbers]), reports)
            total += 500
            for _ in range(5):
                writer.poll()
                time.sleep(0.002)

    for _ in range(2):
        send_for(1.0)
        kafka.kill()
        send_for(1.0)
        kafka.start()
    send_for(0.5)
    finish(writer)

    found = read(kafka, topic)
    assert reports.bad == []
    assert len(reports.good) == expected_reports
    assert sum(map(len, found.values())) == total
    for partition, records in found.items():
        rows = partitions_of([b"key-%d" % number for number in range(50)], PARTITIONS)
        assert numbers(records) == [number for number in range(total) if rows[number % 50] == partition]
