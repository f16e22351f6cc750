"""What the feed relies on in Faust, mode and confluent-kafka beyond their documentation.

An upgrade of one of them fails here first. Each test names one thing, and checks it by what it does where that is possible
without a broker; then go through the modules named in it before raising the pin.
"""

import asyncio
import ctypes
import importlib.metadata
import inspect
import random
import sys
from typing import Any

import confluent_kafka
import faust
import mode
import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition, cimpl
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from serving.core.byte_column import ByteColumn
from serving.feed import FeedChannel
from serving.feed.bulk import BulkProducer

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}


@pytest.fixture
def app() -> faust.App:
    return faust.App("internals", broker="kafka://127.0.0.1:1", value_serializer="raw", web_enabled=False)


@pytest.mark.parametrize(
    ("package", "version"),
    [("confluent-kafka", "2.16"), ("faust-streaming", "0.15"), ("mode-streaming", "0.7"), ("aiokafka", "0.14")],
)
def test_the_feed_was_proven_on_these_versions(package: str, version: str) -> None:
    assert ".".join(importlib.metadata.version(package).split(".")[:2]) == version


def test_librdkafka_is_the_one_whose_source_was_read() -> None:
    # reader.py: a logical offset is looked up again after a seek; bounded.py: send_offsets_to_transaction may hang.
    assert confluent_kafka.libversion()[0].startswith("2.16.")


class TestChannel:
    """channel.py"""

    def test_a_channel_makes_its_queue_lazily_in_the_private_attribute(self, app: faust.App) -> None:
        channel = FeedChannel(app)

        assert channel._queue is None
        assert isinstance(channel.queue, ThrowableQueue)
        assert channel._queue is channel.queue

    def test_flow_control_of_the_app_does_not_reach_the_queue(self, app: faust.App) -> None:
        channel = FeedChannel(app)
        channel.queue.put_nowait("batch")

        app.flow_control.suspend()
        app.flow_control.clear()

        assert channel.queue.get_nowait() == "batch"

    def test_the_apps_own_channels_are_cleared_by_flow_control(self, app: faust.App) -> None:
        channel = app.channel()
        channel.queue.put_nowait("batch")

        app.flow_control.clear()

        assert channel.queue.empty()

    def test_an_iterator_of_the_channel_has_a_queue_of_the_same_kind(self, app: faust.App) -> None:
        channel = FeedChannel(app)

        subscriber = channel.clone(is_iterator=True)

        assert type(subscriber) is FeedChannel
        assert subscriber.queue is not channel.queue

    def test_values_reach_the_subscriber_as_they_are_and_vanish_without_one(self, app: faust.App) -> None:
        async def scenario() -> list[Any]:
            channel = FeedChannel(app)
            await channel.put("nobody listens")
            subscriber = channel.clone(is_iterator=True)
            await channel.put("batch")
            return [await subscriber.queue.get(), subscriber.queue.qsize()]

        assert asyncio.run(scenario()) == ["batch", 0]

    def test_a_throwable_queue_takes_its_own_flow_control(self) -> None:
        queue = ThrowableQueue(maxsize=0, flow_control=FlowControlEvent(initially_suspended=False))

        assert queue.empty()


class TestService:
    """feed.py, control_log.py"""

    def test_the_app_has_what_the_feed_calls(self, app: faust.App) -> None:
        assert inspect.iscoroutinefunction(app.agents.wait_until_agents_started)
        assert inspect.iscoroutinefunction(app.crash)
        assert inspect.iscoroutinefunction(app.add_runtime_dependency)

    def test_a_service_is_started_and_stopped_by_its_hooks_and_keeps_its_loop_free_attributes(self) -> None:
        taken = set(dir(mode.Service))

        assert not taken & {
            "hold",
            "release",
            "position",
            "fail",
            "statistics",
            "oversized",
            "_lanes",
            "_main",
            "_pump",
        }
        assert {"on_start", "on_stop", "start", "stop"} <= taken

    def test_the_crashing_supervisor_ends_the_worker(self) -> None:
        class Agent(mode.Service):  # type: ignore[misc]
            pass

        crashing, restarting = Agent(), Agent()
        mode.CrashingSupervisor().add(crashing)
        mode.OneForOneSupervisor().add(restarting)

        # Without a supervisor `Service.crash` crashes the parents too, up to the worker.
        assert crashing.supervisor is None
        assert restarting.supervisor is not None


