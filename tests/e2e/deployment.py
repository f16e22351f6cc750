"""Whole workers as processes, on a real broker: what the end-to-end tests drive and look at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from modelserving.v1.control_pb2 import ModelReport, WorkerStarted
from modelserving.v1.descriptor_pb2 import ModelDescriptor
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from patience import patient, tries, until

from sluice.demo.wine import ARTIFACTS, DESCRIPTOR_SET, FEATURES, MESSAGE, Wines, make_wines

REPOSITORY = Path(__file__).parents[2]
GRAPH = ARTIFACTS / "wine_frozen.pb"
SAVED = ARTIFACTS / "wine_saved_model.zip"
LINEAR = ARTIFACTS / "wine_linear.pmml"
TREE = ARTIFACTS / "wine_tree_regression.pmml"
TYPES = {".pb": ModelDescriptor.TENSORFLOW, ".zip": ModelDescriptor.TENSORFLOWSAVED, ".pmml": ModelDescriptor.PMML}


def wine_record() -> type:
    """The demo's record class."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))


def wine_values(data_type: str = "wine", wines: Wines | None = None) -> list[bytes]:
    """One record a bottle of the demo's set."""
    record = wine_record()
    rows = (wines or make_wines()).matrix
    return [
        record(**dict(zip(FEATURES, row.tolist(), strict=True)), data_type=data_type).SerializeToString()
        for row in rows
    ]


_HTTP = httpx.Client(verify=False)  # a client of its own for each question would load all certificates each time


def http_get(url: str, seconds: float = 5.0) -> httpx.Response:
    """Ask over plain HTTP."""
    return _HTTP.get(url, timeout=seconds)


