"""From nothing to results: how long a start takes, and whether every result of a small topic is there and right."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.answers import known_answers
from benchmarks.discovery import Entry
from benchmarks.figures import Figure
from benchmarks.launch import NoProgressError, site
from benchmarks.machine import Watch
from benchmarks.reader import reading
from benchmarks.records import fill, wine_json
from benchmarks.tally import Tally
from benchmarks.topics import Topics

RECORDS, SLOW_RECORDS = 20_000, 1_000
_START_SECONDS = 120
_WORK_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Figure):
    """One start.

    Attributes:
        start_seconds: From the start of the process to its first result.
        resident_mb: Memory of the tree after the work.
        sent: Records in the topic.
        lost: Those without a result.
        duplicated: Results beyond the first of a record.
        foreign: Results of no record.
        checked: Results whose answer is known.
        wrong: Those with another answer.
        flawed: Results with a field that is missing or not true.
        mean_bytes: Size of a result.
    """

    part: ClassVar[str] = "start"
    start_seconds: float
    resident_mb: float
    sent: int
    lost: int
    duplicated: int
    foreign: int
    checked: int
    wrong: int
    flawed: int
    mean_bytes: float

    @property
    def is_right(self) -> bool:
        """Whether it did the work that all do."""
        return self.checked > 0 and not (self.lost or self.foreign or self.wrong or self.flawed)


def measure(entry: Entry, topics: Topics) -> Start:
    """One start on a topic that is there already.

    Raises:
        EndedError: It ended.
        NoProgressError: It wrote no result in two minutes.
    """
    sent = SLOW_RECORDS if entry.peer.is_slow else RECORDS
    with topics.new("in") as source, site(entry, topics, source) as run:
        fill(topics.bootstrap, source, sent, wine_json() if entry.peer.wire == "v2-json" else None)
        watch = Watch()
        run.start()
        with reading(topics.bootstrap, run.sink) as consumer:
            tally = Tally(consumer, run.decoder(), known_answers(entry.model))
            if not tally.pump(lambda: tally.results > 0 or not run.tree.is_running(), _START_SECONDS):
                raise NoProgressError(f"no result in {_START_SECONDS} s; it last said: {run.tree.last_words(400)}")
            run.tree.check()
            seconds = time.monotonic() - run.tree.started
            tally.finish(sent, _WORK_SECONDS)
            run.tree.check()
        memory, weather = run.tree.resident_megabytes(), watch.weather()
    account = tally.ledger.account(sent)
    return Start(
        peer=entry.peer.name,
        model=entry.model,
        delivery=entry.delivery,
        weather=weather,
        start_seconds=round(seconds, 2),
        resident_mb=round(memory, 1),
        sent=sent,
        lost=account.lost,
        duplicated=account.duplicated,
        foreign=account.foreign,
        checked=tally.checked,
        wrong=tally.wrong,
        flawed=tally.flawed,
        mean_bytes=tally.mean_bytes,
    )