class TestConsumer:
    """reader.py, placement.py"""

    @pytest.mark.parametrize(
        "member",
        ["assign", "incremental_assign", "pause", "resume", "seek", "consume", "poll", "commit", "committed", "list_topics",
         "get_watermark_offsets", "consumer_group_metadata", "subscribe", "close"],
    )  # fmt: skip
    def test_the_consumer_has(self, member: str) -> None:
        assert callable(getattr(Consumer, member))

    def test_a_topic_partition_carries_metadata_and_no_error(self) -> None:
        entry = TopicPartition("topic", 3, 7, metadata="origin=4")

        assert (entry.topic, entry.partition, entry.offset, entry.metadata, entry.error) == (
            "topic",
            3,
            7,
            "origin=4",
            None,
        )

    def test_no_committed_offset_is_a_negative_one(self) -> None:
        assert confluent_kafka.OFFSET_INVALID == -1001

    def test_consume_without_waiting_returns_at_once(self) -> None:
        consumer = Consumer({**NOWHERE, "group.id": "internals", "auto.offset.reset": "error"})

        assert consumer.consume(100, 0) == []

        consumer.close()

    @pytest.mark.parametrize(
        "name",
        ["_AUTO_OFFSET_RESET", "_PARTITION_EOF", "_STATE", "_QUEUE_FULL", "UNSTABLE_OFFSET_COMMIT", "MSG_SIZE_TOO_LARGE",
         "COORDINATOR_LOAD_IN_PROGRESS", "OFFSET_NOT_AVAILABLE"],
    )  # fmt: skip
    def test_the_error_code_has_its_name(self, name: str) -> None:
        assert isinstance(getattr(KafkaError, name), int)

    @pytest.mark.parametrize("question", ["code", "str", "fatal", "retriable", "txn_requires_abort"])
    def test_an_error_answers(self, question: str) -> None:
        assert KafkaException(KafkaError(KafkaError._STATE)).args[0].__getattribute__(question)() is not None


class TestProducer:
    """writer.py, exactly_once.py"""

    def test_produce_batch_tells_of_a_refused_record_by_count_and_error_only(self) -> None:
        producer = Producer({**NOWHERE, "queue.buffering.max.messages": 1})
        reports: list[Any] = []
        records: list[dict[str, Any]] = [{"value": b"fits", "key": b"k"}, {"value": b"does not"}]

        accepted = producer.produce_batch("topic", records, on_delivery=lambda *report: reports.append(report))

        assert accepted == 1
        assert "_error" not in records[0]
        assert records[1]["_error"].code() == KafkaError._QUEUE_FULL
        assert reports == []
        producer.purge()

    def test_produce_batch_refuses_a_record_over_the_clients_limit_without_a_report(self) -> None:
        producer = Producer({**NOWHERE, "message.max.bytes": 1_000})
        records: list[dict[str, Any]] = [{"value": bytes(2_000)}]

        assert producer.produce_batch("topic", records) == 0
        assert records[0]["_error"].code() == KafkaError.MSG_SIZE_TOO_LARGE

    def test_produce_batch_has_no_headers(self) -> None:
        assert "headers are not currently supported" in (Producer.produce_batch.__doc__ or "")

    def test_the_length_is_zero_only_when_nothing_waits_and_purge_gives_it_up(self) -> None:
        producer = Producer(NOWHERE)
        reports: list[Any] = []
        producer.produce("topic", b"v", on_delivery=lambda error, _: reports.append(error.code()))
        assert len(producer) >= 1  # errors of the connection that were not polled yet count too

        producer.purge(blocking=False)
        producer.flush(5)

        assert reports == [KafkaError._PURGE_QUEUE]
        assert len(producer) == 0

    @pytest.mark.parametrize(
        "call",
        [
            "init_transactions",
            "begin_transaction",
            "send_offsets_to_transaction",
            "commit_transaction",
            "abort_transaction",
        ],
    )
    def test_transactions_are_called(self, call: str) -> None:
        assert callable(getattr(Producer, call))


