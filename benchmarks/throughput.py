"""CPU microseconds a record: the process tree's CPU over a window of results, on a backlog that does not run dry.

Runs are interleaved: round 1 of all systems, then round 2 of all. The ratio of two systems in one round is what counts on
a machine with other work to do, for a slow phase hits both; the order turns round from round to round.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.accounting import Known, Verdict, judge
from benchmarks.answers import known_answers
from benchmarks.discovery import Entry
from benchmarks.figures import Throughput
from benchmarks.launch import NoProgressError, Site, site
from benchmarks.machine import Watch
from benchmarks.models import DATA_TYPE
from benchmarks.reader import next_chunk, reading
from benchmarks.topics import Topics
from sluice.demo.wine import ROWS

_START_SECONDS = 120
_WINDOW_SECONDS = 240
_TAIL = 1_000  # results of each partition that are looked at; 300 of 1,600 bottles have known answers


@dataclass(frozen=True, slots=True)
class Window:
    """How long a run is, in records.

    Attributes:
        backlog: In the source topic: twice the rest and more, for results in transactions of a second are seen in steps, and on
            a fast machine a step is 800,000 records.
        warm: Results before the window.
        measured: Results in the window, at least.
    """

    backlog: int
    warm: int
    measured: int

    def for_slow(self) -> Window:
        """The same for a system that takes milliseconds a record."""
        return Window(self.backlog, max(500, self.warm // 400), max(2_000, self.measured // 200))


SIZES = {
    "full": Window(6_000_000, 400_000, 2_000_000),
    "small": Window(4_000_000, 300_000, 1_000_000),
    "tiny": Window(60_000, 5_000, 30_000),
}


def measure(
    entry: Entry,
    topics: Topics,
    source: str,
    window: Window,
    round_: int,
    processes: int = 1,
    kind: type[Throughput] = Throughput,
    types: Sequence[str] = (DATA_TYPE,),
) -> Throughput:
    """One run of one system.

    Raises:
        EndedError: It ended.
        NoProgressError: It was too slow to reach the window or its end, or the backlog ran dry in the window.
    """
    window = window.for_slow() if entry.peer.is_slow else window
    with site(entry, topics, source, processes, types) as run:
        run.start()
        start_seconds = run.wait_for_first(_START_SECONDS)
        first = run.wait_for(window.warm, _WINDOW_SECONDS)
        watch, cpu, clock = Watch(), run.tree.cpu_seconds(), time.perf_counter()
        last = run.wait_for(first + window.measured, _WINDOW_SECONDS)
        spent, passed = run.tree.cpu_seconds() - cpu, time.perf_counter() - clock
        weather, memory = watch.weather(), run.tree.resident_megabytes()
        if last >= (backlog := topics.count(source)):
            raise NoProgressError(f"the backlog of {backlog:,} ran dry in the window")
        verdict = _look_at_end(run)
    return kind(
        peer=entry.peer.name,
        model=entry.model,
        delivery=entry.delivery,
        weather=weather,
        round=round_,
        processes=processes,
        cpu_us=round(spent / (last - first) * 1e6, 3),
        rate=round((last - first) / passed),
        records=last - first,
        start_seconds=round(start_seconds, 2),
        resident_mb=round(memory, 1),
        checked=verdict.checked,
        wrong=verdict.wrong,
        flawed=verdict.flawed,
        mean_bytes=verdict.mean_bytes,
    )


def _look_at_end(run: Site) -> Verdict:
    """The last results of every partition, compared with what they must be."""
    ends = run.topics.ends(run.sink)
    starts = [max(0, end - _TAIL) for end in ends]
    wanted, messages = sum(ends) - sum(starts), []
    deadline = time.monotonic() + 20
    # What follows `ends` meanwhile may arrive first: read until there is enough of it, whichever it is.
    with reading(run.topics.bootstrap, run.sink, starts, **{"queued.min.messages": 2_000}) as consumer:
        while len(messages) < wanted * 0.9 and time.monotonic() < deadline:
            messages += next_chunk(consumer)
    known: list[Known] = known_answers(run.entry.model)
    return judge(run.decoder().decode(messages[: 8 * _TAIL]), known, ROWS)
