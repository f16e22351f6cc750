"""From sending to the result in a reader's hands, at fixed rates, with swaps in the middle where the system can.

Sender and reader are processes of their own. What they and Kafka take is measured too: the baseline row is the same with
no system in between, the reader on the topic of records. CPU is that of the half before the swap.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.accounting import Ledger, judge, recognised
from benchmarks.answers import known_answers
from benchmarks.collector import Arrivals, collecting
from benchmarks.delays import AFTER_SWAP_US, Column, Delays, Swap, delays_of, first_arrivals, is_near, swap_seen
from benchmarks.discovery import Entry
from benchmarks.figures import Figure
from benchmarks.launch import Site, site
from benchmarks.machine import Watch, Weather
from benchmarks.models import model, swap_partner
from benchmarks.records import PARTITIONS, fill, wine_json
from benchmarks.sender import sending
from benchmarks.topics import Topics
from sluice.demo.wine import ROWS

BASELINE = "baseline"
RATES = (500, 5_000)
SLOW_RATE = 500
_SETTLE_SECONDS = 3.0
_CATCH_UP_SECONDS = 15.0
_START_SECONDS = 120.0
_QUIET_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Figure):
    """One system at one rate, in one round.

    Attributes:
        round: Runs of one round follow each other at once and share the machine's phase.
        rate: Records a second.
        seconds: Measured time.
        cpu_us: CPU microseconds a record at this rate, before the swap; None for the baseline.
        delays: Of all records of the measured time.
        worst_elsewhere: The worst record in ms, not near the swap.
        swap: What the swap did; None where there was none to be seen.
        sent: Records of the measured time.
        missing: Those that had not come back 15 s after the last was sent.
        wrong: Results with a wrong answer.
        flawed: Results with a field that is missing or not true.
        sender_late_ms: How far the sender was behind its plan at worst.
    """

    part: ClassVar[str] = "latency"
    round: int = 0  # data of earlier versions is of one round, and does not say so
    rate: int
    seconds: float
    cpu_us: float | None
    delays: Delays
    worst_elsewhere: float
    swap: Swap | None
    sent: int
    missing: int
    wrong: int
    flawed: int
    sender_late_ms: float


def in_rounds(figures: Iterable[Latency]) -> list[list[Latency]]:
    """Those of each system together, at one rate; in the order in which systems appear."""
    found: dict[tuple[str, str, str], list[Latency]] = {}
    for each in figures:
        found.setdefault(each.system, []).append(each)
    return list(found.values())


def middle(rounds: Sequence[Latency]) -> Latency:
    """The round whose p99 is the median; the upper one of two."""
    return sorted(rounds, key=lambda each: each.delays.p99)[len(rounds) // 2]


def warmed(run: Site, records: int) -> int:
    """Start the system and let it do `records`, so that a JVM has compiled what it compiles; returns how many they were.

    Raises:
        EndedError: It ended.
        NoProgressError: It was too slow.
    """
    wire = wine_json() if run.entry.peer.wire == "v2-json" else None
    run.start()
    fill(run.topics.bootstrap, run.source, PARTITIONS, wire)
    run.wait_for_first(_START_SECONDS)
    fill(run.topics.bootstrap, run.source, records, wire, first=PARTITIONS)
    run.wait_for(PARTITIONS + records, _START_SECONDS)
    return PARTITIONS + records


def measure(entry: Entry, topics: Topics, rate: int, seconds: float) -> Latency:
    """One system at one rate, with a swap when half of the time has passed.

    Raises:
        EndedError: It ended.
        NoProgressError: It did not begin to work.
    """
    other = swap_partner(entry.model, entry.peer.models) if entry.model and can_swap(entry) else None
    with topics.new("in") as source, site(entry, topics, source) as run:
        first = warmed(run, 200 if entry.peer.is_slow else 40_000)
        total = int(rate * (_SETTLE_SECONDS + seconds))
        with (
            collecting(
                topics.bootstrap,
                run.sink,
                topics.ends(run.sink),
                entry.model,
                entry.peer.wire,
                source,
                run.folder / "a.npz",
            ) as collector,
            sending(topics.bootstrap, source, rate, _SETTLE_SECONDS + seconds, first, entry.peer.wire) as sender,
        ):
            sender.wait_until(_SETTLE_SECONDS)
            watch, cpu = Watch(), run.tree.cpu_seconds()
            sender.wait_until(_SETTLE_SECONDS + seconds / 2)
            spent = run.tree.cpu_seconds() - cpu
            given_us = time.time_ns() // 1_000
            if other is not None:
                threading.Thread(target=run.give, args=(other,), daemon=True).start()
            sender.finish(seconds + 60)
            weather = watch.weather()
            wait_for_all(run, first + total)
            arrivals = collector.finish()
        run.tree.check()
    new = [] if other is None else [int.from_bytes(model(other).sha256[:8], "big")]
    kinds = (entry.model, other) if other is not None else (entry.model,)
    verdict = judge(arrivals.results, known_answers(*kinds), ROWS)
    version = recognised(arrivals.results, known_answers(*kinds), ROWS)
    measured_from = first + int(rate * _SETTLE_SECONDS)
    ledger = Ledger()
    ledger.add(arrivals.results.index[arrivals.results.index >= measured_from] - measured_from)
    column = _measured(arrivals, measured_from, version)
    swap = swap_seen(column, given_us, new, PARTITIONS) if new else None
    sent = first + total - measured_from
    return Latency(
        peer=entry.peer.name,
        model=entry.model,
        delivery=entry.delivery,
        weather=weather,
        rate=rate,
        seconds=seconds,
        cpu_us=round(spent / (rate * seconds / 2) * 1e6, 2),
        delays=delays_of(column.milliseconds),
        worst_elsewhere=_worst_elsewhere(column, given_us, swap),
        swap=swap,
        sent=sent,
        missing=ledger.account(sent).lost,
        wrong=verdict.wrong,
        flawed=verdict.flawed,
        sender_late_ms=sender.latest_ms,
    )


def measure_baseline(topics: Topics, rate: int, seconds: float) -> Latency:
    """The same with no system: what sender, Kafka and reader take."""
    with topics.new("in") as source, tempfile.TemporaryDirectory() as folder:
        with (
            collecting(
                topics.bootstrap, source, [0] * PARTITIONS, "", "protobuf", source, Path(folder) / "a.npz"
            ) as collector,
            sending(topics.bootstrap, source, rate, _SETTLE_SECONDS + seconds) as sender,
        ):
            sender.wait_until(_SETTLE_SECONDS)
            watch = Watch()
            sender.finish(seconds + 60)
            weather: Weather = watch.weather()
            time.sleep(0.5)  # the last records are on their way; what is missing is counted
            arrivals = collector.finish()
    measured_from = int(rate * _SETTLE_SECONDS)
    column = _measured(arrivals, measured_from, arrivals.results.version)
    sent = int(rate * (_SETTLE_SECONDS + seconds)) - measured_from
    verdict = judge(arrivals.results, known_answers(""), ROWS)
    return Latency(
        peer=BASELINE,
        model="",
        delivery="at_least_once",
        weather=weather,
        rate=rate,
        seconds=seconds,
        cpu_us=None,
        delays=delays_of(column.milliseconds),
        worst_elsewhere=round(float(column.milliseconds.max()), 2),
        swap=None,
        sent=sent,
        missing=sent - len(column.index),
        wrong=verdict.wrong,
        flawed=verdict.flawed,
        sender_late_ms=sender.latest_ms,
    )


def can_swap(entry: Entry) -> bool:
    """Whether it can be given another model while it runs."""
    return entry.peer.swaps or entry.peer.swap is not None


def _measured(arrivals: Arrivals, first: int, version: NDArray[np.uint64]) -> Column:
    column = first_arrivals(arrivals.results, arrivals.arrived_us, version)
    return column.where(column.index >= first)


def _worst_elsewhere(column: Column, given_us: int, swap: Swap | None) -> float:
    if swap is None:
        return round(float(column.milliseconds.max()), 2)
    near = is_near(column, given_us, given_us + int(swap.took_ms * 1_000) + AFTER_SWAP_US)
    return round(float(np.max(column.milliseconds[~near], initial=0.0)), 2)


def wait_for_all(run: Site, count: int) -> None:
    """Until the sink holds so many results and gets no more, or time is up: what is missing then is counted, not waited for.

    End offsets alone are not enough: those of a transactional topic count its markers too.
    """
    deadline, before, since = time.monotonic() + _CATCH_UP_SECONDS, -1, time.monotonic()
    while time.monotonic() < deadline:
        if (found := run.topics.count(run.sink)) != before:
            before, since = found, time.monotonic()
        if found >= count and time.monotonic() - since > _QUIET_SECONDS:
            return
        time.sleep(0.1)
