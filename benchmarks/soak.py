"""Ten million records and five hundred swaps on one system: memory over time, and nothing lost.

The sender goes at a fixed rate until all swaps are done and all records are sent. A swap is asked for at even distances,
and not before a result of the one before was seen, so that each did serve. The models are taken in turn.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import ClassVar

from benchmarks.answers import known_answers
from benchmarks.discovery import Entry
from benchmarks.figures import Figure
from benchmarks.launch import NoProgressError, Site, site
from benchmarks.machine import Watch
from benchmarks.models import KINDS, model
from benchmarks.peer import ModelKind
from benchmarks.reader import reading
from benchmarks.records import PARTITIONS, fill
from benchmarks.sender import sending
from benchmarks.tally import Tally
from benchmarks.topics import Topics

_SAMPLE_SECONDS = 2.0
_START_SECONDS = 120.0
_SWAP_SECONDS = 120.0
_QUIET_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak(Figure):
    """A long run.

    Attributes:
        rate: Records a second.
        seconds: How long it took.
        swaps: That served.
        unseen: Swaps of which no result came in two minutes.
        sent: Records.
        lost: Those without a result.
        duplicated: Results beyond the first of a record.
        foreign: Results of no record.
        checked: Results whose answer is known; `wrong` of them had another, by the model that they name.
        flawed: Results with a field that is missing or not true.
        cpu_us: CPU microseconds a record, swaps included.
        memory: (seconds since the start, records with a result, swaps, resident MB of the tree), every two seconds.
        programs: The MB in parts, at the same times: program -> resident MB. None in data of earlier versions.
    """

    part: ClassVar[str] = "soak"
    rate: int
    seconds: float
    swaps: int
    unseen: int
    sent: int
    lost: int
    duplicated: int
    foreign: int
    checked: int
    wrong: int
    flawed: int
    cpu_us: float
    memory: tuple[tuple[float, int, int, float], ...]
    programs: tuple[dict[str, float], ...] = ()

    @property
    def by_program(self) -> dict[str, list[float]]:
        """MB of each program at the times of `memory`; empty for a system that is one program."""
        names = sorted({name for held in self.programs for name in held})
        return {name: [held.get(name, 0.0) for held in self.programs] for name in names} if len(names) > 1 else {}


@dataclass(slots=True)
class _Course:
    """Swaps and samples, in step with what was read."""

    run: Site
    tally: Tally
    wanted: int
    interval: float
    begun: float
    swaps: int = 0
    unseen: int = 0
    asked: int = 0
    memory: list[tuple[float, int, int, float]] = field(default_factory=list)
    programs: list[dict[str, float]] = field(default_factory=list)
    _awaited: int = 0
    _asked_at: float = 0.0

    def step(self, turns: cycle[ModelKind]) -> None:
        """Look at the clock and at the last result.

        Raises:
            EndedError: The system ended.
        """
        passed = time.monotonic() - self.begun
        if not self.memory or passed - self.memory[-1][0] >= _SAMPLE_SECONDS:
            self._sample(passed)
        if self._awaited and self.tally.version == self._awaited:
            self.swaps, self._awaited = self.swaps + 1, 0
        if self._awaited and time.monotonic() - self._asked_at > _SWAP_SECONDS:
            self.unseen, self._awaited = self.unseen + 1, 0
        if not self._awaited and self.asked < self.wanted and passed >= (self.asked + 1) * self.interval:
            kind = next(turns)
            self.run.give(kind)
            self.asked += 1
            self._awaited = int.from_bytes(model(kind).sha256[:8], "big")
            self._asked_at = time.monotonic()

    def _sample(self, passed: float) -> None:
        self.run.tree.check()
        held = {program: round(found, 1) for program, found in self.run.tree.resident_by_program().items()}
        self.programs.append(held)
        megabytes = round(sum(held.values()), 1)
        self.memory.append((round(passed, 1), self.tally.ledger.distinct(), self.swaps, megabytes))


def measure(entry: Entry, topics: Topics, records: int, swaps: int, rate: int) -> Soak:
    """One long run.

    Raises:
        EndedError: It ended.
        NoProgressError: No result came for a minute.
    """
    kinds = [kind for kind in KINDS if kind in entry.peer.models]
    # The first turn is not the model that it begins with, so that every swap changes what results name.
    turns = cycle(kinds[kinds.index(entry.model) + 1 :] + kinds[: kinds.index(entry.model) + 1])
    seconds = records / rate
    with topics.new("in") as source, site(entry, topics, source) as run:
        run.start()
        fill(topics.bootstrap, source, PARTITIONS)
        run.wait_for_first(_START_SECONDS)
        with (
            sending(topics.bootstrap, source, rate, 4 * seconds, PARTITIONS) as sender,
            reading(topics.bootstrap, run.sink) as consumer,
        ):
            tally = Tally(consumer, run.decoder(), known_answers(*kinds))
            watch, cpu, begun = Watch(), run.tree.cpu_seconds(), time.monotonic()
            course = _Course(run, tally, swaps, seconds / (swaps + 1), begun)
            while course.swaps + course.unseen < swaps or tally.ledger.distinct() < records:
                tally.take()
                course.step(turns)
                if time.monotonic() - tally.last_seen > _QUIET_SECONDS:
                    raise NoProgressError(f"no result for a minute after {tally.ledger.distinct():,}")
            sent = sender.stop() + PARTITIONS
            tally.finish(sent, 300)
            course.step(turns)
        spent, weather = run.tree.cpu_seconds() - cpu, watch.weather()
    account = tally.ledger.account(sent)
    return Soak(
        peer=entry.peer.name,
        model=entry.model,
        delivery=entry.delivery,
        weather=weather,
        rate=rate,
        seconds=round(time.monotonic() - begun, 1),
        swaps=course.swaps,
        unseen=course.unseen,
        sent=sent,
        lost=account.lost,
        duplicated=account.duplicated,
        foreign=account.foreign,
        checked=tally.checked,
        wrong=tally.wrong,
        flawed=tally.flawed,
        cpu_us=round(spent / sent * 1e6, 3),
        memory=tuple(course.memory),
        programs=tuple(course.programs),
    )
