"""Many swaps under a steady load: the worst record near each, beside the worst in spans of the same length without one."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from benchmarks.accounting import Ledger, judge, recognised
from benchmarks.answers import known_answers
from benchmarks.collector import collecting
from benchmarks.delays import AFTER_SWAP_US, Swap, first_arrivals, is_near, swap_seen
from benchmarks.discovery import Entry
from benchmarks.figures import Figure
from benchmarks.latency import wait_for_all, warmed
from benchmarks.launch import NoProgressError, site
from benchmarks.machine import Watch
from benchmarks.models import model, swap_partner
from benchmarks.records import PARTITIONS
from benchmarks.sender import sending
from benchmarks.topics import Topics
from sluice.demo.wine import ROWS

RATE, SLOW_RATE = 5_000, 100
_EVERY_SECONDS = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swaps(Figure):
    """Swaps to another model and back.

    Attributes:
        rate: Records a second.
        swaps: Each that was seen.
        unseen: Swaps of which no result came before the next.
        quiet_worst_ms: The worst record in a span of the same length that ends where the swap begins, for each swap.
        sent: Records.
        missing: Those without a result.
        duplicated: Results beyond the first of a record.
        wrong: Results with a wrong answer, by the model that they name.
        flawed: Results with a field that is missing or not true.
    """

    part: ClassVar[str] = "swap"
    rate: int
    swaps: tuple[Swap, ...]
    unseen: int
    quiet_worst_ms: tuple[float, ...]
    sent: int
    missing: int
    duplicated: int
    wrong: int
    flawed: int


def measure(entry: Entry, topics: Topics, count: int) -> Swaps:
    """`count` swaps, one every six seconds.

    Raises:
        NoProgressError: The system cannot swap, or did not begin to work.
    """
    other = swap_partner(entry.model, entry.peer.models)
    if other is None or not (entry.peer.swaps or entry.peer.swap):
        raise NoProgressError("it cannot be given another model while it runs")
    kinds = [other if turn % 2 == 0 else entry.model for turn in range(count)]
    rate = SLOW_RATE if entry.peer.is_slow else RATE
    with topics.new("in") as source, site(entry, topics, source) as run:
        first = warmed(run, 200 if entry.peer.is_slow else 40_000)
        seconds = _EVERY_SECONDS * (count + 1)
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
            sending(topics.bootstrap, source, rate, seconds, first, entry.peer.wire) as sender,
        ):
            watch, given = Watch(), []
            for turn, kind in enumerate(kinds, start=1):
                sender.wait_until(turn * _EVERY_SECONDS)
                given.append(time.time_ns() // 1_000)
                threading.Thread(target=run.give, args=(kind,), daemon=True).start()
            sent = sender.finish(60)
            weather = watch.weather()
            wait_for_all(run, first + sent)
            arrivals = collector.finish()
        run.tree.check()
    verdict = judge(arrivals.results, known_answers(entry.model, other), ROWS)
    ledger = Ledger()
    ledger.add(arrivals.results.index[arrivals.results.index >= first] - first)
    account = ledger.account(sent)
    version = recognised(arrivals.results, known_answers(entry.model, other), ROWS)
    column = first_arrivals(arrivals.results, arrivals.arrived_us, version)
    seen, quiet = [], []
    for at, kind in zip(given, kinds, strict=True):
        until = column.where(column.sent_us < at + int(_EVERY_SECONDS * 1e6))
        swap = swap_seen(until, at, [int.from_bytes(model(kind).sha256[:8], "big")], PARTITIONS)
        if swap is None:
            continue
        seen.append(swap)
        length = int(swap.took_ms * 1_000) + AFTER_SWAP_US
        calm = is_near(column, at - length, at - 1)
        quiet.append(round(float(np.max(column.milliseconds[calm], initial=0.0)), 2))
    return Swaps(
        peer=entry.peer.name,
        model=entry.model,
        delivery=entry.delivery,
        weather=weather,
        rate=rate,
        swaps=tuple(seen),
        unseen=count - len(seen),
        quiet_worst_ms=tuple(quiet),
        sent=sent,
        missing=account.lost,
        duplicated=account.duplicated,
        wrong=verdict.wrong,
        flawed=verdict.flawed,
    )
