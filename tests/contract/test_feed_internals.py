"""What the feed relies on in Faust, mode and confluent-kafka beyond their documentation.

An upgrade of one of them fails here first. Each test names one thing, and checks it by what it does where that is possible
without a broker; then go through the modules named in it before raising the pin.
"""

import asyncio
import importlib.metadata
import inspect
from typing import Any

import confluent_kafka
import faust
import mode
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from serving.feed import FeedChannel

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
