"""The live results of a chunk of records, found among everything else in a result topic of a real broker."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from modelserving.v1.records_pb2 import ScoreResult

from serving.replay.errors import JobFailedError, JobStopped
from serving.replay.pace import Pace
from serving.replay.ranges import Topic, replay_consumer
from serving.replay.recorded import Outcomes, decode_protobuf_result
from serving.replay.stopping import Stopping

pytestmark = pytest.mark.kafka


def result(partition: int, offset: int, prediction: float, **fields: Any) -> ScoreResult:
    return ScoreResult(topic="source", partition=partition, offset=offset, prediction=prediction, model="m", **fields)


def write(kafka: Any, topic: str, results: list[tuple[int, ScoreResult | bytes]]) -> None:
    """Results, each with the partition it goes to."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 1})
    for place, value in results:
        data = value if isinstance(value, bytes) else value.SerializeToString()
        producer.produce(topic, data, partition=place)
        producer.poll(0)
    assert producer.flush(30) == 0


@contextmanager
def outcomes(kafka: Any, topic: str, stop: Stopping | None = None, **settings: Any) -> Iterator[Outcomes]:
    stopping = stop or Stopping()
    made = Outcomes(
        replay_consumer(kafka.bootstrap, {}),
        Topic(kafka.bootstrap, {}, topic),
        "source",
        decode_protobuf_result,
        Pace(1e9),
        stopping.check,
        **settings,
    )
    try:
        yield made
    finally:
        made.close()


NOW_MS = int(time.time() * 1000)


@pytest.mark.parametrize("seed", range(3))
def test_the_last_live_result_of_each_record_is_found_whatever_the_chunks_are(kafka: Any, seed: int) -> None:
    rnd = random.Random(seed)
    topic = kafka.create_topic(3)
    written: list[tuple[int, ScoreResult | bytes]] = []
    expected: dict[tuple[int, int], float] = {}
    places: dict[tuple[int, int], int] = {}
    for offset in range(0, 900, 3):  # the log has gaps
        for partition in range(2):
            if rnd.random() < 0.05:
                continue  # it became a dead letter
            place = places[partition, offset] = rnd.randrange(3)
            prediction = rnd.random()
            written.append((place, result(partition, offset, prediction)))
            expected[partition, offset] = prediction
            if rnd.random() < 0.1:  # a worker that started again
                back = rnd.randrange(max(0, offset - 60), offset + 1, 1) // 3 * 3
                if (partition, back) in expected:
                    home = next(
                        p
                        for p, r in written
                        if isinstance(r, ScoreResult) and (r.partition, r.offset) == (partition, back)
                    )
                    expected[partition, back] = rnd.random()
                    written.append((home, result(partition, back, expected[partition, back])))
            if rnd.random() < 0.2:
                extra = rnd.choice(
                    [
                        b"\xff garbage",
                        result(partition, offset, 7.0, reason=ScoreResult.REASON_DARK),
                        result(partition, offset, 8.0, supersedes=ScoreResult.Supersedes(correction="c")),
                        ScoreResult(topic="another", partition=partition, offset=offset, prediction=9.0),
                    ]
                )
                written.append((place, extra))
    write(kafka, topic, written)

    found: dict[tuple[int, int], float] = {}
    limits = {"chunk": rnd.choice([40, 100, 1_000]), "chunk_bytes": rnd.choice([15_000, 10**9])}
    with outcomes(kafka, topic, **limits, repeats=120) as recorded:
        recorded.freeze()
        for partition in range(2):
            at = 0
            while at < 900:
                offsets = np.arange(at, min(900, at + rnd.choice([3, 30, 200])), 3)
                known = recorded.cover(partition, offsets, 900, np.full(len(offsets), NOW_MS))
                assert known >= 1
                for offset in offsets[:known].tolist():
                    if (item := recorded.of(offset)) is not None:
                        assert item.prediction is not None
                        found[partition, offset] = item.prediction
                at = int(offsets[known - 1]) + 3

    assert found == expected


def test_results_that_come_after_the_job_began_are_not_seen(kafka: Any) -> None:
    topic = kafka.create_topic(1)
    write(kafka, topic, [(0, result(0, 5, 1.0))])
    with outcomes(kafka, topic) as recorded:
        recorded.freeze()
        write(kafka, topic, [(0, result(0, 5, 2.0))])

        recorded.cover(0, np.array([5]), 10, np.array([NOW_MS]))

        item = recorded.of(5)
    assert item is not None
    assert item.prediction == 1.0


def test_results_of_an_aborted_transaction_are_not_seen_and_its_end_is_no_standstill(kafka: Any) -> None:
    topic = kafka.create_topic(1)
    write(kafka, topic, [(0, result(0, 5, 1.0))])
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{topic}-writer"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, result(0, 5, 2.0).SerializeToString(), partition=0)
    producer.flush(30)
    producer.abort_transaction(30)

    with outcomes(kafka, topic) as recorded:
        recorded.freeze()
        recorded.cover(0, np.array([5]), 10, np.array([NOW_MS]))
        item = recorded.of(5)

    assert item is not None
    assert item.prediction == 1.0


def test_a_result_that_is_too_large_for_the_memory_of_a_job_ends_it(kafka: Any) -> None:
    topic = kafka.create_topic(1)
    write(kafka, topic, [(0, result(0, 5, 1.0, scores=[1.0] * 100)), (0, result(0, 6, 1.0))])

    with outcomes(kafka, topic, chunk_bytes=1_000) as recorded:
        recorded.freeze()
        with pytest.raises(JobFailedError, match="the result of record 5 takes more than 1000 bytes"):
            recorded.cover(0, np.array([5, 6]), 10, np.array([NOW_MS, NOW_MS]))


def test_the_records_of_one_correction_are_found_wherever_they_are(kafka: Any) -> None:
    topic = kafka.create_topic(2)
    corrected = ScoreResult.Supersedes(correction="c-1")
    write(
        kafka,
        topic,
        [
            (0, result(0, 5, 1.0)),
            (0, result(0, 5, 1.5, supersedes=corrected)),
            (1, result(3, 9, 1.5, supersedes=corrected)),
            (1, result(3, 10, 1.5, supersedes=ScoreResult.Supersedes(correction="c-2"))),
        ],
    )
    found: list[tuple[int, int]] = []
    with outcomes(kafka, topic) as recorded:
        recorded.freeze()
        for since in (None, NOW_MS):
            recorded.each_correction("c-1", since, lambda partition, offset: found.append((partition, offset)))

    assert sorted(found) == [(0, 5), (0, 5), (3, 9), (3, 9)]


def test_a_job_that_is_stopped_reads_no_further(kafka: Any) -> None:
    topic = kafka.create_topic(1)
    write(kafka, topic, [(0, result(0, 5, 1.0))])
    stop = Stopping()
    stop.ask()

    with outcomes(kafka, topic, stop) as recorded:
        recorded.freeze()
        with pytest.raises(JobStopped):
            recorded.cover(0, np.array([5]), 10, np.array([NOW_MS]))


def test_kafka_that_does_not_answer_is_a_failure_that_may_pass() -> None:
    topic = Topic("127.0.0.1:1", {}, "anything", answer_seconds=0.5)

    with pytest.raises(JobFailedError, match="Kafka does not answer"):
        topic.partitions()
