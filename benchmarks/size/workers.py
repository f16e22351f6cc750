"""A real worker with any number of models: how long it takes to start, what it holds, what a record costs, how long a swap takes.

Every data type has a model of its own, every second a PMML tree, the others TensorFlow graphs, announced with their bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.processes import ProcessTree
from benchmarks.size.models import frozen_graph, tree_document
from benchmarks.size.records import DESCRIPTOR_SET, FEATURES, MESSAGE, data_type, make_records, spread
from benchmarks.topics import CONTROL, Topics
from model_store.core.control_records import ModelReport, ModelState
from model_store.core.descriptor import Descriptor, FeatureBinding
from model_store.core.wire import decode_record, encode_descriptor
from sluice.stack.ports import free_port

PARTITIONS = 4
_PATIENCE_SECONDS = 1_800.0
_SETTLING_SECONDS = 5.0
_IDLE_SECONDS = 5.0
_POLL_SECONDS = 0.02
_CHUNK = 50_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One worker with so many models.

    Attributes:
        models: How many, each the only one of its data type.
        ready_seconds: From its start until it is ready, wall clock.
        ready_cpu_seconds: CPU of the process tree until then.
        resident_mb: Memory of the process tree when it is ready.
        idle_share: Share of one core that it uses without records.
        evenly_us: CPU microseconds a record of a backlog, data types equally likely.
        zipf_us: The same, the n-th data type likely as 1/n.
        swap_seconds: From the announcement of another version until the worker reports it live.
        swap_load_ms: The load's part of it, as the worker says.
        swap_loop_ms: Time of the scoring thread, as the worker says.
        swap_cpu_ms: CPU of the process tree from the announcement until a second after the report.
    """

    models: int
    ready_seconds: float
    ready_cpu_seconds: float
    resident_mb: float
    idle_share: float
    evenly_us: float
    zipf_us: float
    swap_seconds: float
    swap_load_ms: float
    swap_loop_ms: float
    swap_cpu_ms: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def measure(topics: Topics, models: int, records: int, folder: Path, batch_records: int = 2_000) -> Measured:
    """Start a worker, let it work, swap a model, stop it.

    Args:
        topics: Of the broker.
        models: 1 to 9,999.
        records: So many are scored evenly, and as many by Zipf's law.
        folder: For its files.
        batch_records: Largest batch.
    """
    folder.mkdir()
    with ExitStack() as stack:
        source = stack.enter_context(topics.new("records"))
        sink = stack.enter_context(topics.new("results"))
        control = stack.enter_context(topics.new("control", 1, **CONTROL))
        producer = Producer({"bootstrap.servers": topics.bootstrap, "linger.ms": 5})
        for number in range(models):
            _announce(producer, control, number, 0)
        _flush(producer)
        port = free_port()
        settings = _settings(topics.bootstrap, source, sink, control, port, folder, batch_records)
        (folder / "worker.yaml").write_text(yaml.safe_dump(settings))
        (folder / "size.desc").write_bytes(DESCRIPTOR_SET)
        began = time.monotonic()
        command = [sys.executable, "-m", "serving", "--config", str(folder / "worker.yaml")]
        tree = stack.enter_context(ProcessTree(command, {}, folder / "log.txt", folder))
        _wait_ready(tree, port)
        ready_seconds, ready_cpu = time.monotonic() - began, tree.cpu_seconds()
        resident = tree.resident_megabytes()
        idle = _idle_share(tree)
        costs = []
        for how in ("evenly", "zipf"):
            values = make_records(spread(models, records, how))  # type: ignore[arg-type]  # one of the two
            costs.append(_cost(tree, topics, producer, source, sink, values))
        swap = _swap(tree, topics, producer, control, models)
        return Measured(models, ready_seconds, ready_cpu, resident, idle, *costs, *swap)