class TestBulk:
    """bulk.py"""

    def test_it_was_proven_on_this_release_and_layout_of_objects(self) -> None:
        assert importlib.metadata.version("confluent-kafka") == "2.16.1"
        assert confluent_kafka.libversion()[0] == "2.16.0"
        assert (object.__basicsize__, ctypes.sizeof(ctypes.c_void_p), sys.byteorder) == (16, 8, "little")

    def test_the_handle_is_the_first_member_of_the_producers_object(self) -> None:
        library = ctypes.CDLL(cimpl.__file__)
        library.rd_kafka_name.restype = ctypes.c_char_p
        library.rd_kafka_name.argtypes = [ctypes.c_void_p]
        producers = [Producer({**NOWHERE, "client.id": f"internals-{number}"}) for number in range(3)]

        names = [library.rd_kafka_name(BulkProducer(producer)._handle).decode() for producer in producers]

        assert [name.rpartition("-")[0] for name in names] == [f"internals-{number}#producer" for number in range(3)]
        assert all(name.rpartition("-")[2].isdigit() for name in names)

    @pytest.mark.parametrize(
        "function",
        ["rd_kafka_produce_batch", "rd_kafka_topic_new", "rd_kafka_topic_destroy", "rd_kafka_conf", "rd_kafka_conf_get"],
    )  # fmt: skip
    def test_the_extension_leads_to_the_library_that_the_producer_runs_in(self, function: str) -> None:
        library = ctypes.CDLL(cimpl.__file__)
        library.rd_kafka_version_str.restype = ctypes.c_char_p

        assert library.rd_kafka_version_str().decode() == confluent_kafka.libversion()[0]
        assert callable(getattr(library, function))

    def test_the_callback_passes_over_messages_without_python_state_and_the_length_counts_them(self) -> None:
        reports: list[Any] = []
        producer = Producer({**NOWHERE, "on_delivery": lambda *report: reports.append(report)})
        bulk = BulkProducer(producer)

        assert queue_many(bulk, 100) == ((), None)
        producer.produce("topic", b"v", b"k", on_delivery=lambda error, record: reports.append((error.code(), "own")))
        counted = len(producer)
        producer.purge(blocking=False)
        producer.flush(10)
        bulk.close()

        assert counted >= 101  # errors of the connection that were not polled yet count too
        assert reports == [(KafkaError._PURGE_QUEUE, "own")]
        assert len(producer) == 0

    def test_a_message_that_is_refused_has_its_error_at_its_place(self) -> None:
        bulk = BulkProducer(Producer({**NOWHERE, "message.max.bytes": 2_000}))
        values = ByteColumn.of([b"fits", bytes(3_000), b"fits", bytes(3_000)])

        rows, error = bulk.queue("topic", np.zeros(4, np.int32), ByteColumn.of([b"k"] * 4), values)
        bulk.close()

        assert rows == [1, 3]
        assert error is not None
        assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE

    def test_after_the_queue_is_full_nothing_more_of_a_call_is_taken(self) -> None:
        producer = Producer({**NOWHERE, "queue.buffering.max.messages": 10})
        bulk = BulkProducer(producer)

        rows, error = queue_many(bulk, 25)
        bulk.close()

        assert rows == list(range(10, 25))
        assert error is not None
        assert error.code() == KafkaError._QUEUE_FULL
        producer.purge()

    @pytest.mark.parametrize(
        ("given", "name", "value"),
        [
            ({}, "partitioner", None),  # properties of topics have values once one of them was given
            ({"acks": "all"}, "partitioner", "consistent_random"),
            ({"topic.partitioner": "murmur2"}, "partitioner", "murmur2"),
            ({"default.topic.config": {"partitioner": "fnv1a"}}, "partitioner", "fnv1a"),
            ({"message.timeout.ms": 0}, "message.timeout.ms", "0"),
            ({"message.timeout.ms": 0, "delivery.timeout.ms": 5}, "message.timeout.ms", "5"),
            ({"enable.idempotence": True}, "retries", "2147483647"),
            ({"enable.idempotence": True, "message.send.max.retries": 3}, "retries", "3"),
            ({"enable.idempotence": True, "enable.gapless.guarantee": True}, "enable.gapless.guarantee", "true"),
            ({}, "enable.gapless.guarantee", "false"),
            ({"transactional.id": "t"}, "transactional.id", "t"),
            ({}, "transactional.id", None),
            ({}, "there.is.no.such.property", None),
        ],
    )  # fmt: skip
    def test_the_library_says_what_a_property_came_to(
        self, given: dict[str, Any], name: str, value: str | None
    ) -> None:
        assert BulkProducer(Producer({**NOWHERE, **given})).setting(name) == value


def queue_many(bulk: BulkProducer, count: int) -> Any:
    column = ByteColumn.of([b"%d" % number for number in range(count)])
    return bulk.queue("topic", np.zeros(count, np.int32), column, column)


