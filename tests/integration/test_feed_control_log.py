"""The control log against a real broker: all of it, in order, by every reader."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from patience import patient

from serving.feed import ControlLog, ControlWriter
from serving.feed.errors import ControlTopicError

pytestmark = pytest.mark.kafka

Applied = tuple[list[tuple[str, bytes]], bytes | None, Any, int, int]


class Reading:
    """A control log that notes what it applies."""

    def __init__(self, bootstrap: str, topic: str, **settings: Any) -> None:
        self.applied: list[Applied] = []
        self.crashed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        apply = settings.pop("apply", lambda *record: self.applied.append(record))
        self.log: ControlLog[Any] = ControlLog(self.crash, topic, apply, bootstrap=bootstrap, **settings)

    async def crash(self, reason: BaseException) -> None:
        self.crashed.set_result(reason)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(patient(60)):
            while len(self.applied) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def reading(kafka: Any, topic: str, **settings: Any) -> AsyncIterator[Reading]:
    stage = Reading(kafka.bootstrap, topic, **settings)
    await stage.log.start()
    try:
        yield stage
    finally:
        await stage.log.stop()


@asynccontextmanager
async def writing(kafka: Any, topic: str, **settings: Any) -> AsyncIterator[ControlWriter]:
    writer = ControlWriter(topic, bootstrap=kafka.bootstrap, worker_id="worker", **settings)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


def new_name() -> str:
    return f"control-{uuid.uuid4().hex[:8]}"


def fill(kafka: Any, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(count):
        producer.produce(topic, b"%d" % number, b"key", headers=[("sluice-type", b"test")])
    assert producer.flush(30) == 0


def test_a_missing_topic_is_made_as_a_log_that_never_forgets(kafka: Any) -> None:
    topic = new_name()

    async def scenario() -> int:
        async with reading(kafka, topic) as stage:
            await asyncio.wait_for(stage.log.ready.wait(), patient(30))
            return len(stage.applied)

    assert asyncio.run(scenario()) == 0
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    assert len(admin.list_topics(timeout=10).topics[topic].partitions) == 1
    resource = ConfigResource(ResourceType.TOPIC, topic)
    config = admin.describe_configs([resource])[resource].result(10)
    assert config["retention.ms"].value == "-1"
    assert config["cleanup.policy"].value == "delete"
    assert config["max.message.bytes"].value == str(20 * 1024 * 1024)


def test_everything_up_to_the_end_is_applied_in_order_before_ready(kafka: Any) -> None:
    topic = kafka.create_topic()
    fill(kafka, topic, 2_000)

    async def scenario() -> list[Applied]:
        async with reading(kafka, topic) as stage:
            await asyncio.wait_for(stage.log.ready.wait(), patient(30))
            assert stage.log.applied == 2_000
            return list(stage.applied)

    applied = asyncio.run(scenario())

    assert [offset for *_, offset, _ in applied] == list(range(2_000))
    assert [value for _, _, value, *_ in applied] == [b"%d" % number for number in range(2_000)]
    headers, key, _, _, timestamp_ms = applied[0]
    assert (headers, key) == ([("sluice-type", b"test")], b"key")
    assert timestamp_ms > 1_600_000_000_000


def test_a_large_record_is_decoded_away_from_the_loop(kafka: Any) -> None:
    topic = new_name()
    threads: set[int] = set()

    def measure(headers: Any, key: bytes | None, value: bytes | None) -> int:
        threads.add(threading.get_ident())
        return len(value or b"")

    async def scenario() -> list[Applied]:
        async with reading(kafka, topic, decode=measure) as stage, writing(kafka, topic) as writer:
            await asyncio.wait_for(stage.log.ready.wait(), patient(30))
            assert writer.send(b"wine", bytes(20_000_000), [("sluice-type", b"model")])
            await stage.until(1)
            return stage.applied

    applied = asyncio.run(scenario())

    assert [length for _, _, length, *_ in applied] == [20_000_000]
    assert threads
    assert threading.get_ident() not in threads


def test_a_record_that_no_reader_could_take_is_refused_and_counted(kafka: Any) -> None:
    topic = new_name()

    async def scenario() -> tuple[bool, int]:
        async with writing(kafka, topic) as writer:
            return writer.send(b"wine", bytes(30_000_000)), writer.failed

    assert asyncio.run(scenario()) == (False, 1)


def test_a_topic_with_two_partitions_is_refused_with_what_to_do(kafka: Any) -> None:
    topic = kafka.create_topic(partitions=2)

    async def scenario() -> BaseException:
        async with reading(kafka, topic) as stage:
            return await asyncio.wait_for(stage.crashed, patient(30))

    error = asyncio.run(scenario())

    assert isinstance(error, ControlTopicError)
    assert f"'{topic}' has 2 partitions" in str(error)


def test_an_error_in_apply_ends_the_worker_and_the_reading(kafka: Any) -> None:
    topic = kafka.create_topic()
    fill(kafka, topic, 3)
    seen: list[int] = []

    def apply(headers: Any, key: Any, value: Any, offset: int, timestamp_ms: int) -> None:
        seen.append(offset)
        if offset == 1:
            raise ArithmeticError("unfit")

    async def scenario() -> BaseException:
        async with reading(kafka, topic, apply=apply) as stage:
            error = await asyncio.wait_for(stage.crashed, patient(30))
            assert not stage.log.ready.is_set()
            return error

    assert isinstance(asyncio.run(scenario()), ArithmeticError)
    assert seen == [0, 1]


def test_an_outage_delays_records_and_neither_loses_nor_repeats_them(kafka_restartable: Any) -> None:
    topic = new_name()

    async def scenario() -> list[Any]:
        loop = asyncio.get_running_loop()
        async with reading(kafka_restartable, topic) as stage, writing(kafka_restartable, topic) as writer:
            await asyncio.wait_for(stage.log.ready.wait(), patient(30))
            assert writer.send(b"k", b"before")
            assert await writer.flush(30)
            await loop.run_in_executor(None, kafka_restartable.kill)
            for number in range(100):
                assert writer.send(b"k", b"%d" % number)
            await loop.run_in_executor(None, kafka_restartable.start)
            assert await writer.flush(60)
            await stage.until(101)
            assert not stage.crashed.done()
            assert (writer.sent, writer.failed) == (101, 0)
            return [value for _, _, value, *_ in stage.applied]

    assert asyncio.run(scenario()) == [b"before", *(b"%d" % number for number in range(100))]


def test_a_full_queue_refuses_at_once_and_the_stop_does_not_wait_for_ever() -> None:
    async def scenario() -> list[bool]:
        nowhere = ControlWriter("control", bootstrap="127.0.0.1:1", worker_id="w", most_queued=2, flush_seconds=0.2,
                                properties={"log_level": 0})  # fmt: skip
        await nowhere.start()
        queued = [nowhere.send(b"k", b"v") for _ in range(3)]
        await asyncio.wait_for(nowhere.stop(), 10)
        return queued

    assert asyncio.run(scenario()) == [True, True, False]