def _settings(
    bootstrap: str, source: str, sink: str, control: str, port: int, folder: Path, batch_records: int
) -> dict[str, object]:
    return {
        "kafka": {"bootstrap": bootstrap},
        "group": sink,
        "worker_id": "size",
        "control_topic": {"name": control},
        "dead_letter_topic": f"{sink}-dead",
        "max_batch": batch_records,
        "metrics": {"port": port},
        "artifacts": {"cache_dir": str(folder / "cache")},
        "streams": [
            {
                "name": "size",
                "topic": source,
                "start": "earliest",
                "format": {"type": "protobuf", "message": MESSAGE, "descriptor_set": str(folder / "size.desc")},
                "route": {"field": "data_type"},
                "features": list(FEATURES),
                "results": {"topic": sink, "dark_topic": f"{sink}-dark"},
            }
        ],
    }


def _announce(producer: Producer, control: str, number: int, version: int) -> None:
    name = data_type(number)
    is_tree = number % 2 == 0
    model_type = "PMML" if is_tree else "TENSORFLOW"
    payload = (tree_document if is_tree else frozen_graph)(number + version)
    descriptor = Descriptor(name, name, model_type, size_bytes=len(payload), sha256=hashlib.sha256(payload).digest())
    if not is_tree:
        descriptor = replace(descriptor, feature_mapping=tuple(FeatureBinding("", field) for field in FEATURES))
    record = encode_descriptor(descriptor, payload)
    producer.produce(control, record.value, record.key, headers=record.headers)


def _flush(producer: Producer) -> None:
    left = producer.flush(60)
    if left:
        raise RuntimeError(f"{left} records were not written within a minute")


def _wait_ready(tree: ProcessTree, port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        tree.check()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"the worker was not ready within {_PATIENCE_SECONDS:g} s: {tree.last_words()}")


def _idle_share(tree: ProcessTree) -> float:
    time.sleep(_SETTLING_SECONDS)  # what it says of a thousand routes comes back to it
    before, began = tree.cpu_seconds(), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    return (tree.cpu_seconds() - before) / (time.monotonic() - began)


def _cost(
    tree: ProcessTree, topics: Topics, producer: Producer, source: str, sink: str, values: Sequence[bytes]
) -> float:
    """CPU microseconds a record. The worker stands still while they are written, so that its batches are as large as may be."""
    wanted = topics.count(sink) + len(values)
    members = psutil.Process().children(recursive=True)
    for process in members:
        process.suspend()
    for place, value in enumerate(values):
        producer.produce(source, value, partition=place % PARTITIONS)
        if place % _CHUNK == 0:
            producer.flush(60)
    _flush(producer)
    before = tree.cpu_seconds()
    for process in members:
        process.resume()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while topics.count(sink) < wanted:
        tree.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{topics.count(sink)} of {wanted} results: {tree.last_words()}")
        time.sleep(_POLL_SECONDS)
    return (tree.cpu_seconds() - before) / len(values) * 1e6


def _swap(
    tree: ProcessTree, topics: Topics, producer: Producer, control: str, models: int
) -> tuple[float, float, float, float]:
    """Another version of the last data type: seconds until it is live, milliseconds of load, loop and CPU."""
    end = topics.ends(control, 1)[0]
    consumer = Consumer(
        {
            "bootstrap.servers": topics.bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 5,
        }
    )
    consumer.assign([TopicPartition(control, 0, end)])
    try:
        before, began = tree.cpu_seconds(), time.monotonic()
        _announce(producer, control, models - 1, 1)
        _flush(producer)
        while time.monotonic() - began < 120:
            message = consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            report = decode_record(message.headers(), message.key(), message.value())
            if isinstance(report, ModelReport) and report.control_offset >= end:
                if report.state is not ModelState.LIVE:
                    raise RuntimeError(f"the version was {report.state.value}: {report.reason}")
                seconds = time.monotonic() - began
                time.sleep(1.0)
                return seconds, report.load_ms, report.swap_ms, (tree.cpu_seconds() - before) * 1e3
        raise RuntimeError(f"no report of the swap: {tree.last_words()}")
    finally:
        consumer.close()


def as_json(found: Sequence[Measured]) -> str:
    """All of them."""
    return json.dumps([each.as_dict() for each in found])
