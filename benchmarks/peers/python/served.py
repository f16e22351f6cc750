"""The model that serves now, and the descriptors of the control topic that put another in its place.

A control topic has no group: every process reads it from its beginning, so a new process serves what the others do. The
thread only waits in librdkafka and loads; the swap is one assignment, and a batch keeps the model that it began with.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError

from benchmarks.peers.python.run import Run
from benchmarks.peers.python.schema import ModelDescriptor

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Served(Generic[S]):
    """One model and where it came from.

    Attributes:
        name: Of the model.
        version: How many descriptors of this name the control topic had up to this one; 0 if it was not announced.
        sha256: Of the artifact, 32 bytes.
        control_offset: Of the descriptor; -1 if it was not announced.
        score: What the engine made of the artifact.
    """

    name: str
    version: int
    sha256: bytes
    control_offset: int
    score: S

    def provenance(self, run: Run) -> dict[str, Any]:
        """The fields of a `ScoreResult` that all results of this model have in common."""
        return {
            "model": self.name,
            "model_version": self.version,
            "sha256": self.sha256,
            "control_offset": self.control_offset,
            "worker": run.worker,
            "topic": run.input,
        }


class Announcements(Generic[S]):
    """Counts the descriptors of a control topic and makes models of them; one thread."""

    def __init__(self, run: Run, load: Callable[[bytes], S]) -> None:
        self._load = load
        self._run = run
        self._versions: Counter[str] = Counter()

    def first(self) -> Served[S]:
        """The model of the `MODEL` variable."""
        assert self._run.model is not None
        artifact = self._run.model.read_bytes()
        return Served("wine", 0, hashlib.sha256(artifact).digest(), -1, self._load(artifact))

    def newest(self, records: list[tuple[int, bytes | None]]) -> Served[S] | None:
        """Of (offset, value) in order: the last one that can be loaded, if there is one; the others are not loaded."""
        announced = []
        for offset, value in records:
            try:
                descriptor = ModelDescriptor.FromString(value or b"")
            except DecodeError as error:
                print(f"control record {offset} is no descriptor: {error}", file=sys.stderr, flush=True)
                continue
            self._versions[descriptor.name] += 1
            announced.append((offset, descriptor, self._versions[descriptor.name]))
        for offset, descriptor, version in reversed(announced):
            try:
                score = self._load(descriptor.data)
            except Exception as error:  # an engine may raise anything, and the model before it is to serve on
                print(f"descriptor {offset} cannot be loaded: {error!r}", file=sys.stderr, flush=True)
                continue
            digest = hashlib.sha256(descriptor.data).digest()
            return Served(descriptor.name, version, digest, offset, score)
        return None


class Follower(Generic[S]):
    """Keeps `served` at the newest model; made when the control topic has been read to its present end.

    Args:
        load: Makes of an artifact what scores; in the thread of the follower, but for the first one.
        swapped: Called in that thread after each swap.

    Attributes:
        served: Assigned by the thread of the follower, read by anybody.
    """

    def __init__(
        self, run: Run, load: Callable[[bytes], S], swapped: Callable[[Served[S]], None] = lambda _served: None
    ) -> None:
        self._announcements = Announcements(run, load)
        self._swapped = swapped
        newest = self._read_up(run) if run.control else None
        self.served: Served[S] = newest or self._announcements.first()
        if run.control:
            threading.Thread(target=self._follow, name="control", daemon=True).start()

    def _read_up(self, run: Run) -> Served[S] | None:
        from confluent_kafka import Consumer, TopicPartition

        self._consumer = Consumer(
            {
                "bootstrap.servers": run.bootstrap,
                "group.id": f"{run.group}-control",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
            }
        )
        low, end = self._consumer.get_watermark_offsets(TopicPartition(run.control, 0), timeout=30)
        self._consumer.assign([TopicPartition(run.control, 0, low)])
        records: list[tuple[int, bytes | None]] = []
        while low < end:
            found = self._read(1.0)
            low = found[-1][0] + 1 if found else low
            records += found
        return self._announcements.newest(records)

    def _read(self, timeout_seconds: float) -> list[tuple[int, bytes | None]]:
        messages = self._consumer.consume(1, timeout_seconds)
        for message in messages:
            if message.error():
                raise RuntimeError(f"the control topic cannot be read: {message.error()}")
        return [(message.offset(), message.value()) for message in messages]

    def _follow(self) -> None:
        while True:
            served = self._announcements.newest(self._read(1.0))
            if served is not None:
                self.served = served
                self._swapped(served)
