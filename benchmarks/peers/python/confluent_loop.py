"""The loop of the two bare programs around confluent-kafka: read many, answer, write, commit once a second.

What makes it quick is in `TUNING.md` of the bare relay: one blocking call for the first record and one that does not
block for the rest, methods mapped over the batch in C, and librdkafka told not to rest between fetches.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer

from benchmarks.peers.python.run import Run, say_ready

_BATCH = 1_000
_IDLE_SECONDS = 0.05
_COMMIT_SECONDS = 1.0
_TRANSACTION_SECONDS = 0.1

Answer = Callable[[list[Message]], Sequence[bytes]]


class ConfluentLoop:
    """One consumer, one producer, one thread."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._consumer = Consumer(
            {
                "bootstrap.servers": run.bootstrap,
                "group.id": run.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 5,
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 1_000,
            }
        )
        settings: dict[str, Any] = {
            "bootstrap.servers": run.bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
            "delivery.report.only.error": True,
            "on_delivery": self._refused,
        }
        if run.is_exactly_once:
            settings["transactional.id"] = run.group
        self._producer = Producer(settings)
        self._error: str | None = None
        self._is_stopping = False

    def work(self, answer: Answer) -> None:
        """Until SIGTERM. `answer` gives one value for each record, in order; keys stay as they are.

        Raises:
            KafkaException: Kafka refused something for good. Nothing that was not acknowledged is committed.
        """
        signal.signal(signal.SIGTERM, self._stop)
        if self._run.is_exactly_once:
            self._producer.init_transactions(60)
            self._producer.begin_transaction()
        self._consumer.subscribe([self._run.input], on_assign=_say_ready, on_revoke=self._hand_over)
        interval = _TRANSACTION_SECONDS if self._run.is_exactly_once else _COMMIT_SECONDS
        committed, is_dirty = time.monotonic(), False
        while not self._is_stopping:
            records = self._consumer.consume(1, _IDLE_SECONDS)
            if records:
                records += self._consumer.consume(_BATCH - 1, 0)
                if any(map(Message.error, records)):
                    raise KafkaException(next(filter(None, map(Message.error, records))))
                self._send(records, answer(records))
                is_dirty = True
            self._producer.poll(0)
            if is_dirty and time.monotonic() - committed > interval:
                self._commit()
                committed, is_dirty = time.monotonic(), False
        self._commit()
        self._consumer.close()

    def _send(self, records: list[Message], values: Sequence[bytes]) -> None:
        produce, topic = self._producer.produce, self._run.output
        for key, value in zip(map(Message.key, records), values, strict=True):
            try:
                produce(topic, value, key)
            except BufferError:
                self._wait_for_room(key, value)

    def _wait_for_room(self, key: bytes | None, value: bytes) -> None:
        while True:
            self._producer.poll(0.05)
            try:
                return self._producer.produce(self._run.output, value, key)
            except BufferError:
                continue

    def _commit(self) -> None:
        """Positions are committed after the broker has all that came of the records before them."""
        positions = [at for at in self._consumer.position(self._consumer.assignment()) if at.offset >= 0]
        if self._run.is_exactly_once:
            if positions:
                self._producer.send_offsets_to_transaction(positions, self._consumer.consumer_group_metadata(), 30)
            self._producer.commit_transaction(60)
            self._producer.begin_transaction()
            return
        left = self._producer.flush(60)
        if left or self._error:
            raise KafkaException(self._error or f"{left} results were not acknowledged within 60 s")
        if positions:
            self._consumer.commit(offsets=positions, asynchronous=True)

    def _hand_over(self, _consumer: Consumer, _partitions: object) -> None:
        self._commit()

    def _refused(self, error: object, _message: Message) -> None:
        self._error = str(error)

    def _stop(self, _signal: int, _frame: object) -> None:
        self._is_stopping = True


def _say_ready(_consumer: Consumer, _partitions: object) -> None:
    say_ready()