@pytest.mark.kafka
class TestBulkOnKafka:
    """bulk.py: `rd_kafka_message_t`, and what librdkafka does with an array of them"""

    LENGTHS = (3, 2, 1, 0, 7, 8, 100, 255, 256, 4_096, 65_535, 65_536, 100_000)

    @pytest.fixture
    def topic(self, kafka: Any) -> str:
        return str(kafka.create_topic(partitions=3))

    @pytest.fixture
    def producer(self, kafka: Any) -> Any:
        return Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})

    def test_a_consumer_reads_what_was_put_in(self, kafka: Any, topic: str, producer: Any) -> None:
        chance = random.Random(7)
        values = [chance.randbytes(length) for length in self.LENGTHS]
        keys = [chance.randbytes(1 + 299 * row // 12) for row in range(len(values))]
        bulk = BulkProducer(producer)

        rows, error = bulk.queue(topic, np.full(len(keys), 2, np.int32), ByteColumn.of(keys), ByteColumn.of(values))
        assert producer.flush(30) == 0
        bulk.close()

        assert (rows, error) == ((), None)
        assert (len(keys[0]), len(keys[-1])) == (1, 300)
        assert read(kafka, topic, 2, len(values)) == list(zip(keys, values, strict=True))

    def test_empty_and_zero_values_are_no_tombstones(self, kafka: Any, topic: str, producer: Any) -> None:
        values = [b"", b"\0", b"\0\0\0", b""]
        bulk = BulkProducer(producer)
        for column in (ByteColumn.of(values), ByteColumn.of([b"", b"", b"", b""])):
            bulk.queue(topic, np.zeros(4, np.int32), ByteColumn.of([b"\0", b"\0\0", b"a\0b", b"\0"]), column)
        assert producer.flush(30) == 0
        bulk.close()

        found = read(kafka, topic, 0, 8)

        assert [key for key, _ in found] == [b"\0", b"\0\0", b"a\0b", b"\0"] * 2
        assert [value for _, value in found] == [*values, b"", b"", b"", b""]

    def test_the_bytes_are_copied_before_the_call_returns(self, kafka: Any, topic: str, producer: Any) -> None:
        buffer = np.full(4_000, ord("a"), np.uint8)
        column = ByteColumn(buffer, np.arange(400) * 10, np.full(400, 10))
        bulk = BulkProducer(producer)

        bulk.queue(topic, np.zeros(400, np.int32), column, column)
        buffer[:] = ord("b")
        assert producer.flush(30) == 0
        bulk.close()

        assert set(read(kafka, topic, 0, 400)) == {(b"a" * 10, b"a" * 10)}

    def test_a_partition_that_is_not_there_is_refused_and_nothing_is_left_of_it(
        self, topic: str, producer: Any
    ) -> None:
        producer.list_topics(topic, timeout=30)
        bulk = BulkProducer(producer)
        column = ByteColumn.of([b"k"] * 6)

        rows, error = bulk.queue(topic, np.array([0, 0, 9, 9, 1, 1], np.int32), column, column)
        left = producer.flush(30)
        bulk.close()

        assert rows == [2, 3]
        assert error is not None
        assert error.code() == KafkaError._UNKNOWN_PARTITION
        assert left == len(producer) == 0

    @pytest.mark.parametrize("is_known", [True, False])
    def test_messages_join_the_transaction_also_while_the_topic_is_not_known(
        self, kafka: Any, topic: str, is_known: bool
    ) -> None:
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic})
        bulk = BulkProducer(producer)
        column = ByteColumn.of([b"%d" % number for number in range(100)])
        producer.init_transactions(60)
        if is_known:
            producer.list_topics(topic, timeout=30)

        for ending in ("abort_transaction", "commit_transaction"):
            producer.begin_transaction()
            rows, _ = bulk.queue(topic, np.repeat([0, 2], 50).astype(np.int32), column, column)
            assert rows == ()
            getattr(producer, ending)(30)
        bulk.close()

        assert [value for _, value in read(kafka, topic, 0, 50)] == list(column)[:50]
        assert [value for _, value in read(kafka, topic, 2, 50)] == list(column)[50:]

    def test_a_producer_ends_with_messages_and_topics_still_held(self, topic: str, producer: Any) -> None:
        bulk = BulkProducer(producer)
        column = ByteColumn.of([b"k"] * 100)
        bulk.queue(topic, np.zeros(100, np.int32), column, column)

        del bulk, producer  # returns: nothing of the library waits for a topic that was not let go of


def read(kafka: Any, topic: str, partition: int, count: int) -> list[tuple[bytes, bytes]]:
    """Keys and values of all committed records of a partition; waits for `count`, and for the end."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[tuple[bytes, bytes]] = []
    is_at_end = False
    while len(found) < count or not is_at_end:
        for record in consumer.consume(1_000, 0.2):
            if record.error() is None:
                found.append((record.key(), record.value()))
            is_at_end = record.error() is not None and record.error().code() == KafkaError._PARTITION_EOF
    consumer.close()
    return found
