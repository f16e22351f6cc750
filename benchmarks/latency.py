"""From `produce()` of the record to its result in a reader's hands, at a fixed rate, with and without a swap.

The sending time travels in the record's key, which the worker copies; the reader runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml
from confluent_kafka import Consumer, TopicPartition

from benchmarks.catalogue import GRAPH, LINEAR, System, publish, running, wait_for
from benchmarks.records import Pacer
from benchmarks.topics import PARTITIONS, Topics

_SETTLE_SECONDS = 2.0
_NEAR_SWAP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Latency:
    """One run's figures, in milliseconds.

    Attributes:
        system: Its name.
        rate: Records a second.
        sent: Records in the measured time.
        received: Distinct ones among their results.
        duplicated: Results beyond those.
        p50: Median.
        p99: 99 of 100 are faster.
        worst: The slowest.
        worst_at_swap: The slowest of the records sent within a second of the swap, if there was one.
        worst_elsewhere: The slowest of the others.
    """

    system: str
    rate: int
    sent: int
    received: int
    duplicated: int
    p50: float
    p99: float
    worst: float
    worst_at_swap: float | None
    worst_elsewhere: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def measure(
    system: System, topics: Topics, rate: int, seconds: float, folder: Path, swap_to: Path | None = None
) -> Latency:
    """Send at `rate` for `seconds`; with `swap_to`, publish that model when half of the time has passed."""
    with topics.new("in") as source, topics.new("out") as sink:
        with running(system, topics, source, sink, folder) as tree:
            pacer = Pacer(topics.bootstrap, source, PARTITIONS)
            pacer.run(50, 1.0)
            wait_for(topics, tree, sink, pacer.sent, 60)
            found, stop = folder / f"{sink}.json", folder / f"{sink}.stop"
            reader = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.latency", topics.bootstrap, sink, str(found), str(stop)]
            )
            pacer.run(rate, _SETTLE_SECONDS)
            first, swapped_us = pacer.sent, None
            pacer.run(rate, seconds / 2)
            if swap_to is not None:
                swapped_us = time.time_ns() // 1_000
                publish(topics.bootstrap, control_topic(folder, sink), swap_to)
            pacer.run(rate, seconds / 2)
            wait_for(topics, tree, sink, pacer.sent, 60)
            time.sleep(0.5)  # the reader sees what the broker has
            stop.touch()
            reader.wait(30)
    rows = np.array(json.loads(found.read_text()), np.int64).reshape(-1, 3)
    return _figures(system, rate, rows[rows[:, 0] >= first], pacer.sent - first, swapped_us)


def control_topic(folder: Path, sink: str) -> str:
    """The control topic of the worker that writes to `sink`, from its settings file."""
    for path in folder.glob("*.yaml"):
        settings = yaml.safe_load(path.read_text())
        if settings["streams"][0]["results"]["topic"] == sink:
            return str(settings["control_topic"]["name"])
    raise LookupError(f"no worker writes to {sink}")


def _figures(system: System, rate: int, rows: np.ndarray, sent: int, swapped_us: int | None) -> Latency:
    taken = np.sort(rows[:, 2] - rows[:, 1]) / 1_000
    near = np.zeros(len(rows), bool)
    if swapped_us is not None:
        near = np.abs(rows[:, 1] - swapped_us) < _NEAR_SWAP_SECONDS * 1e6
    each = (rows[:, 2] - rows[:, 1]) / 1_000
    received = len(np.unique(rows[:, 0]))
    return Latency(
        system.name,
        rate,
        sent,
        received,
        len(rows) - received,
        round(float(np.quantile(taken, 0.5)), 2),
        round(float(np.quantile(taken, 0.99)), 2),
        round(float(taken[-1]), 2),
        round(float(each[near].max()), 2) if near.any() else None,
        round(float(each[~near].max()), 2),
    )


def _read(bootstrap: str, topic: str, found: Path, stop: Path) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "benchmarks-latency",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    rows: list[tuple[bytes, int]] = []
    while not stop.exists():
        record = consumer.poll(0.05)
        if record is None:
            continue
        records = [record, *consumer.consume(5_000, 0)]
        now = time.time_ns() // 1_000
        rows += [(each.key(), now) for each in records]
    consumer.close()
    found.write_text(json.dumps([(int(key[:8], 16), int(key[8:], 16), now) for key, now in rows]))


SWAPS = {"worker:tensorflow": LINEAR, "worker:pmml-tree": GRAPH}

if __name__ == "__main__":
    _read(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
