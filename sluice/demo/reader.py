"""The reader: a process of its own that reads results and dead letters back and keeps the ledger.

It has no consumer group: it is given the offsets to begin at, reads everything from there, and stops when it is told
where the data topic ends and every record up to there is answered, or when nothing has come for a while.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult

from sluice.demo.cuts import CutOver, Spans
from sluice.demo.ledger import Answers, Balance, Ledger, Seen, Version

_BATCH = 10_000
_POLL_SECONDS = 0.05
_REPORT_SECONDS = 0.2
_REASONS_KEPT = 5


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What to read.

    Attributes:
        bootstrap: Kafka's addresses.
        data_topic: Topic of the records that are answered.
        starts: Its offsets when the run began, by partition.
        result_topic: Topic of the results, in protobuf.
        dead_letter_topic: Topic of the dead letters.
        positions: Where to begin: topic, partition and offset of every partition of both.
        patience_seconds: How long nothing may come, once all is sent, before the rest is given up as lost.
        canary_of: Data type whose entities are followed.
    """

    bootstrap: str
    data_topic: str
    starts: Mapping[int, int]
    result_topic: str
    dead_letter_topic: str
    positions: Sequence[tuple[str, int, int]]
    patience_seconds: float = 30.0
    canary_of: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """Sent to the reader: everything is in the topic.

    Attributes:
        ends: Offset behind the last record, by partition.
        periods: Data type and period (milliseconds since 1970) for which the slowest answer is wanted.
        cut_overs: The cuts that results must respect.
    """

    ends: Mapping[int, int]
    periods: Sequence[tuple[str, int, int]] = ()
    cut_overs: Sequence[CutOver] = ()


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What the ledger says.

    Attributes:
        results: Results so far.
        dead_letters: Dead letters so far.
        versions: What was seen of each version.
        latency_ms: p50 and p99 of the last moments, from sent to read back.
        reasons: Why records became dead letters, the first few.
        balance: The account; only in the last report.
        worst_ms: Slowest answer of each of the periods asked for; only in the last report.
        cut_violations: Results on the wrong side of a cut, with coordinates; only in the last report.
        canary_entities: Entities that a canary scored so far.
        wavering: Keys of entities that went to a version, away and back; only in the last report.
        failure: Why the reader cannot go on; else empty.
    """

    results: int = 0
    dead_letters: int = 0
    versions: Mapping[Version, Seen] = field(default_factory=dict)
    latency_ms: tuple[float, float] = (float("nan"), float("nan"))
    reasons: tuple[str, ...] = ()
    balance: Balance | None = None
    worst_ms: tuple[int, ...] = ()
    cut_violations: tuple[str, ...] = ()
    canary_entities: int = 0
    wavering: tuple[str, ...] = ()
    failure: str = ""


def read(plan: ReadPlan, pipe: Connection, answered: Any) -> None:
    """Read until told to finish, reporting through `pipe`; returns when that is closed or after the last report.

    Args:
        plan: What to read.
        pipe: To the process that watches; it sends one `Finish`, and gets a `ReadReport` several times a second.
        answered: Shared `ctypes` integer: answers so far, written here.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reader = _Reader(plan, pipe, answered)
    try:
        reader.run()
    except KafkaException as error:
        pipe.send(ReadReport(failure=f"the results cannot be read: {error}"))
    except (EOFError, OSError):
        return  # nobody is left to report to
    finally:
        reader.close()


class _Reader:
    def __init__(self, plan: ReadPlan, pipe: Connection, answered: Any) -> None:
        self._plan = plan
        self._pipe = pipe
        self._answered = answered
        self._ledger = Ledger(plan.starts, plan.canary_of, Spans(plan.data_topic))
        self._reasons: list[str] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": plan.bootstrap,
                "group.id": "sluice-demo",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 5,
                "queued.min.messages": 5 * _BATCH,
            }
        )
        self._consumer.assign([TopicPartition(*position) for position in plan.positions])

    def close(self) -> None:
        self._consumer.close()

    def run(self) -> None:
        finish: Finish | None = None
        reported = moved = time.monotonic()
        while True:
            messages = self._consumer.consume(_BATCH, _POLL_SECONDS)
            now = time.monotonic()
            if messages:
                self._count(messages)
                self._answered.value = self._ledger.answers
                moved = now
            if self._pipe.poll():
                finish, moved = self._pipe.recv(), now
            if now - reported >= _REPORT_SECONDS:
                self._pipe.send(self._report())
                self._ledger.forget_latencies()
                reported = now
            if finish is not None and not messages and self._is_over(finish, now - moved):
                self._pipe.send(self._last_report(finish))
                return

    def _is_over(self, finish: Finish, quiet_seconds: float) -> bool:
        """All answered and a moment of silence, in which a second answer would have come; or patience has run out."""
        if quiet_seconds >= self._plan.patience_seconds:
            return True
        return quiet_seconds >= 1.0 and self._ledger.balance(finish.ends).lost == 0

    def _report(self) -> ReadReport:
        ledger = self._ledger
        p50, p99 = ledger.latency_ms(0.5, 0.99)
        return ReadReport(
            results=ledger.results,
            dead_letters=ledger.dead_letters,
            versions=ledger.versions,
            latency_ms=(p50, p99),
            reasons=tuple(self._reasons),
            canary_entities=ledger.entities.on_canary,
        )

    def _last_report(self, finish: Finish) -> ReadReport:
        ledger = self._ledger
        return replace(
            self._report(),
            balance=ledger.balance(finish.ends),
            worst_ms=tuple(ledger.worst_ms(*period) for period in finish.periods),
            cut_violations=tuple(ledger.spans.violations(finish.cut_overs)),
            wavering=tuple(ledger.entities.wavering()),
        )

    def _count(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
        results = [message for message in messages if message.topic() == self._plan.result_topic]
        if results:
            self._count_results(results)
        if len(results) < len(messages):
            self._count_dead_letters([m for m in messages if m.topic() == self._plan.dead_letter_topic])

    def _count_results(self, messages: Sequence[Message]) -> None:
        decode, topic = ScoreResult.FromString, self._plan.data_topic
        read = [(decode(message.value() or b""), message) for message in messages]
        mine = [(result, message) for result, message in read if result.topic == topic]
        self._ledger.count_results(
            Answers(_column([r.partition for r, _ in mine]), _column([r.offset for r, _ in mine])),
            [(r.data_type, r.model, r.model_version, r.control_offset, r.arm) for r, _ in mine],
            [message.key() for _, message in mine],
            _column([r.record_timestamp_ms for r, _ in mine]),
            _column([message.timestamp()[1] for _, message in mine]),
            time.time_ns() // 1_000_000,
        )

    def _count_dead_letters(self, messages: Sequence[Message]) -> None:
        letters = [DeadLetter.FromString(message.value() or b"") for message in messages]
        mine = [letter for letter in letters if letter.topic == self._plan.data_topic]
        self._ledger.count_dead_letters(
            Answers(_column([d.partition for d in mine]), _column([d.offset for d in mine]))
        )
        for letter in mine:
            if letter.reason not in self._reasons and len(self._reasons) < _REASONS_KEPT:
                self._reasons.append(letter.reason)


def _column(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)
