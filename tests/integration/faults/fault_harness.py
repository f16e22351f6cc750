"""Workers under load, disturbed, and an account of every record: what was sent, what came out, what was lost or repeated.

A record is known by its source coordinates, (partition, offset) of the input topic, which every result carries. `Load`
learns them from the broker's acknowledgements, `take_account` reads the results as a downstream reader with
`isolation.level=read_committed` sees them. The workers are processes; which command starts one is a parameter
(`Command`), so the same scenarios run on the bare feed and on the whole worker.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from patience import patient, tries

PARTITIONS = 4
COMMANDS = "feed-commands"
"""A Faust app must read at least one topic; the relay worker's."""

SESSION_SECONDS = 15
"""Of a worker in its group. With the default of 6 s a machine that stands still takes partitions from workers that nobody
disturbed, and what they repeat then is no fault of theirs."""

COMMIT_SECONDS = 0.1

Coordinates = tuple[int, int]
"""Partition and offset of a source record."""

Identify = Callable[[Any], tuple[Coordinates, str]]
"""Source coordinates of a result record, and the name of the worker that wrote it."""


@dataclass(frozen=True)
class Task:
    """What all workers of one run have in common."""

    bootstrap: str
    group: str
    source: str
    results: str
    delivery: str
    folder: Path
    extra: Mapping[str, Any] = field(default_factory=dict)


Command = Callable[[Task, str, Mapping[str, Any]], list[str]]
"""The command line of a worker: `command(task, name, settings of this worker)`."""


def relay_command(task: Task, name: str, settings: Mapping[str, Any]) -> list[str]:
    """The relay worker on the bare feed."""
    given = {
        "bootstrap": task.bootstrap,
        "group": task.group,
        "topics": {task.source: "earliest"},
        "output": task.results,
        "delivery": task.delivery,
        "worker": name,
        "datadir": str(task.folder / f"{name}-data"),
        "consumer": {"session.timeout.ms": 1_000 * SESSION_SECONDS},
        **task.extra,
        **settings,
    }
    return [sys.executable, str(Path(__file__).with_name("relay_worker.py")), json.dumps(given)]


def relay_identity(record: Any) -> tuple[Coordinates, str]:
    """`partition:offset|worker`, as the relay worker writes it."""
    coordinates, _, writer = record.value().partition(b"|")
    partition, _, offset = coordinates.partition(b":")
    return (int(partition), int(offset)), writer.decode()


