"""A control log told record by record, and models, records and batches to go with it: what the worker's tests are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from immutables import Map

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.commands import ChangeRoute, Command, CommandBody, ProposeChange, RegisterVersion
from model_store.core.control_records import (
    ControlRecord,
    CutsPromised,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
)
from model_store.core.descriptor import Descriptor
from model_store.core.lanes import Lane
from model_store.core.plans import WHOLE, Arm, Plan, Rule, Target
from model_store.core.routes import RouteEntry
from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from serving.core.binding import Binding
from serving.core.columns import Features, Predictions
from serving.core.errors import ScoringError
from serving.feed.batch import ColumnBatch, Output
from serving.feed.lanes import Lane as FeedLane
from serving.feed.runs import MessageRun
from serving.live import LiveModel

GROUP = "g"
TOPIC = "t"
STREAM = "s"
ARMS = ("primary", "b", "c")
SIGNATURE = Signature((TensorSpec("x", "float64"),), (TensorSpec("y", "float64"),), (FeatureSlot("x"),))


class Story:
    """The fold of a log that grows as a test tells it; every command must be accepted."""

    def __init__(self, versions: int = 0) -> None:
        self.catalogue: Catalogue = EMPTY
        self.offset_of: dict[int, int] = {}
        for number in range(1, versions + 1):
            self.offset_of[number] = self.order(RegisterVersion(Descriptor("m", "none", "PMML", location="/m")))

    def say(self, record: ControlRecord) -> int:
        offset = self.catalogue.offset + 1
        self.catalogue = fold(self.catalogue, LogEntry(offset, offset * 1_000, record))
        return offset

    def order(self, body: CommandBody, reason: str = "because") -> int:
        offset = self.say(Command("", "ann", reason, body))
        outcome = self.catalogue.outcomes.get(offset)
        assert outcome is not None
        assert outcome.is_accepted, outcome
        return offset

    def say_at(self, at_ms: int, body: CommandBody) -> int:
        """A command with a time stamp of its own."""
        offset = self.catalogue.offset + 1
        self.catalogue = fold(self.catalogue, LogEntry(offset, at_ms, Command("", "ann", "because", body)))
        return offset

    def claim(self, partition: int = 0, position: int = 0, name: str = "", worker: str = "w1") -> str:
        claim = name or f"claim-{self.catalogue.offset + 1}"
        at = PartitionOffset(TOPIC, partition, position)
        self.say(PartitionsClaimed(worker, "e1", claim, GROUP, (at,)))
        return claim

    def prepare(self, key: str, plan: Plan | None) -> int:
        return self.order(ChangeRoute(key, plan))

    def propose(self, change: int, partitions: Iterable[int] = (0,)) -> int:
        return self.order(ProposeChange(change, tuple(Lane(GROUP, TOPIC, each) for each in partitions)))

    def promise(self, change: int, cuts: Mapping[int, int]) -> None:
        for partition, cut in cuts.items():
            lane = self.catalogue.lanes[Lane(GROUP, TOPIC, partition)]
            at = PartitionOffset(TOPIC, partition, cut)
            self.say(CutsPromised(lane.worker, change, lane.claim, GROUP, (at,)))

    def cut_over(self, key: str, plan: Plan | None, cuts: Mapping[int, int]) -> RouteEntry:
        """An exact change from its request to its commit; the partitions must be claimed."""
        change = self.prepare(key, plan)
        self.propose(change, cuts)
        self.promise(change, cuts)
        return self.newest(key)

    def at_once(self, key: str, plan: Plan | None, since: Mapping[int, int] | None = None) -> RouteEntry:
        """An immediate change, and where the owner of each partition said that it began."""
        change = self.order(ChangeRoute(key, plan, "immediate"))
        for partition, offset in (since or {}).items():
            lane = self.catalogue.lanes[Lane(GROUP, TOPIC, partition)]
            at = PartitionOffset(TOPIC, partition, offset)
            self.say(RouteApplied(lane.worker, change, key, lane.claim, GROUP, (at,)))
        return self.newest(key)

    def newest(self, key: str) -> RouteEntry:
        found = self.catalogue.routes[key].current
        assert found is not None
        return found


def target(version: int) -> Target:
    return Target("m", version)


def plan(*versions: int, weights: Sequence[int] = (), pins: Mapping[str, str] | None = None,
         rules: Mapping[str, str] | None = None, **members: Any) -> Plan:  # fmt: skip
    """One arm a version, named as in `ARMS`, all records for the first unless `weights` say else (in basis points)."""
    shares = weights or (WHOLE, *[0] * (len(versions) - 1))
    arms = tuple(Arm(ARMS[i], target(versions[i]), shares[i]) for i in range(len(versions)))
    chosen = tuple(Rule(when, arm) for when, arm in (rules or {}).items())
    return Plan(arms, pins=Map(pins or {}), rules=chosen, **members)


class Adder:
    """A model that adds 1,000 times its version to `x`, and fails where it is told to."""

    signature = SIGNATURE
    engine = "adder"

    def __init__(self, version: int, fails: Callable[[float], bool] = lambda _: False, *, elsewhere: bool = False):
        self.version, self.fails, self.runs_elsewhere = version, fails, elsewhere
        self.asked = 0
        self.closed = 0

    def score(self, features: Features) -> Predictions:
        self.asked += 1
        values = features.matrix[:, 0]
        if len(values) and all(self.fails(x) for x in values.tolist()):
            raise ScoringError("it fails on all of them")
        return Predictions(
            {"y": values + 1_000.0 * self.version},
            {i: f"version {self.version} fails" for i, x in enumerate(values.tolist()) if self.fails(x)},
        )

    def close(self) -> None:
        self.closed += 1


def live_model(story: Story, version: int, scorer: Any = None, streams: Sequence[str] = (STREAM,)) -> LiveModel:
    return LiveModel(
        "m", version, story.offset_of[version], b"\1" * 32, scorer or Adder(version),
        {name: Binding(np.array([0], np.intp), ()) for name in streams},
        {} if streams else {STREAM: "it has no field for `x`"},
    )  # fmt: skip


class Record:
    """A consumer record as the client makes them."""

    def __init__(self, offset: int, value: bytes | None, key: bytes | None = b"k") -> None:
        self._offset, self._value, self._key = offset, value, key

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes | None:
        return self._key

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000 + self._offset

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return None


def reading(x: float, data_type: str | None = "wine", colour: str = "red") -> bytes:
    """A record's value."""
    fields: dict[str, object] = {"x": x, "colour": colour}
    return json.dumps(fields | ({} if data_type is None else {"data_type": data_type})).encode()


_GIVEN: WeakValueDictionary[int, Given] = WeakValueDictionary()
"""By their ticket, which lives as long."""


def _take_back(batches: Sequence[ColumnBatch], outputs: Sequence[Output]) -> None:
    """Each gets what is about its records."""
    start = 0
    for batch in batches:
        batch.ticket.is_returned = True
        stop = start + len(batch)
        _GIVEN[id(batch.ticket)].outputs += [output.about(start, stop) for output in outputs]
        start = stop


class Given:
    """A batch that was handed out, and what came back for it."""

    def __init__(self, records: Sequence[Record], partition: int = 0) -> None:
        self.outputs: list[Output] = []
        self.failures: list[BaseException] = []
        lane = FeedLane(TOPIC, partition)
        lane.place(records[0].offset(), origin=1)
        ticket = lane.hand_out(records[-1].offset() + 1, now=0.0)
        _GIVEN[id(ticket)] = self
        self.batch = ColumnBatch(
            ticket, MessageRun(records), wants_headers=False, take_back=_take_back, fail=self.failures.append
        )
