"""One worker with two streams: wine records for a light model, windows for a heavy one, each on a topic of its own."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from confluent_kafka import Producer
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from modelserving.v1.descriptor_pb2 import ModelDescriptor

from benchmarks.heavy.models import WIDTH, WINDOWS, made, window
from benchmarks.models import DATA_TYPE, model
from benchmarks.peers.worker.start import settings
from benchmarks.processes import ProcessTree
from benchmarks.records import PARTITIONS, fill, key
from benchmarks.topics import CONTROL, Topics

HEAVY = "window"
MESSAGE = "heavy.v1.Window"
_RECORDS = {"max.message.bytes": "2097152"}
"""Of the topic of windows: as JSON one has about 840 kB, as protobuf 323 kB."""
_LOAD_SECONDS = 300.0
_START_SECONDS = 400.0
_PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Site:
    """A worker at work.

    Attributes:
        topics: Of the broker.
        tree: The worker's processes.
        light: Topic of wine records.
        light_results: Topic of their results.
        heavy: Topic of windows.
        heavy_results: Topic of theirs.
        folder: For files of this run.
        wire: `protobuf` or `json`: how windows are written.
    """

    topics: Topics
    tree: ProcessTree
    light: str
    light_results: str
    heavy: str
    heavy_results: str
    folder: Path
    wire: str

    def wait_for(self, topic: str, count: int, timeout_seconds: float = 300.0) -> None:
        """Until `topic` holds `count` results.

        Raises:
            RuntimeError: Time is up.
            EndedError: The worker ended.
        """
        deadline = time.monotonic() + timeout_seconds
        while (found := self.topics.count(topic)) < count:
            self.tree.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{found} of {count} results: {self.tree.last_words(600)}")
            time.sleep(0.02)


@contextmanager
def site(topics: Topics, heavy_model: str, wire: str = "protobuf") -> Iterator[Site]:
    """A worker that has scored its first records of both kinds; stopped when the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="sluice-heavy-", ignore_cleanup_errors=True) as name,
        topics.new("light") as light,
        topics.new("out") as light_results,
        topics.new("heavy", **_RECORDS) as heavy,
        topics.new("heavyout") as heavy_results,
        topics.new("control", 1, **CONTROL) as control,
    ):
        folder = Path(name)
        _publish(topics.bootstrap, control, heavy_model)
        config = folder / "worker.yaml"
        config.write_text(
            yaml.safe_dump(
                _settings(topics.bootstrap, control, light, light_results, heavy, heavy_results, folder, wire)
            )
        )
        command = [sys.executable, "-m", "serving", "--config", str(config)]
        with ProcessTree(command, {"TF_CPP_MIN_LOG_LEVEL": "3"}, folder / "log.txt", _PROJECT) as tree:
            made_site = Site(topics, tree, light, light_results, heavy, heavy_results, folder, wire)
            fill(topics.bootstrap, light, PARTITIONS)
            WindowSender(made_site).send(PARTITIONS)
            made_site.wait_for(light_results, PARTITIONS, _START_SECONDS)
            made_site.wait_for(heavy_results, PARTITIONS, _START_SECONDS)
            yield made_site


class WindowSender:
    """Writes windows, at a rate if asked, from a thread of its own."""

    def __init__(self, at: Site) -> None:
        self._topic, self._values = at.heavy, values(at.wire)
        self._producer = Producer(
            {"bootstrap.servers": at.topics.bootstrap, "linger.ms": 0, "log_level": 3, "message.max.bytes": 2 << 20}
        )
        self.sent = 0

    def send(self, count: int) -> None:
        """Write `count` windows; returns when the broker has them."""
        for _ in range(count):
            self._one()
        if self._producer.flush(120):
            raise RuntimeError("windows were not written")

    @contextmanager
    def sending(self, rate: float) -> Iterator[None]:
        """Write `rate` windows a second as long as the block lasts."""
        quit_ = threading.Event()

        def run() -> None:
            begin, sent = time.monotonic(), 0
            while not quit_.wait(max(0.0, begin + sent / rate - time.monotonic())):
                self._one()
                sent += 1

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            quit_.set()
            thread.join()
            self._producer.flush(60)

    def _one(self) -> None:
        value = self._values[self.sent % len(self._values)]
        self._producer.produce(self._topic, value, key(self.sent, time.time_ns() // 1_000), self.sent % PARTITIONS)
        self._producer.poll(0)
        self.sent += 1


@cache
def values(wire: str) -> list[bytes]:
    """The windows as records: a packed repeated float, or an array of numbers with six digits."""
    windows = [window(index).reshape(-1) for index in range(WINDOWS)]
    if wire == "json":
        return [json.dumps({"values": np.round(each.astype(np.float64), 6).tolist()}).encode() for each in windows]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    record = message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))
    return [record(values=each.tolist()).SerializeToString() for each in windows]


def _file() -> descriptor_pb2.FileDescriptorProto:
    package, _, name = MESSAGE.rpartition(".")
    file = descriptor_pb2.FileDescriptorProto(name="window.proto", package=package, syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    file.message_type.add(name=name).field.add(
        name="values", number=1, type=field.TYPE_FLOAT, label=field.LABEL_REPEATED
    )
    return file


def _settings(
    bootstrap: str,
    control: str,
    light: str,
    light_results: str,
    heavy: str,
    heavy_results: str,
    folder: Path,
    wire: str,
) -> dict[str, object]:
    environment = {
        "BOOTSTRAP": bootstrap, "GROUP": light_results, "CONTROL": control, "OUTPUT": light_results,
        "DELIVERY": "at_least_once", "STATE": str(folder), "INPUT": light,
    }  # fmt: skip
    own = settings(environment)
    records: dict[str, object] = {"type": "json"}
    if wire == "protobuf":
        described = folder / "window.desc"
        described.write_bytes(descriptor_pb2.FileDescriptorSet(file=[_file()]).SerializeToString())
        records = {"type": "protobuf", "message": MESSAGE, "descriptor_set": str(described)}
    streams = own["streams"]
    assert isinstance(streams, list)
    streams.append(
        {
            "name": HEAVY,
            "topic": heavy,
            "start": "earliest",
            "format": records,
            "features": [f"values[{WIDTH}]"],
            "route": {"constant": HEAVY},
            "results": {"topic": heavy_results},
        }
    )
    return {**own, "limits": {"load_seconds": _LOAD_SECONDS}}


def _publish(bootstrap: str, control: str, heavy_model: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 20 << 20, "log_level": 0})
    producer.produce(control, model("tree").descriptor(), DATA_TYPE.encode())
    payload = (made() / f"{heavy_model}.zip").read_bytes()
    heavy = ModelDescriptor(name=HEAVY, data_type=HEAVY, modeltype=ModelDescriptor.TENSORFLOWSAVED, data=payload)
    producer.produce(control, heavy.SerializeToString(), HEAVY.encode())
    if producer.flush(30):
        raise RuntimeError("the models could not be published")