class Worker:
    """One worker process; its output goes to `NAME.log` in the task's folder."""

    def __init__(self, command: Command, task: Task, name: str, **settings: Any) -> None:
        self.name = name
        self.log = task.folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command(task, name, settings), stdout=log, stderr=subprocess.STDOUT)

    def events(self) -> list[dict[str, Any]]:
        """The JSON lines of the log."""
        return [json.loads(line) for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{")]

    def wait_for(self, event: str, *, count: int = 1, seconds: float = 60.0) -> None:
        """Until the event is in the log `count` times."""
        for _ in tries(seconds):
            if self.log.read_text(errors="replace").count(f'"event": "{event}"') >= count:
                return
            if self.process.poll() is not None:
                break
        raise AssertionError(f"worker {self.name} never logged {event!r}:\n{self.tail()}")

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 40.0) -> int:
        """SIGTERM, and the exit status; -9 if it had to be killed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Load(threading.Thread):
    """Sends records to all partitions in turn at a steady rate until it is stopped."""

    def __init__(self, task: Task, rate: float, value: Callable[[int], bytes] = lambda number: b"%d" % number) -> None:
        super().__init__(name="load", daemon=True)
        self.sent: set[Coordinates] = set()
        self.refused = 0
        self._task = task
        self._rate = rate
        self._value = value
        self._quit = threading.Event()

    def run(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._task.bootstrap,
                "linger.ms": 5,
                "enable.idempotence": True,
                "reconnect.backoff.max.ms": 500,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 0,
            }
        )
        start = time.monotonic()
        number = 0
        while not self._quit.wait(0.005):
            due = int((time.monotonic() - start) * self._rate)
            while number < due:
                producer.produce(
                    self._task.source,
                    self._value(number),
                    key=b"key-%d" % number,
                    partition=number % PARTITIONS,
                    on_delivery=self._delivered,
                )
                number += 1
            producer.poll(0)
        producer.flush(60)
        self.refused += len(producer)

    def finish(self) -> None:
        """Stop sending and wait for the last acknowledgements."""
        self._quit.set()
        self.join(90)

    def _delivered(self, error: Any, record: Any) -> None:
        if error is None:
            self.sent.add((record.partition(), record.offset()))
        else:
            self.refused += 1


@dataclass
class Disturbance:
    """When something was done to a worker (or, `worker=None`, to all): results from then on may come from a repetition."""

    worker: str | None
    began: float
    ended: float


@dataclass
class Account:
    """What came of a run.

    Attributes:
        sent: Records that the broker has in the source topic.
        lost: Records without a result.
        duplicated: Results beyond the first of their record.
        repeated_seconds: How long before a disturbance of its writer the earliest result was written that was repeated later;
            infinite if a result was repeated whose writer was not disturbed.
        gap_seconds: Longest time without a result in any partition.
        exits: Exit status of the workers that lived to the end.
    """

    sent: int
    lost: int
    duplicated: int
    repeated_seconds: float
    gap_seconds: float
    exits: list[int]
    notes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"sent {self.sent}, lost {self.lost}, duplicated {self.duplicated} (from {self.repeated_seconds:.2f} s), "
            f"longest gap {self.gap_seconds:.1f} s, exits {self.exits} {self.notes}"
        )


@dataclass
class Stage:
    """One run: topics, load, workers, and what was done to them."""

    task: Task
    command: Command = relay_command
    identify: Identify = relay_identity
    joined_event: str = "partitions.assigned"
    workers: dict[str, Worker] = field(default_factory=dict)
    disturbances: list[Disturbance] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def start(self, name: str, **settings: Any) -> Worker:
        """Start a worker."""
        worker = self.workers[name] = Worker(self.command, self.task, name, **settings)
        return worker

    def disturbed(self, worker: str | None, began: float, ended: float | None = None) -> None:
        """Note a disturbance; the times are of `time.time()`."""
        self.disturbances.append(Disturbance(worker, began, began if ended is None else ended))

    def load(self, rate: float) -> Load:
        """Start the load."""
        load = Load(self.task, rate)
        load.start()
        return load

    def close(self) -> None:
        """Kill what is left of the workers."""
        for worker in self.workers.values():
            if worker.process.poll() is None:
                worker.kill()

    def account(self, load: Load, *, seconds: float = 90.0) -> Account:
        """Stop the load, wait until every record has a result and the workers are quiet, stop them, and add up."""
        load.finish()
        ledger = _Ledger(self.identify)
        consumer = Consumer(
            {
                "bootstrap.servers": self.task.bootstrap,
                "group.id": f"{self.task.group}-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(self.task.results, number, 0) for number in range(PARTITIONS)])
        end = time.monotonic() + patient(seconds)
        while not (load.sent <= ledger.copies.keys()) and time.monotonic() < end:
            ledger.read(consumer, 0.5)
        alive = [worker for worker in self.workers.values() if worker.process.poll() is None]
        for worker in alive:
            worker.wait_for(self.joined_event)  # before that a signal may find it still importing
        exits = [worker.stop() for worker in alive]
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 2.0:  # what the workers wrote while they stopped is there by then
            if ledger.read(consumer, 0.5):
                quiet_since = time.monotonic()
        consumer.close()
        return Account(
            sent=len(load.sent),
            lost=len(load.sent - ledger.copies.keys()),
            duplicated=ledger.duplicated,
            repeated_seconds=ledger.repeated_seconds(self.disturbances),
            gap_seconds=ledger.longest_gap(),
            exits=exits,
            notes={
                **self.notes,
                "repeats": dict(ledger.pairs()),
                **({"refused": load.refused} if load.refused else {}),
            },
        )


class _Ledger:
    """Results by source record: when each copy was written, and by whom."""

    def __init__(self, identify: Identify) -> None:
        self.copies: dict[Coordinates, list[tuple[float, str]]] = {}
        self._identify = identify

    def read(self, consumer: Any, seconds: float) -> int:
        records = [record for record in consumer.consume(5_000, seconds) if record.error() is None]
        for record in records:
            coordinates, writer = self._identify(record)
            self.copies.setdefault(coordinates, []).append((record.timestamp()[1] / 1_000, writer))
        return len(records)

    @property
    def duplicated(self) -> int:
        return sum(len(copies) - 1 for copies in self.copies.values())

    def pairs(self) -> Counter[str]:
        return Counter(
            f"{first[1]}->{second[1]}"
            for copies in self.copies.values()
            for first, second in itertools.pairwise(copies)
        )

    def repeated_seconds(self, disturbances: list[Disturbance]) -> float:
        """How long before a disturbance of its writer a result was written that was written again; infinite without one.

        A worker that stood still and goes on may first write what it held in its hands: that repeats no earlier second.
        """
        longest = 0.0
        for copies in self.copies.values():
            ordered = sorted(copies)
            for at, (written, writer) in enumerate(ordered[:-1]):
                before = [
                    max(0.0, one.began - written)
                    for one in disturbances
                    if one.worker in (None, writer) and written <= one.ended + 1.0
                ]
                held = [
                    0.0
                    for one in disturbances
                    for later, by in ordered[at + 1 :]
                    if by == one.worker and one.began <= later <= one.ended + 1.0
                ]
                longest = max(longest, min(before + held, default=float("inf")))
        return longest

    def longest_gap(self) -> float:
        longest = 0.0
        for number in range(PARTITIONS):
            written = sorted(
                when for (partition, _), copies in self.copies.items() if partition == number for when, _ in copies
            )
            longest = max([longest, *(later - earlier for earlier, later in itertools.pairwise(written))])
        return longest


def new_task(bootstrap: str, delivery: str, folder: Path, **extra: Any) -> Task:
    """Topics of their own for one run."""
    tag = uuid.uuid4().hex[:8]
    source, results = f"faults-{tag}", f"faults-{tag}-results"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (source, results)]).values():
        made.result(30)
    if COMMANDS not in admin.list_topics(timeout=30).topics:
        with suppress(KafkaException):  # a run beside this one made it
            admin.create_topics([NewTopic(COMMANDS, 1, 1)])[COMMANDS].result(30)
    run = folder / tag
    run.mkdir(parents=True)
    return Task(bootstrap, f"faults-{tag}", source, results, delivery, run, extra)
