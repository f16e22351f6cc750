"""CPU microseconds a record: the process tree's CPU over a window of results, on a backlog that never runs dry."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.catalogue import System, running, wait_for
from benchmarks.topics import Topics


@dataclass(frozen=True, slots=True)
class Window:
    """How long a run is, in records.

    Attributes:
        backlog: In the source topic.
        warm: Results before the window.
        measured: Results in the window, at least.
    """

    backlog: int
    warm: int
    measured: int


FULL = Window(3_000_000, 400_000, 2_000_000)
QUICK = Window(1_200_000, 200_000, 800_000)
SLOW_FULL = Window(3_000_000, 1_000, 10_000)
SLOW_QUICK = Window(1_200_000, 500, 3_000)


@dataclass(frozen=True, slots=True)
class Throughput:
    """One system's figures; medians over the runs.

    Attributes:
        system: Its name.
        cpu_us: CPU microseconds a record, whole process tree.
        cpu_us_runs: Of each run.
        rate: Records a second, by the wall clock.
        resident_mb: Memory of the tree at the end of the window.
        load_average: Of the machine, at the end.
    """

    system: str
    cpu_us: float
    cpu_us_runs: list[float]
    rate: int
    resident_mb: int
    load_average: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def measure(system: System, topics: Topics, source: str, window: Window, runs: int, folder: Path) -> Throughput:
    """Run the system `runs` times on the same backlog."""
    found = [_once(system, topics, source, window, folder) for _ in range(runs)]
    costs = [cost for cost, _, _ in found]
    return Throughput(
        system.name,
        round(statistics.median(costs), 3),
        [round(cost, 3) for cost in costs],
        round(statistics.median(rate for _, rate, _ in found)),
        max(memory for _, _, memory in found),
        round(os.getloadavg()[0], 2),
    )


def _once(system: System, topics: Topics, source: str, window: Window, folder: Path) -> tuple[float, float, int]:
    with topics.new("out") as sink, running(system, topics, source, sink, folder) as tree:
        first = wait_for(topics, tree, sink, window.warm, 120)
        cpu, clock = tree.cpu_seconds(), time.perf_counter()
        last = wait_for(topics, tree, sink, first + window.measured, 300)
        spent, passed = tree.cpu_seconds() - cpu, time.perf_counter() - clock
        memory = tree.resident_megabytes()
    records = last - first
    return spent / records * 1e6, records / passed, memory
