"""The systems that are compared, and how each is started."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from confluent_kafka import Producer
from modelserving.v1.descriptor_pb2 import ModelDescriptor

from benchmarks.processes import ProcessTree
from benchmarks.topics import PARTITIONS, Topics
from sluice.demo.wine import ARTIFACTS, DESCRIPTOR_SET, MESSAGE

LINEAR = ARTIFACTS / "wine_linear.pmml"
TREE = ARTIFACTS / "wine_tree_regression.pmml"
FOREST = ARTIFACTS / "wine_forest.pmml"
GRAPH = ARTIFACTS / "wine_frozen.pb"


@dataclass(frozen=True, slots=True)
class System:
    """One row of the comparison.

    Attributes:
        name: `program:model`.
        program: Module that is run; `serving` is the worker itself.
        model: Artifact, if it scores.
        delivery: Of the worker.
        is_slow: Takes milliseconds a record, so that it is measured over fewer.
    """

    name: str
    program: str
    model: Path | None = None
    delivery: str = "at_least_once"
    is_slow: bool = False


SYSTEMS = (
    System("relay", "benchmarks.systems.relay"),
    System("bare-loop:linear", "benchmarks.systems.bare_loop", LINEAR),
    System("bare-loop:tree", "benchmarks.systems.bare_loop", TREE),
    System("worker:tensorflow", "serving", GRAPH),
    System("worker:pmml-linear", "serving", LINEAR),
    System("worker:pmml-tree", "serving", TREE),
    System("worker:pmml-forest", "serving", FOREST),
    System("worker:tensorflow:exactly-once", "serving", GRAPH, "exactly_once"),
    System("naive-faust:pmml-tree", "benchmarks.systems.naive_faust", TREE, is_slow=True),
    System("naive-faust:tensorflow", "benchmarks.systems.naive_faust", GRAPH, is_slow=True),
)
QUICK = (
    "relay",
    "bare-loop:linear",
    "bare-loop:tree",
    "worker:tensorflow",
    "worker:pmml-linear",
    "worker:pmml-tree",
    "naive-faust:pmml-tree",
    "naive-faust:tensorflow",
)
_MODEL_TYPES = {
    ".pb": ModelDescriptor.TENSORFLOW,
    ".pmml": ModelDescriptor.PMML,
    ".zip": ModelDescriptor.TENSORFLOWSAVED,
}


@contextmanager
def running(system: System, topics: Topics, source: str, sink: str, folder: Path) -> Iterator[ProcessTree]:
    """The system at work on `source`, until the block ends."""
    log = folder / f"{system.name.replace(':', '-')}-{uuid.uuid4().hex[:6]}.log"
    group = f"bench-{uuid.uuid4().hex[:8]}"
    environment = {
        "BOOTSTRAP": topics.bootstrap,
        "INPUT": source,
        "OUTPUT": sink,
        "GROUP": group,
        "MODEL": str(system.model),
    }
    if system.program != "serving":
        with ProcessTree(["-m", system.program], environment, log) as tree:
            yield tree
        return
    with (
        topics.new("control", 1, **{"max.message.bytes": "20971520"}) as control,
        topics.new("dead", 1) as dead,
    ):
        assert system.model is not None
        publish(topics.bootstrap, control, system.model)
        settings = folder / f"{group}.yaml"
        settings.write_text(
            worker_settings(topics.bootstrap, group, control, dead, source, sink, system.delivery, folder)
        )
        with ProcessTree(["-m", "serving", "--config", str(settings)], {}, log) as tree:
            yield tree


def publish(bootstrap: str, control: str, model: Path, name: str = "wine") -> None:
    """A bare descriptor, as any publisher sends it."""
    descriptor = ModelDescriptor(
        name=name, data_type="wine", modeltype=_MODEL_TYPES[model.suffix], data=model.read_bytes()
    )
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 20 << 20, "acks": "all"})
    producer.produce(control, descriptor.SerializeToString(), b"wine")
    if producer.flush(30):
        raise RuntimeError("the model could not be published")


def worker_settings(
    bootstrap: str, group: str, control: str, dead: str, source: str, sink: str, delivery: str, folder: Path
) -> str:
    """The worker's settings file for one run."""
    return yaml.safe_dump(
        {
            "kafka": {"bootstrap": bootstrap},
            "group": group,
            "control_topic": {"name": control},
            "dead_letter_topic": dead,
            "delivery": delivery,
            "metrics": {"port": 0},
            "artifacts": {"cache_dir": str(folder / "cache")},
            "streams": [
                {
                    "name": "wine",
                    "topic": source,
                    "start": "earliest",
                    "format": {"type": "protobuf", "message": MESSAGE, "descriptor_set": str(DESCRIPTOR_SET)},
                    "route": {"field": "data_type"},
                    "results": {"topic": sink},
                }
            ],
        }
    )


def wait_for(topics: Topics, tree: ProcessTree, sink: str, count: int, timeout_seconds: float) -> int:
    """Until the sink holds `count` records; returns how many it holds."""
    deadline = time.monotonic() + timeout_seconds
    while (found := topics.count(sink, PARTITIONS)) < count:
        tree.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{found} of {count} records after {timeout_seconds:g} s")
        time.sleep(0.05)
    return found


def say(text: str) -> None:
    """Progress, apart from the figures on standard output."""
    print(text, file=sys.stderr, flush=True)
