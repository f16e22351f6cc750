"""The feed in this process against a real broker: what is handed out, what is written, what is committed."""

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from patience import patient

from serving.feed import ColumnBatch, Feed, Output, StartAt
from serving.feed.errors import BatchNotReturnedError, OutputRefusedError

pytestmark = pytest.mark.kafka

DELIVERIES = ["at_least_once", "exactly_once"]

Handle = Callable[[ColumnBatch], Awaitable[None]]


class App:
    """As much of a Faust app as the feed sees."""

    def __init__(self) -> None:
        self.agents = self
        self.crashed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def wait_until_agents_started(self) -> None:
        pass

    async def crash(self, reason: BaseException) -> None:
        self.crashed.set_result(reason)


class Running:
    """A feed, and an agent that gives every batch to `handle`."""

    def __init__(self, kafka: Any, topics: dict[str, StartAt], handle: Handle, **settings: Any) -> None:
        self.app = App()
        self.batches: asyncio.Queue[ColumnBatch] = asyncio.Queue()
        self.group = settings.pop("group", f"group-{uuid.uuid4().hex[:8]}")
        self.feed = Feed(
            self.app,
            self.batches,  # type: ignore[arg-type]  # all the feed does to a channel is put
            bootstrap=kafka.bootstrap,
            group=self.group,
            topics=topics,
            worker_id="worker",
            exit_seconds=None,
            **settings,
        )
        self._handle = handle

    async def agent(self) -> None:
        tasks = set()
        while True:
            tasks.add(asyncio.create_task(self._handle(await self.batches.get())))

    async def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(patient(seconds)):
            while not condition():
                if self.app.crashed.done():
                    raise self.app.crashed.result()
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(kafka: Any, topics: dict[str, StartAt], handle: Handle, **settings: Any) -> AsyncIterator[Running]:
    stage = Running(kafka, topics, handle, **settings)
    agent = asyncio.create_task(stage.agent())
    await stage.feed.start()
    try:
        yield stage
    finally:
        await stage.feed.stop()
        agent.cancel()


def fill(kafka: Any, topic: str, count: int, *, partition: int = 0, first: int = 0, **record: Any) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(first, first + count):
        producer.produce(topic, b"%d" % number, b"key-%d" % number, partition=partition, **record)
    assert producer.flush(30) == 0