@dataclass
class WorkerProcess:
    """One `python -m serving`."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def is_ready(self) -> bool:
        assert not self.has_ended(), f"the worker ended:\n{self.tail()}"
        return self.answers_ready()

    def answers_ready(self) -> bool:
        try:
            return http_get(f"{self.url}/readyz", 1).status_code == 200
        except httpx.HTTPError:
            return False

    def metrics(self) -> str:
        return http_get(f"{self.url}/metrics").text

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(patient(10))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patient(30))

    def has_lost_partitions(self) -> bool:
        """The group took them away: the worker, or Kafka, stood still for longer than a session of 6 s."""
        return '"event": "partitions.lost"' in self.log.read_text(errors="replace")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3_000:]


class Followed:
    """What a topic has, each record parsed once, for whoever looks again and again."""

    def __init__(self, topic: str, partitions: int, consumer: Consumer, message: type[Message]) -> None:
        self.consumer = consumer
        self._partitions = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._message = message
        self._next = [0] * partitions
        self._found: list[tuple[bytes, Any]] = []

    def advance(self) -> list[tuple[bytes, Any]]:
        """Keys and messages, the same list each time; a transaction that is open is waited for."""
        ends = [self.consumer.get_watermark_offsets(each, timeout=patient(10))[1] for each in self._partitions]
        deadline = time.monotonic() + patient(60)
        while any(reached < end for reached, end in zip(self._next, ends, strict=True)):
            assert time.monotonic() < deadline, f"{self._partitions} are read to {self._next} of {ends}"
            for record in self.consumer.consume(5_000, 0.1):
                if record.error() is None:
                    self._found.append((record.key(), self._message.FromString(record.value())))
                    self._next[record.partition()] = record.offset() + 1
                elif record.error().code() == KafkaError._PARTITION_EOF:
                    self._next[record.partition()] = record.offset()
        return self._found


@dataclass
class Deployment:
    """Topics of one test, and the workers on them."""

    bootstrap: str
    folder: Path
    free_port: Callable[[], int]
    partitions: int
    source: str
    results: str
    dead_letters: str
    control: str
    group: str = field(default_factory=lambda: f"group-{uuid.uuid4().hex[:8]}")
    settings: dict[str, object] = field(default_factory=dict)
    stream: dict[str, object] = field(default_factory=dict)
    workers: list[WorkerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = {"bootstrap.servers": self.bootstrap, "acks": "all", "enable.idempotence": True}
        self._producer = Producer(settings)
        self._publisher = Producer({**settings, "message.max.bytes": 20 << 20})
        self._followed: dict[str, Followed] = {}

    # ---------------------------------------------------------------- workers

    def write_settings(self) -> Path:
        stream = {
            "name": "wine",
            "topic": self.source,
            "start": "earliest",
            "format": {"type": "protobuf", "message": MESSAGE, "descriptor_set": str(DESCRIPTOR_SET)},
            "route": {"field": "data_type"},
            "results": {"topic": self.results},
            **self.stream,
        }
        settings = {
            "kafka": {"bootstrap": self.bootstrap},
            "group": self.group,
            "control_topic": {"name": self.control},
            "dead_letter_topic": self.dead_letters,
            "artifacts": {"cache_dir": str(self.folder / "cache")},
            "streams": [stream],
            **self.settings,
        }
        path = self.folder / "worker.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    def start_worker(self, *, wait: bool = True, worker_id: str | None = None, **environment: str) -> WorkerProcess:
        port = self.free_port()
        log = self.folder / f"worker-{len(self.workers)}.log"
        own = {"SERVING_METRICS__PORT": str(port), "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
        if worker_id is not None:
            own["SERVING_WORKER_ID"] = worker_id
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "serving", "--config", str(self.write_settings())],
                env={**os.environ, **own},
                cwd=REPOSITORY,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        worker = WorkerProcess(process, f"http://127.0.0.1:{port}", log)
        self.workers.append(worker)
        if wait:
            until(worker.is_ready, 60, f"the worker is ready; its log ends:\n{worker.tail()}")
        return worker

    def stop_all(self) -> None:
        for followed in self._followed.values():
            followed.consumer.close()
        self._followed.clear()
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
                worker.process.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.process.wait(patient(20))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    # ---------------------------------------------------------------- writing

    def publish(self, model: Path | bytes, *, data_type: str = "wine", name: str = "wine", **fields: object) -> int:
        """Announce a model as any publisher does; returns its offset on the control log."""
        if isinstance(model, Path):
            fields = {"modeltype": TYPES[model.suffix], "data": model.read_bytes(), **fields}
        else:
            fields = {"data": model, **fields}
        return self.send_control(
            ModelDescriptor(name=name, data_type=data_type, **fields).SerializeToString(), data_type
        )

    def send_control(self, value: bytes, key: str | bytes = "wine", headers: Sequence[tuple[str, bytes]] = ()) -> int:
        placed: list[int] = []
        self._publisher.produce(
            self.control,
            value,
            key.encode() if isinstance(key, str) else key,
            headers=list(headers),
            on_delivery=lambda error, record: placed.append(record.offset()),
        )
        assert self._publisher.flush(30) == 0
        return placed[0]

    def send(self, values: Sequence[bytes | None], **record: object) -> None:
        """Records, spread over the partitions, keyed by their number."""
        for i, value in enumerate(values):
            fields = {"key": f"k{i}".encode(), "partition": i % self.partitions, **record}
            while True:
                try:
                    self._producer.produce(self.source, value, **fields)
                    break
                except BufferError:
                    self._producer.poll(0.1)
        assert self._producer.flush(60) == 0

    # ---------------------------------------------------------------- reading

    def read(self, topic: str, count: int, seconds: float = 60.0, partitions: int | None = None) -> list:
        """Records of a topic from its start, as soon as there are `count`; fails if they do not come."""
        found: list = []
        consumer = self._reader(topic, partitions or self.partitions)
        deadline = time.monotonic() + patient(seconds)
        try:
            while len(found) < count:
                assert time.monotonic() < deadline, (
                    f"{len(found)} of {count} records in {topic} after {patient(seconds):g} s"
                )
                found += [record for record in consumer.consume(5_000, 0.1) if record.error() is None]
        finally:
            consumer.close()
        return found

    def follow(self, topic: str, message: type[Message], partitions: int | None = None) -> list[tuple[bytes, Any]]:
        """Keys and messages of all records that a topic has now; of transactions only what was committed."""
        if topic not in self._followed:
            count = partitions or self.partitions
            self._followed[topic] = Followed(topic, count, self._reader(topic, count), message)
        return self._followed[topic].advance()

    def read_results(self, count: int, seconds: float = 60.0) -> list[ScoreResult]:
        return [ScoreResult.FromString(record.value()) for record in self.read(self.results, count, seconds)]

    def read_results_of(self, records: int, seconds: float = 60.0) -> list[ScoreResult]:
        """All results there are as soon as so many records have one; at least once, some may have several."""
        for _ in tries(seconds):
            rows = [row for _, row in self.follow(self.results, ScoreResult)]
            if len({(row.partition, row.offset) for row in rows}) >= records:
                return rows
        raise AssertionError(f"{len(rows)} results, not of {records} records, after {patient(seconds):g} s")

    def read_dead_letters(self, count: int, seconds: float = 60.0) -> list[DeadLetter]:
        records = self.read(self.dead_letters, count, seconds, partitions=1)
        return [DeadLetter.FromString(record.value()) for record in records]

    def reports(self) -> list[ModelReport]:
        """What workers said of models, so far."""
        return [ModelReport.FromString(record.value()) for record in self._control("model-report")]

    def starts(self) -> list[WorkerStarted]:
        return [WorkerStarted.FromString(record.value()) for record in self._control("worker-started")]

    def wait_for_report(
        self, control_offset: int, state: int, seconds: float = 60.0, workers: int = 1
    ) -> list[ModelReport]:
        """The reports of so many workers about one descriptor, in one state."""

        def found() -> list[ModelReport]:
            rows = [row for row in self.reports() if row.control_offset == control_offset and row.state == state]
            return rows if len({row.worker for row in rows}) >= workers else []

        return until(found, seconds, f"report {ModelReport.State.Name(state)} about {control_offset}: {self.reports()}")

    def end_offsets(self, topic: str, partitions: int | None = None) -> list[int]:
        consumer = self._reader(topic, partitions or self.partitions)
        try:
            count = partitions or self.partitions
            return [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(count)]
        finally:
            consumer.close()

    def _control(self, kind: str) -> list:
        consumer = self._reader(self.control, 1)
        found = []
        try:
            while True:
                for record in consumer.consume(1_000, 2.0) or []:
                    if record.error() is not None:
                        if record.error().code() == KafkaError._PARTITION_EOF:
                            return found
                        continue
                    if dict(record.headers() or []).get("sluice-type") == kind.encode():
                        found.append(record)
        finally:
            consumer.close()

    def _reader(self, topic: str, partitions: int) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "tests",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "fetch.queue.backoff.ms": 5,
            }
        )
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        return consumer


def make_deployment(kafka, folder: Path, free_port: Callable[[], int], partitions: int) -> Deployment:
    large = {"max.message.bytes": str(20 << 20)}
    return Deployment(
        kafka.bootstrap,
        folder,
        free_port,
        partitions,
        source=kafka.create_topic(partitions),
        results=kafka.create_topic(partitions),
        dead_letters=kafka.create_topic(1, large),
        control=kafka.create_topic(1, large),
    )
