"""The sender: a process of its own that writes records at a steady rate and can say exactly how many were accepted.

Theory of operation: the producer is idempotent and waits for all replicas, and reports failures only; so after a
`flush` that leaves nothing behind, every record handed over is in the topic once. At a fixed rate the sender follows
the clock and catches up after a hiccup; at the highest rate it keeps at most `WINDOW` records under way, so that what
is measured is what comes back, not how much Kafka can hoard. It ends when the other end of its pipe says so or closes.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

WINDOW = 30_000
_TICK_SECONDS = 0.005
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What to send.

    Attributes:
        bootstrap: Kafka's addresses.
        topic: Data topic.
        records: Key and value of each record, sent over and over in this order.
        rate: Records a second; `None` is as many as come back.
        poison: Values of records without a key to slip in, each at its second from the start.
    """

    bootstrap: str
    topic: str
    records: Sequence[tuple[bytes, bytes]]
    rate: float | None
    poison: Sequence[tuple[float, bytes]]


@dataclass(frozen=True, slots=True)
class SendReport:
    """How it ended.

    Attributes:
        sent: Records that are in the topic.
        seconds: From the first to the acknowledgement of the last.
        failure: Why it ended early, or some were not accepted; else empty.
    """

    sent: int
    seconds: float
    failure: str = ""


def send(plan: SendPlan, pipe: Connection, sent: Any, answered: Any) -> None:
    """Send until `pipe` has something to read or is closed, then send a `SendReport` through it.

    Args:
        plan: What to send.
        pipe: To the process that watches.
        sent: Shared `ctypes` integer: records handed over, written here.
        answered: Shared `ctypes` integer: records answered, written elsewhere.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):  # nobody is left to report to
        _Sender(plan, pipe, sent, answered).run()


class _Sender:
    def __init__(self, plan: SendPlan, pipe: Connection, sent: Any, answered: Any) -> None:
        self._plan = plan
        self._pipe = pipe
        self._sent = sent
        self._answered = answered
        self._count = 0
        self._failures: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": plan.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 2,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 200_000,
                "delivery.report.only.error": True,
                "on_delivery": self._failed,
                "error_cb": self._error,
            }
        )

    def run(self) -> None:
        started = time.monotonic()
        poison = list(self._plan.poison)
        while not self._pipe.poll() and not self._failures:
            elapsed = time.monotonic() - started
            while poison and poison[0][0] <= elapsed:
                self._produce(None, poison.pop(0)[1])
            due = self._due(elapsed)
            for _ in range(due):
                self._produce(*self._plan.records[self._count % len(self._plan.records)])
            self._sent.value = self._count
            self._producer.poll(0)
            if due < _CHUNK:
                time.sleep(_TICK_SECONDS)
        for _, value in poison:
            self._produce(None, value)
        left = self._producer.flush(60)
        self._sent.value = self._count
        if left:
            self._failures.append(f"{left} records were not acknowledged within a minute")
        self._pipe.send(
            SendReport(self._count, time.monotonic() - started, self._failures[0] if self._failures else "")
        )

    def _due(self, elapsed: float) -> int:
        if self._plan.rate is None:
            return min(_CHUNK, max(0, WINDOW - self._count + int(self._answered.value)))
        return min(_CHUNK, max(0, int(elapsed * self._plan.rate) - self._count))

    def _produce(self, key: bytes | None, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._plan.topic, value, key)
                break
            except BufferError:
                self._producer.poll(0.01)
        self._count += 1

    def _failed(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"a record was not accepted: {error.str()}")

    def _error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failures.append(f"the producer cannot go on: {error.str()}")
