"""The demo's sender and reader, as the processes they are, on a real Kafka: what a bad worker does shows in the account."""

from __future__ import annotations

import ctypes
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from patience import patient

from sluice.demo.reader import Finish, ReadPlan, ReadReport, read
from sluice.demo.sender import SendPlan, SendReport, send

PARTITIONS = 3
GOOD, BAD, KEY = b"a bottle", b"a broken bottle", b"bottle-1"


@contextmanager
def child(target: Any, plan: Any, *shared: Any) -> Iterator[Any]:
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=target, args=(plan, its, *shared), daemon=True)
    process.start()
    its.close()
    yield mine
    mine.close()
    process.join(20)
    assert process.exitcode == 0


def counter() -> Any:
    return multiprocessing.get_context("spawn").Value(ctypes.c_int64, 0, lock=False)


def receive(pipe: Any, kind: type[Any]) -> Any:
    assert pipe.poll(60)
    found = pipe.recv()
    assert isinstance(found, kind)
    return found


def records(bootstrap: str, topic: str, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[Any] = []
    deadline = time.monotonic() + patient(30)
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.consume(1000, 0.2)
    consumer.close()
    return found


def write(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def result(record: Any) -> bytes:
    at = {"topic": record.topic(), "partition": record.partition(), "offset": record.offset()}
    now = record.timestamp()[1]
    return ScoreResult(model="m", model_version=1, data_type="wine", record_timestamp_ms=now, **at).SerializeToString()


def sent_records(kafka: Any, topic: str, rate: float | None) -> SendReport:
    sent, answered = counter(), counter()
    plan = SendPlan(kafka.bootstrap, topic, [(KEY, GOOD)], rate, [(0.0, BAD)])
    with child(send, plan, sent, answered) as pipe:
        deadline = time.monotonic() + patient(30)
        while sent.value < 200 and time.monotonic() < deadline:
            answered.value = sent.value
            time.sleep(0.01)
        pipe.send("stop")
        report: SendReport = receive(pipe, SendReport)
    return report


@pytest.mark.parametrize("rate", [500.0, None])
def test_the_sender_counts_exactly_what_is_in_the_topic(kafka: Any, rate: float | None) -> None:
    topic = kafka.create_topic(PARTITIONS)

    report = sent_records(kafka, topic, rate)

    found = records(kafka.bootstrap, topic, report.sent)
    assert report.failure == ""
    assert len(found) == report.sent >= 200
    assert [(record.key(), record.value()) for record in found].count((None, BAD)) == 1
    assert {record.key() for record in found if record.value() == GOOD} == {KEY}


def test_a_lost_and_a_duplicated_record_show_in_the_account(kafka: Any) -> None:
    data, results, letters = kafka.create_topic(PARTITIONS), kafka.create_topic(1), kafka.create_topic(1)
    report = sent_records(kafka, data, 500.0)
    found = records(kafka.bootstrap, data, report.sent)
    good = [record for record in found if record.value() == GOOD]
    (bad,) = [record for record in found if record.value() == BAD]
    letter = DeadLetter(topic=data, partition=bad.partition(), offset=bad.offset(), reason="broken").SerializeToString()
    write(kafka.bootstrap, results, [result(record) for record in (*good[1:], good[5])])
    write(kafka.bootstrap, letters, [letter])
    answered = counter()
    plan = ReadPlan(
        kafka.bootstrap,
        data,
        dict.fromkeys(range(PARTITIONS), 0),
        results,
        letters,
        [(results, 0, 0), (letters, 0, 0)],
        3.0,
    )

    with child(read, plan, answered) as pipe:
        ends = {
            number: 1 + max((r.offset() for r in found if r.partition() == number), default=-1)
            for number in range(PARTITIONS)
        }
        pipe.send(Finish(ends))
        last = receive(pipe, ReadReport)
        while last.balance is None:
            last = receive(pipe, ReadReport)

    assert (last.balance.records, last.balance.lost, last.balance.duplicated) == (report.sent, 1, 1)
    assert (last.results, last.dead_letters, last.reasons) == (len(good), 1, ("broken",))
    assert last.versions[("wine", "m", 1)].results == len(good)
    assert answered.value == report.sent
