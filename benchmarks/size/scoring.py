"""A stream's real pipeline without Kafka: any number of routes, one batch in, its outcomes out, and what that costs.

The formats, the routing, the dispatch and the scorers are those of the worker. All data types have versions of their own;
the versions of a kind share one loaded model, which changes nothing in what is done for a record.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.size.records import DESCRIPTOR_SET, FEATURES, MESSAGE, Encoding, data_type
from benchmarks.stand_in import Batch
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.commands import ChangeRoute, Command, RegisterVersion
from model_store.core.control_records import Announced, ControlRecord, PartitionOffset, PartitionsClaimed, RouteApplied
from model_store.core.descriptor import Descriptor
from model_store.core.plans import Arm, Plan, Target
from serving.core.binding import bind
from serving.core.deciders import DECIDERS
from serving.live import LiveModel, LiveModels
from serving.pipeline import Pipeline
from serving.routing import Routing
from serving.scorers.base import Scorer
from serving.settings import Stream
from serving.streams import open_stream

GROUP, TOPIC, WORKER, CLAIM = "size", "records", "worker", "claim"
STREAM = "size"
ARMS = ("primary", "second", "third")
_ONE_CALL_SECONDS = 0.02


class Log:
    """A catalogue that is told record by record."""

    def __init__(self) -> None:
        self.catalogue: Catalogue = EMPTY
        self.say(PartitionsClaimed(WORKER, "epoch", CLAIM, GROUP, (PartitionOffset(TOPIC, 0, 0),), 1))

    def say(self, record: ControlRecord) -> int:
        """The offset of a record that was folded."""
        offset = self.catalogue.offset + 1
        self.catalogue = fold(self.catalogue, LogEntry(offset, offset, record))
        return offset

    def begins(self, change: int, key: str) -> None:
        """The worker says that a plan scores from the first record on."""
        self.say(RouteApplied(WORKER, change, key, CLAIM, GROUP, (PartitionOffset(TOPIC, 0, 0),)))


def routed(types: int) -> Log:
    """One model a data type."""
    log = Log()
    for number in range(types):
        name = data_type(number)
        log.begins(log.say(Announced(Descriptor(name, name, "TENSORFLOW", location="/m"))), name)
    return log


def shared(arms: int) -> Log:
    """One data type, whose entities are shared out among some arms by their slots."""
    log = Log()
    name = data_type(0)
    for _ in range(arms):
        log.say(Command("", "size", "", RegisterVersion(Descriptor(name, name, "TENSORFLOW", location="/m"))))
    weights = [10_000 // arms + (10_000 % arms if place == 0 else 0) for place in range(arms)]
    plan = Plan(tuple(Arm(ARMS[place], Target(name, place + 1), weights[place]) for place in range(arms)))
    log.begins(log.say(Command("", "size", "", ChangeRoute(name, plan, "immediate"))), name)
    assert log.catalogue.routes[name].plan is not None
    return log


def pipeline(log: Log, scorer: Scorer, encoding: Encoding = "protobuf") -> Pipeline:
    """Over all versions of the log, each live."""
    document = {
        "name": STREAM,
        "topic": TOPIC,
        "format": {"type": encoding},
        "route": {"field": "data_type"},
        "features": list(FEATURES),
        "results": {"topic": "results"},
    }
    with tempfile.NamedTemporaryFile(suffix=".desc") as file:
        if encoding == "protobuf":
            Path(file.name).write_bytes(DESCRIPTOR_SET)
            document["format"] = {"type": "protobuf", "descriptor_set": file.name, "message": MESSAGE}
        stream = open_stream(Stream.model_validate(document), "dead")
    live = LiveModels(lambda _: None)
    binding = bind(scorer.signature, stream.fields.numbers, stream.fields.texts, list(FEATURES))
    for version in log.catalogue.versions.values():
        live.add(
            LiveModel(version.model, version.version, version.control_offset, bytes(32), scorer, {STREAM: binding})
        )
    routing = Routing(GROUP)
    routing.follow(log.catalogue)
    return stream.pipeline(
        live, routing, WORKER, DECIDERS.get, lambda _: None, lambda _stage, _count: None, lambda _: []
    )


def score(through: Pipeline, batch: Batch) -> int:
    """What the agent does with a batch whose models are quick; the number of results."""
    opened = through.open(batch)
    for work in opened.works:
        work.score()
    through.settle(opened)
    outputs = through.close(opened)
    through.finish(opened)
    return sum(len(output.values) for output in outputs if output.topic == "results")


def cost(work: Callable[[], object], records: int, repetitions: int = 9) -> tuple[float, float]:
    """Best and median CPU microseconds a record. Warm: layouts are learned and plans looked up before."""
    for _ in range(3):
        work()
    calls, began = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - began < _ONE_CALL_SECONDS:
        work()
        calls += 1
    found = []
    for _ in range(repetitions):
        start = time.process_time_ns()
        for _ in range(calls):
            work()
        found.append((time.process_time_ns() - start) / 1e3 / calls / records)
    return min(found), statistics.median(found)