def read_all(kafka: Any, topic: str, count: int) -> list[Any]:
    """The first `count` committed records of partition 0, and what else comes at once."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    ends = 0
    while len(found) < count or not ends:
        for record in consumer.consume(1_000, 0.2):
            if record.error() is None:
                found.append(record)
            else:
                ends += len(found) >= count
    consumer.close()
    return found


def committed(kafka: Any, group: str, topic: str, partition: int = 0) -> int:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    offset = consumer.committed([TopicPartition(topic, partition)], 10)[0].offset
    consumer.close()
    return int(offset)


@pytest.fixture
def source(kafka: Any) -> str:
    return str(kafka.create_topic())


@pytest.fixture
def results(kafka: Any) -> str:
    return str(kafka.create_topic())


def relay_to(topic: str) -> Handle:
    async def handle(batch: ColumnBatch) -> None:
        with batch:
            batch.done(Output(topic, batch.keys, batch.values))

    return handle


def relay_or_hold(topic: str, held: list[ColumnBatch]) -> Handle:
    """Batches of partition 1 are held, as those of a heavy model; all others are relayed."""
    relay = relay_to(topic)

    async def handle(batch: ColumnBatch) -> None:
        if batch.partition == 1:
            held.append(batch)
        else:
            await relay(batch)

    return handle


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_every_record_is_relayed_and_committed(kafka: Any, source: str, results: str, delivery: str) -> None:
    fill(kafka, source, 3_000)

    async def scenario() -> str:
        async with running(kafka, {source: StartAt.EARLIEST}, relay_to(results), delivery=delivery) as stage:
            await stage.until(lambda: stage.feed.statistics().outputs == 3_000)
        return stage.group

    group = asyncio.run(scenario())

    assert [record.value() for record in read_all(kafka, results, 3_000)] == [b"%d" % n for n in range(3_000)]
    assert committed(kafka, group, source) == 3_000


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_an_exception_in_an_agent_ends_the_worker_and_commits_nothing_of_the_batch(
    kafka: Any, source: str, results: str, delivery: str
) -> None:
    fill(kafka, source, 100)

    async def fail(batch: ColumnBatch) -> None:
        with batch:
            raise ArithmeticError("poison")

    async def scenario() -> tuple[BaseException, str]:
        async with running(kafka, {source: StartAt.EARLIEST}, fail, delivery=delivery) as stage:
            return await asyncio.wait_for(stage.app.crashed, patient(30)), stage.group

    error, group = asyncio.run(scenario())

    assert isinstance(error, ArithmeticError)
    assert committed(kafka, group, source) == 0


def test_a_forgotten_batch_ends_the_worker(kafka: Any, source: str) -> None:
    fill(kafka, source, 10)

    async def forget(batch: ColumnBatch) -> None:
        with batch:
            pass

    async def scenario() -> BaseException:
        async with running(kafka, {source: StartAt.EARLIEST}, forget) as stage:
            return await asyncio.wait_for(stage.app.crashed, patient(30))

    assert isinstance(asyncio.run(scenario()), BatchNotReturnedError)


def test_a_batch_that_is_held_too_long_ends_the_worker(kafka: Any, source: str) -> None:
    fill(kafka, source, 10)

    async def sleep(batch: ColumnBatch) -> None:
        await asyncio.sleep(3_600)

    async def scenario() -> BaseException:
        async with running(kafka, {source: StartAt.EARLIEST}, sleep, stall_seconds=0.3) as stage:
            return await asyncio.wait_for(stage.app.crashed, patient(30))

    assert "held a batch for more than 0.3 s" in str(asyncio.run(scenario()))


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_delivery_that_the_broker_refuses_ends_the_worker_before_the_commit(
    kafka: Any, source: str, delivery: str
) -> None:
    small = kafka.create_topic(config={"max.message.bytes": "2000"})
    fill(kafka, source, 10)

    async def too_large(batch: ColumnBatch) -> None:
        with batch:
            batch.done(Output(small, None, [bytes(100_000)] * len(batch)))

    async def scenario() -> tuple[BaseException, str]:
        async with running(kafka, {source: StartAt.EARLIEST}, too_large, delivery=delivery) as stage:
            return await asyncio.wait_for(stage.app.crashed, patient(30)), stage.group

    error, group = asyncio.run(scenario())

    assert isinstance(error, OutputRefusedError)
    assert small in str(error)
    assert committed(kafka, group, source) == 0


@pytest.mark.parametrize("headers", [None, [[("a", b"1")]] * 10])
def test_a_record_that_the_client_refuses_at_once_ends_the_worker(
    kafka: Any, source: str, results: str, headers: Any
) -> None:
    fill(kafka, source, 10)

    async def too_large(batch: ColumnBatch) -> None:
        with batch:
            batch.done(Output(results, None, [b"fits"] * 9 + [bytes(2_000_000)], headers))

    async def scenario() -> tuple[BaseException, str]:
        async with running(kafka, {source: StartAt.EARLIEST}, too_large) as stage:
            return await asyncio.wait_for(stage.app.crashed, patient(30)), stage.group

    error, group = asyncio.run(scenario())

    assert isinstance(error, OutputRefusedError)
    assert committed(kafka, group, source) == 0


def test_records_over_the_topics_limit_are_found_before_they_are_written(kafka: Any, source: str) -> None:
    small = kafka.create_topic(config={"max.message.bytes": "2000"})
    fill(kafka, source, 300)
    seen: list[list[int]] = []

    async def only_what_fits(batch: ColumnBatch) -> None:
        with batch:
            values = [bytes(1_900 if offset == 7 else 1_000) for offset in batch.offsets]
            large = feeds[0].oversized(small, batch.keys, values)
            seen.append([batch.offsets[row] for row in large])
            rows = [row for row in range(len(batch)) if row not in large]
            batch.done(Output(small, [batch.keys[row] for row in rows], [values[row] for row in rows]))

    feeds: list[Feed] = []

    async def scenario() -> None:
        async with running(kafka, {source: StartAt.EARLIEST}, only_what_fits, outputs=[small]) as stage:
            feeds.append(stage.feed)
            await stage.until(lambda: stage.feed.statistics().outputs == 299)

    asyncio.run(scenario())

    assert [offset for offsets in seen for offset in offsets] == [7]
    assert len(read_all(kafka, small, 299)) == 299


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_headers_come_in_and_go_out(kafka: Any, source: str, results: str, delivery: str) -> None:
    fill(kafka, source, 5, headers=[("traceparent", b"00-1")])

    async def pass_headers(batch: ColumnBatch) -> None:
        with batch:
            assert batch.headers is not None
            assert batch.headers_of(0) == batch.headers[0]
            batch.done(Output(results, batch.keys, batch.values, batch.headers))

    async def scenario() -> None:
        async with running(
            kafka, {source: StartAt.EARLIEST}, pass_headers, headers=[source], delivery=delivery
        ) as stage:
            await stage.until(lambda: stage.feed.statistics().outputs == 5)

    asyncio.run(scenario())

    assert [record.headers() for record in read_all(kafka, results, 5)] == [[("traceparent", b"00-1")]] * 5


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_batches_that_come_back_out_of_order_are_committed_in_order(
    kafka: Any, source: str, results: str, delivery: str
) -> None:
    fill(kafka, source, 40)
    held: list[ColumnBatch] = []

    async def hold_first(batch: ColumnBatch) -> None:
        if batch.offsets[0] == 0:
            held.append(batch)
        else:
            with batch:
                batch.done(Output(results, batch.keys, batch.values))

    async def scenario() -> tuple[int, str]:
        # The interval has to be longer than reading the second batch takes, on any machine: then nothing more is read.
        settings = {"overlap": 3, "batch_records": 10, "commit_seconds": 2.0, "delivery": delivery}
        async with running(kafka, {source: StartAt.EARLIEST}, hold_first, **settings) as stage:
            # At least once, the rest is written and waits for the first; exactly once, the transaction cannot end.
            await stage.until(
                lambda: stage.feed.statistics().outputs >= 10 and stage.feed.statistics().unacknowledged == 0
            )
            before = committed(kafka, stage.group, source)
            with held[0]:
                held[0].done(Output(results, held[0].keys, held[0].values))
            await stage.until(lambda: stage.feed.statistics().outputs == 40)
        return before, stage.group

    before, group = asyncio.run(scenario())

    assert before == 0
    assert committed(kafka, group, source) == 40
    assert sorted(int(record.value()) for record in read_all(kafka, results, 40)) == list(range(40))


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_partition_whose_batches_are_held_holds_up_no_other(kafka: Any, results: str, delivery: str) -> None:
    source = str(kafka.create_topic(partitions=2))
    held: list[ColumnBatch] = []

    async def scenario() -> str:
        settings = {"overlap": 2, "batch_records": 10, "delivery": delivery}
        async with running(kafka, {source: StartAt.EARLIEST}, relay_or_hold(results, held), **settings) as stage:
            await asyncio.to_thread(fill, kafka, source, 100, partition=1)
            await stage.until(lambda: len(held) == 2)
            # More than once, so that records come and commits are made while the others are held.
            for first in range(0, 60, 20):
                await asyncio.to_thread(fill, kafka, source, 20, partition=0, first=first)
                await stage.until(lambda first=first: stage.feed.position(source, 0) == (first + 20,) * 2)  # type: ignore[misc]
            assert len(held) == 2
            assert stage.feed.position(source, 1)[1] == 0
            while held:
                batch = held.pop(0)
                with batch:
                    batch.done(Output(results, batch.keys, batch.values))
                await stage.until(lambda: held or stage.feed.position(source, 1)[1] == 100)
        return stage.group

    group = asyncio.run(scenario())

    assert [committed(kafka, group, source, partition) for partition in (0, 1)] == [60, 100]
    found = [int(record.value()) for record in read_all(kafka, results, 160)]
    assert sorted(found) == sorted([*range(60), *range(100)])


def test_what_is_handed_back_during_a_commit_is_of_the_next_transaction(kafka: Any, results: str) -> None:
    source = str(kafka.create_topic(partitions=2))
    held: list[ColumnBatch] = []
    is_committing, may_end = asyncio.Event(), threading.Event()
    after_first: list[int] = []

    async def scenario() -> str:
        settings = {"overlap": 2, "delivery": "exactly_once"}
        async with running(kafka, {source: StartAt.EARLIEST}, relay_or_hold(results, held), **settings) as stage:
            await asyncio.to_thread(fill, kafka, source, 10, partition=1)
            await stage.until(lambda: bool(held))
            loop, commit = asyncio.get_running_loop(), stage.feed._commitment.commit

            def slow_commit() -> None:
                is_first = stage.feed._commitment.is_dirty and not after_first
                if is_first:
                    loop.call_soon_threadsafe(is_committing.set)
                    assert may_end.wait(patient(30))
                commit()
                if is_first:
                    after_first.extend(committed(kafka, stage.group, source, partition) for partition in (0, 1))

            stage.feed._commitment.commit = slow_commit  # type: ignore[method-assign]
            await asyncio.to_thread(fill, kafka, source, 10, partition=0)
            await is_committing.wait()
            with held[0] as batch:
                batch.done(Output(results, batch.keys, batch.values))
            may_end.set()
            await stage.until(lambda: stage.feed.position(source, 1)[1] == 10)
        return stage.group

    group = asyncio.run(scenario())

    assert after_first == [10, 0]
    assert [committed(kafka, group, source, partition) for partition in (0, 1)] == [10, 10]
    assert sorted(int(record.value()) for record in read_all(kafka, results, 20)) == sorted([*range(10), *range(10)])


@pytest.mark.parametrize("is_held", [False, True])
def test_a_transactions_interval_begins_with_its_first_batch(
    kafka: Any, source: str, results: str, is_held: bool
) -> None:
    async def scenario() -> tuple[float, float]:
        # So long that no commit without records begins it anew.
        settings = {"delivery": "exactly_once", "commit_seconds": 3_600.0}
        async with running(kafka, {source: StartAt.EARLIEST}, relay_to(results), **settings) as stage:
            await stage.until(lambda: stage.feed.assignment(source, 0) is not None)
            if is_held:
                stage.feed.hold(source, 0, 0)
            before = time.monotonic()
            await asyncio.to_thread(fill, kafka, source, 10)
            if is_held:
                await stage.until(lambda: stage.feed.end(source, 0) == 10)
                before = time.monotonic()
                stage.feed.release(source, 0)
            await stage.until(lambda: stage.feed.statistics().outputs == 10)
            return before, stage.feed._committed_at

    before, began = asyncio.run(scenario())

    assert began >= before


def test_nothing_at_or_above_a_hold_is_handed_out_until_its_release(kafka: Any, source: str, results: str) -> None:
    fill(kafka, source, 100)
    seen: list[int] = []

    async def note(batch: ColumnBatch) -> None:
        with batch:
            seen.extend(batch.offsets)
            batch.done(Output(results, batch.keys, batch.values))

    async def scenario() -> list[int]:
        async def hold(keys: list[tuple[str, int]]) -> None:
            assert stage.feed.hold(source, 0, 60) == 0

        stage = Running(kafka, {source: StartAt.EARLIEST}, note, on_assigned=hold)
        agent = asyncio.create_task(stage.agent())
        await stage.feed.start()
        await stage.until(lambda: stage.feed.position(source, 0) == (60, 60) if stage.feed.partitions() else False)
        fill(kafka, source, 20, first=100)
        held = list(seen)
        stage.feed.release(source, 0)
        await stage.until(lambda: len(seen) == 120)
        await stage.feed.stop()
        agent.cancel()
        return held

    assert asyncio.run(scenario()) == list(range(60))
    assert seen == list(range(120))


def test_nothing_is_handed_out_before_the_hook_returns(kafka: Any, source: str, results: str) -> None:
    fill(kafka, source, 10)
    order: list[str] = []

    async def hook(keys: list[tuple[str, int]]) -> None:
        await asyncio.sleep(0.3)
        order.append(f"assigned {keys}")

    async def note(batch: ColumnBatch) -> None:
        order.append("batch")
        await relay_to(results)(batch)

    async def scenario() -> None:
        async with running(
            kafka,
            {source: StartAt.EARLIEST},
            note,
            on_assigned=hook,
            on_revoked=lambda keys: order.append(f"revoked {keys}"),
        ) as stage:
            await stage.until(lambda: "batch" in order)
        await asyncio.sleep(0)

    asyncio.run(scenario())

    assert order == [f"assigned {[(source, 0)]}", "batch", f"revoked {[(source, 0)]}"]


def test_each_topic_starts_where_its_own_setting_says(kafka: Any, results: str) -> None:
    old, new = kafka.create_topic(), kafka.create_topic()
    fill(kafka, old, 10)
    fill(kafka, new, 10)
    seen: set[tuple[str, int]] = set()

    async def note(batch: ColumnBatch) -> None:
        with batch:
            seen.update((batch.topic, offset) for offset in batch.offsets)
            batch.done()

    async def scenario() -> None:
        async with running(kafka, {old: StartAt.EARLIEST, new: StartAt.LATEST}, note) as stage:
            await stage.until(lambda: len(seen) == 10)
            fill(kafka, new, 1, first=10)
            await stage.until(lambda: len(seen) == 11)

    asyncio.run(scenario())

    assert seen == {(old, offset) for offset in range(10)} | {(new, 10)}


def test_a_start_at_the_end_is_remembered_before_the_first_record(kafka: Any, source: str, results: str) -> None:
    fill(kafka, source, 10)
    seen: list[int] = []

    async def note(batch: ColumnBatch) -> None:
        with batch:
            seen.extend(batch.offsets)
            batch.done()

    async def first_life() -> str:
        async with running(kafka, {source: StartAt.LATEST}, note) as stage:
            await stage.until(lambda: stage.feed.position(source, 0) == (10, 10) if stage.feed.partitions() else False)
        return stage.group

    async def second_life(group: str) -> None:
        async with running(kafka, {source: StartAt.LATEST}, note, group=group) as stage:
            await stage.until(lambda: len(seen) == 5)

    group = asyncio.run(first_life())
    fill(kafka, source, 5, first=10)
    asyncio.run(second_life(group))

    assert seen == [10, 11, 12, 13, 14]


def test_a_partition_that_is_added_later_is_read_from_its_beginning(kafka: Any, source: str) -> None:
    fill(kafka, source, 10)
    seen: set[tuple[int, int]] = set()

    async def note(batch: ColumnBatch) -> None:
        with batch:
            seen.update((batch.partition, offset) for offset in batch.offsets)
            batch.done()

    async def scenario() -> None:
        async with running(
            kafka, {source: StartAt.LATEST}, note, consumer={"topic.metadata.refresh.interval.ms": 1_000}
        ) as stage:
            await stage.until(lambda: bool(stage.feed.partitions()) and stage.feed.position(source, 0)[0] == 10)
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
            admin.create_partitions([NewPartitions(source, 2)])[source].result(30)
            fill(kafka, source, 3, partition=1)
            await stage.until(lambda: len(seen) == 3)

    asyncio.run(scenario())

    assert seen == {(1, 0), (1, 1), (1, 2)}


def test_deleted_records_are_skipped_by_the_next_worker(kafka: Any, source: str) -> None:
    fill(kafka, source, 10)
    seen: list[int] = []

    async def note(batch: ColumnBatch) -> None:
        with batch:
            seen.extend(batch.offsets)
            batch.done()

    async def life(group: str, count: int) -> None:
        async with running(kafka, {source: StartAt.EARLIEST}, note, group=group) as stage:
            await stage.until(lambda: len(seen) >= count)

    group = f"group-{uuid.uuid4().hex[:8]}"
    asyncio.run(life(group, 10))
    fill(kafka, source, 10, first=10)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_records([TopicPartition(source, 0, 15)])[TopicPartition(source, 0)].result(30)
    asyncio.run(life(group, 15))

    assert seen == [*range(10), *range(15, 20)]


def test_lag_counts_what_was_not_handed_out(kafka: Any, source: str) -> None:
    fill(kafka, source, 100)

    async def note(batch: ColumnBatch) -> None:
        with batch:
            batch.done()

    async def scenario() -> dict[tuple[str, int], int]:
        async def hold(keys: list[tuple[str, int]]) -> None:
            stage.feed.hold(source, 0, 60)

        stage = Running(kafka, {source: StartAt.EARLIEST}, note, on_assigned=hold)
        agent = asyncio.create_task(stage.agent())
        await stage.feed.start()
        await stage.until(lambda: stage.feed.statistics().records == 60)
        lag = dict(stage.feed.statistics().lag or {})
        await stage.feed.stop()
        agent.cancel()
        return lag

    assert asyncio.run(scenario()) == {(source, 0): 40}


@pytest.mark.parametrize(("ending", "start"), [("abort_transaction", 5), ("commit_transaction", 8)])
def test_a_partition_waits_for_the_end_of_its_last_owners_transaction(
    kafka: Any, source: str, ending: str, start: int
) -> None:
    fill(kafka, source, 10)
    group = f"group-{uuid.uuid4().hex[:8]}"
    predecessor = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    predecessor.commit(offsets=[TopicPartition(source, 0, 5)], asynchronous=False)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": group})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(source, 0, 8)], predecessor.consumer_group_metadata(), 30)
    predecessor.close()
    seen: list[int] = []

    async def note(batch: ColumnBatch) -> None:
        with batch:
            seen.extend(batch.offsets)
            batch.done()

    async def scenario() -> None:
        async with running(kafka, {source: StartAt.EARLIEST}, note, group=group) as stage:
            await stage.until(lambda: stage.feed.partitions() == [(source, 0)])
            assert stage.feed.position(source, 0) == (-1, -1)
            await asyncio.get_running_loop().run_in_executor(None, getattr(producer, ending), 30)
            await stage.until(lambda: len(seen) >= 10 - start)

    asyncio.run(scenario())

    assert seen == list(range(start, 10))
