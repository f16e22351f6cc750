"""Results as they are on Kafka, read into columns that can be accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition
from modelserving.v1.records_pb2 import ScoreResult

from benchmarks.accounting import Results
from benchmarks.models import DATA_TYPE
from benchmarks.peer import ModelKind
from benchmarks.records import PARTITIONS, data_type_of, parse_key, wine_values

WIDTH = 6
"""Columns of `Results.answers`: the widest model has six scores."""
_CHUNK = 5_000


@contextmanager
def reading(
    bootstrap: str, topic: str, starts: Sequence[int] | None = None, **properties: object
) -> Iterator[Consumer]:
    """A reader of committed results from `starts` (at first: the beginning) of every partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "benchmarks-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "queued.min.messages": 50_000,
            **properties,
        }
    )
    starts = starts or [0] * PARTITIONS
    consumer.assign([TopicPartition(topic, partition, start) for partition, start in enumerate(starts)])
    try:
        yield consumer
    finally:
        consumer.close()


def next_chunk(consumer: Consumer, timeout_seconds: float = 0.2) -> list[Message]:
    """Up to 5,000 results; what is there at once after the first, none when the time is up."""
    first = consumer.poll(timeout_seconds)
    if first is None or first.error() is not None:
        return []
    return [first, *(each for each in consumer.consume(_CHUNK, 0) if each.error() is None)]


class Decoder:
    """Turns messages of one system into columns, and finds what its provenance says that is not so.

    Results name the record by key and by source coordinates; where a system writes both they must agree. A relay is judged
    by its bytes: the answer of a record is 1.0 where they are the record's own.
    """

    def __init__(self, model: ModelKind, wire: str, source: str, types: Sequence[str] = (DATA_TYPE,)) -> None:
        self._source = source
        self._types = types
        self._values = wine_values()
        self._decode = self._relayed if not model else self._inferred if wire == "v2-json" else self._scored

    def decode(self, messages: Sequence[Message]) -> Results:
        """One row a message."""
        rows = [self._decode(message) for message in messages]
        answers = np.full((len(rows), WIDTH), np.nan)
        for at, row in enumerate(rows):
            answers[at, : len(row[2])] = row[2][:WIDTH]
        columns = list(zip(*rows, strict=True)) or [()] * 5
        return Results(
            np.array(columns[0], np.int64),
            np.array(columns[1], np.int64),
            answers,
            np.array(columns[3], np.uint64),
            np.array(columns[4], bool),
            np.array([len(message.value() or b"") for message in messages], np.int64),
        )

    def _scored(self, message: Message) -> tuple[int, int, Sequence[float], int, bool]:
        index, sent = _number(message)
        try:
            result = ScoreResult.FromString(message.value() or b"")
        except Exception:  # the protobuf runtime's own error type depends on its back end
            return index, sent, (), 0, True
        traced = result.offset * PARTITIONS + result.partition
        is_true = (
            traced == index
            and result.topic == self._source
            and result.data_type == data_type_of(index, self._types)
            and result.model == result.data_type  # the model of a data type has its name
            and bool(result.worker)
            and len(result.sha256) == 32
            and result.record_timestamp_ms > 0
        )
        answers = [result.prediction] if result.HasField("prediction") else list(result.scores)
        return index, sent, answers, int.from_bytes(result.sha256[:8], "big"), not is_true

    def _inferred(self, message: Message) -> tuple[int, int, Sequence[float], int, bool]:
        index, sent = _number(message)
        try:
            answers = [float(x) for x in json.loads(message.value())["outputs"][0]["data"]]
        except (ValueError, LookupError, TypeError):
            return index, sent, (), 0, True
        return index, sent, answers, 0, False

    def _relayed(self, message: Message) -> tuple[int, int, Sequence[float], int, bool]:
        index, sent = _number(message)
        same = index >= 0 and message.value() == self._values[index % len(self._values)]
        return index, sent, [1.0 if same else 0.0], 0, False


def _number(message: Message) -> tuple[int, int]:
    try:
        return parse_key(message.key() or b"")
    except ValueError:
        return -1, 0
