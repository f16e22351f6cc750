"""The stages of the hot path, and clocks around the functions that they are.

A stage's time is the CPU time of its thread inside it without the stages that it calls. A clock is read twice a call, and
every stage is called once a batch, so that watching costs next to nothing.
"""

from __future__ import annotations

import functools
import importlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final

STAGES: Final = (
    ("read from the client", "serving.feed.reader:Reader.read"),
    ("columns of values, keys, timestamps", "serving.feed.bulk_consumer:BulkConsumer._runs"),
    ("give messages back", "serving.feed.lent_messages:LentMessages.give_back"),
    ("decode", "serving.formats.protobuf:ProtobufFormat.decode"),
    ("data types, plans, models", "serving.dispatch:Dispatch.opened"),
    ("score", "serving.work:Work.score"),
    ("encode", "serving.formats.results:ProtobufResults.encode"),
    ("encode", "serving.formats.results:ProtobufResults.encode_several"),
    ("statistics", "serving.pipeline:Pipeline._observe"),
    ("gather results", "serving.pipeline:Pipeline.close"),
    ("choose partitions", "serving.feed.writer:partitions_of"),
    ("write", "serving.feed.writer:Writer.send"),
    ("queue in the client", "serving.feed.bulk:BulkProducer.queue"),
    ("delivery reports", "serving.feed.writer:Writer.poll"),
    ("commit", "serving.feed.at_least_once:AtLeastOnce.commit"),
    ("commit", "serving.feed.exactly_once:ExactlyOnce.commit"),
)
"""Name of the stage, and the function: `module:name` or `module:class.method`."""


class Stopwatch:
    """CPU seconds of each stage so far, and how many calls there were; all threads together."""

    def __init__(self) -> None:
        self._local = threading.local()
        self.seconds: dict[str, float] = {name: 0.0 for name, _ in STAGES}
        self.calls: dict[str, int] = dict.fromkeys(self.seconds, 0)

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a clock."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            inner: list[int] = self._local.__dict__.setdefault("inner", [])
            inner.append(0)
            start = time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                passed = time.thread_time_ns() - start
                own = passed - inner.pop()
                if inner:
                    inner[-1] += passed
                self.seconds[stage] += own / 1e9
                self.calls[stage] += 1

        return timed


def watch() -> Stopwatch:
    """Put clocks around all stages; before the worker is built."""
    stopwatch = Stopwatch()
    for stage, where in STAGES:
        module, _, path = where.partition(":")
        holder: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for each in outer:
            holder = getattr(holder, each)
        setattr(holder, name, stopwatch.around(stage, getattr(holder, name)))
    return stopwatch
