"""`kill -9` in mid-stream, and what became of every record: lost and repeated ones are counted by their coordinates.

Records come at a fixed rate all the while, from a sender that knows nothing of the kill. The whole process group is killed,
started again a second later on what it kept, killed again when it has caught up, and so on; then the sender stops, and results
are read until every record has one or none has come for a minute. The reader sees committed results only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.answers import known_answers
from benchmarks.discovery import Entry
from benchmarks.figures import Figure
from benchmarks.launch import NoProgressError, Site, site
from benchmarks.machine import Watch
from benchmarks.reader import reading
from benchmarks.records import PARTITIONS, fill, wine_json
from benchmarks.sender import Sending, sending
from benchmarks.tally import Tally
from benchmarks.topics import Topics

RATE, SLOW_RATE = 2_000, 100
_BETWEEN_SECONDS = 4.0
_DOWN_SECONDS = 1.0
_BACK_SECONDS = 120.0
_LONGEST_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(Figure):
    """What a system that was killed made of its records.

    Attributes:
        kills: How often.
        rate: Records a second meanwhile.
        sent: Records.
        lost: Those that never got a result.
        duplicated: Results beyond the first of a record.
        foreign: Results of no record that was sent.
        wrong: Results with a wrong answer.
        flawed: Results with a field that is missing or not true.
        back_seconds: From each start after a kill to the first result.
    """

    part: ClassVar[str] = "kill"
    kills: int
    rate: int
    sent: int
    lost: int
    duplicated: int
    foreign: int
    wrong: int
    flawed: int
    back_seconds: tuple[float, ...]


def measure(entry: Entry, topics: Topics, kills: int, rate: int | None = None) -> Kill:
    """One system, killed `kills` times, at its usual rate or another.

    Raises:
        EndedError: It ended by itself.
        NoProgressError: It did not come to work, or not again after a kill.
    """
    rate = rate or (SLOW_RATE if entry.peer.is_slow else RATE)
    watch, back = Watch(), []
    with topics.new("in") as source, site(entry, topics, source) as run:
        run.start()
        fill(topics.bootstrap, source, PARTITIONS, wine_json() if entry.peer.wire == "v2-json" else None)
        run.wait_for_first(_BACK_SECONDS)
        with (
            sending(topics.bootstrap, source, rate, _LONGEST_SECONDS, PARTITIONS, entry.peer.wire) as sender,
            reading(topics.bootstrap, run.sink) as consumer,
        ):
            tally = Tally(consumer, run.decoder(), known_answers(entry.model))
            for _ in range(kills):
                _work_on(run, tally, sender, rate)
                back.append(_kill_and_start(run, tally))
            _work_on(run, tally, sender, rate)
            sent = sender.stop() + PARTITIONS
            tally.finish(sent, _LONGEST_SECONDS)
        run.tree.check()
    account = tally.ledger.account(sent)
    return Kill(
        peer=entry.peer.name,
        model=entry.model,
        delivery=entry.delivery,
        weather=watch.weather(),
        kills=kills,
        rate=rate,
        sent=sent,
        lost=account.lost,
        duplicated=account.duplicated,
        foreign=account.foreign,
        wrong=tally.wrong,
        flawed=tally.flawed,
        back_seconds=tuple(back),
    )


def _work_on(run: Site, tally: Tally, sender: Sending, rate: int) -> None:
    """Until all that is sent from now on for a while has results, and with it what was left behind a kill."""
    records = PARTITIONS + int(rate * (sender.seconds() + _BETWEEN_SECONDS))
    if not tally.pump(lambda: tally.ledger.distinct() >= records, _BACK_SECONDS):
        run.tree.check()
        raise NoProgressError(
            f"not {records:,} results in {_BACK_SECONDS:g} s; it last said: {run.tree.last_words(400)}"
        )


def _kill_and_start(run: Site, tally: Tally) -> float:
    """Returns the seconds from the start to the first result that the killed one had not written."""
    run.tree.kill()
    tally.pump_for(_DOWN_SECONDS)
    ends = run.topics.ends(run.sink)
    run.start()
    begun = time.monotonic()
    if not tally.pump(lambda: any(at >= ends[p] for p, at in tally.offsets.items()), _BACK_SECONDS):
        run.tree.check()
        raise NoProgressError(
            f"no result in {_BACK_SECONDS:g} s after the kill; it last said: {run.tree.last_words(400)}"
        )
    return round(time.monotonic() - begun, 2)
