"""A system at work: its topics, its environment, its processes, which may be killed and started again."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer

from benchmarks.discovery import Entry, folder_of
from benchmarks.models import DATA_TYPE, Model, model
from benchmarks.peer import ModelKind
from benchmarks.processes import ProcessTree
from benchmarks.reader import Decoder
from benchmarks.records import PARTITIONS
from benchmarks.topics import CONTROL, Topics
from sluice.stack.ports import free_port

_POLL_SECONDS = 0.01
PROJECT = Path(__file__).parent.parent


class NoProgressError(Exception):
    """A system did not do in time what it was to do; the message has what it did and its last words."""


class Site:
    """Topics and settings of one run of one system; the system itself is started by `start`.

    Attributes:
        entry: What runs.
        source: Topic of records.
        sink: Topic of results.
        control: Topic of descriptors.
        folder: For files of this run.
        tree: Its processes, once it was started.
    """

    tree: ProcessTree

    def __init__(
        self,
        entry: Entry,
        topics: Topics,
        source: str,
        sink: str,
        control: str,
        publisher: Publisher,
        folder: Path,
        processes: int,
        types: Sequence[str],
    ) -> None:
        self._types = types
        self.entry, self.topics, self.source, self.sink, self.control = entry, topics, source, sink, control
        self.folder = folder
        self._publisher = publisher
        self._log = folder / "log.txt"
        state = folder / "state"
        state.mkdir()
        self._environment = {
            "BOOTSTRAP": topics.bootstrap,
            "INPUT": source,
            "OUTPUT": sink,
            "CONTROL": control,
            "GROUP": sink,
            "DELIVERY": entry.delivery,
            "MODEL": str(model(entry.model).path) if entry.model else "",
            "MODEL_KIND": entry.model,
            "STATE": str(state),
            "HTTP_PORT": str(free_port()),
            "PROCESSES": str(processes),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **entry.peer.environment,
        }

    def decoder(self) -> Decoder:
        """Of its results."""
        return Decoder(self.entry.model, self.entry.peer.wire, self.source, self._types)

    def start(self) -> None:
        """Start it, or start it again on what it kept."""
        command = self.entry.peer.command(folder_of(self.entry.peer))
        self.tree = ProcessTree(command, self._environment, self._log, PROJECT)

    def give(self, kind: ModelKind) -> None:
        """Give it another model, by `CONTROL` or by its own way; returns when the broker or the system took it."""
        if self.entry.peer.swap is not None:
            self.entry.peer.swap(self._environment, model(kind).path)
        else:
            self._publisher.publish(self.control, model(kind))

    def wait_for(self, count: int, timeout_seconds: float, poll_seconds: float = 0.05) -> int:
        """Until the sink holds `count` records; returns how many it holds.

        Raises:
            EndedError: The system ended.
            NoProgressError: Time is up.
        """
        deadline = time.monotonic() + timeout_seconds
        while (found := self.topics.count(self.sink, PARTITIONS)) < count:
            self.tree.check()
            if time.monotonic() > deadline:
                raise NoProgressError(
                    f"{found:,} of {count:,} results after {timeout_seconds:g} s; it last said: {self.tree.last_words(400)}"
                )
            time.sleep(poll_seconds)
        return found

    def wait_for_first(self, timeout_seconds: float) -> float:
        """Until there is a result; returns the seconds from the start of the process to it."""
        self.wait_for(1, timeout_seconds, _POLL_SECONDS)
        return time.monotonic() - self.tree.started


@contextmanager
def site(
    entry: Entry, topics: Topics, source: str, processes: int = 1, types: Sequence[str] = (DATA_TYPE,)
) -> Iterator[Site]:
    """Topics and a state folder for one run on `source`; what was started on it is stopped when the block ends.

    Each of the data types is announced a model of its own.
    """
    with (
        tempfile.TemporaryDirectory(prefix=f"sluice-bench-{entry.peer.name}-", ignore_cleanup_errors=True) as folder,
        topics.new("out") as sink,
        topics.new("control", 1, **CONTROL) as control,
    ):
        publisher = Publisher(topics.bootstrap)
        if entry.model and entry.peer.swaps:
            for data_type in types:
                publisher.publish(control, model(entry.model), data_type)
        made = Site(entry, topics, source, sink, control, publisher, Path(folder), processes, types)
        try:
            yield made
        finally:
            if hasattr(made, "tree"):
                made.tree.stop()


class Publisher:
    """Announces models, as any publisher does; connected before, so that a swap costs the machine no more than itself."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "message.max.bytes": 20 << 20, "linger.ms": 0, "log_level": 0}
        )

    def publish(self, control: str, new: Model, data_type: str = DATA_TYPE) -> None:
        """A bare descriptor.

        Raises:
            RuntimeError: The broker did not take it in 30 s.
        """
        self._producer.produce(control, new.descriptor(data_type), data_type.encode())
        if self._producer.flush(30):
            raise RuntimeError("the model could not be published")
