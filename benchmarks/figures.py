"""The figures of a run as values, and their file: one JSON document a run, written again after every measurement."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from benchmarks.machine import Weather

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What every measurement says of itself.

    Attributes:
        peer: Name of the system.
        model: Kind of model; empty for a relay.
        delivery: `at_least_once` or `exactly_once`.
        weather: What the machine did meanwhile.
    """

    part: ClassVar[str]
    peer: str
    model: str
    delivery: str
    weather: Weather

    @property
    def system(self) -> tuple[str, str, str]:
        """What is compared."""
        return self.peer, self.model, self.delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput(Figure):
    """One run on a backlog.

    Attributes:
        round: Runs of one round follow each other at once and share the machine's phase.
        processes: That share the work.
        cpu_us: CPU microseconds a record, whole process tree.
        rate: Records a second, by the wall clock.
        records: In the window.
        start_seconds: From the start of the process to the first result.
        resident_mb: Memory of the tree at the end of the window.
        checked: Results at the end of the window whose answer is known.
        wrong: Those with another answer.
        flawed: Results at the end of the window with a field that is missing or not true.
        mean_bytes: Size of a result.
    """

    part: ClassVar[str] = "throughput"
    round: int
    processes: int
    cpu_us: float
    rate: int
    records: int
    start_seconds: float
    resident_mb: float
    checked: int
    wrong: int
    flawed: int
    mean_bytes: float

    @property
    def is_right(self) -> bool:
        """Whether it may be ranked."""
        return self.checked > 0 and not self.wrong and not self.flawed


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling(Throughput):
    """The same, to compare one process with two."""

    part: ClassVar[str] = "scaling"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralTypes(Throughput):
    """The same with records of four data types, each with a model of its own."""

    part: ClassVar[str] = "types"


@dataclass(frozen=True, slots=True)
class Failure:
    """A measurement that could not be made, and why."""

    part: str
    peer: str
    model: str
    delivery: str
    reason: str


@dataclass(slots=True)
class Book:
    """Everything of one run.

    Attributes:
        environment: See `machine.environment`.
        options: As given on the command line.
        peers: Name -> what it is in words.
        figures: Measurements in their order.
        failures: What could not be measured.
        path: Where it is written; none keeps it in memory.
    """

    environment: dict[str, Any]
    options: dict[str, Any]
    peers: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    path: Path | None = None

    def add(self, figure: Figure) -> None:
        """Keep it, on disk too."""
        self.figures.append(figure)
        self.save()

    def fail(self, failure: Failure) -> None:
        """Keep it, on disk too."""
        self.failures.append(failure)
        self.save()

    def of(self, kind: type[Any]) -> list[Any]:
        """The figures of one part."""
        return [figure for figure in self.figures if type(figure) is kind]

    def save(self) -> None:
        """Write the whole file."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(to_json(self))


def to_json(book: Book) -> str:
    """The file's text, one measurement a line, so that two runs can be compared with a diff."""
    head = {"format": FORMAT, "environment": book.environment, "options": book.options, "peers": book.peers}
    lines = [json.dumps({"part": figure.part, **asdict(figure)}) for figure in book.figures]
    failures = [json.dumps(asdict(failure)) for failure in book.failures]
    text = json.dumps(head, indent=1)[:-2]
    return f'{text},\n "figures": {_array(lines)},\n "failures": {_array(failures)}\n}}\n'


def _array(lines: Iterable[str]) -> str:
    joined = ",\n  ".join(lines)
    return f"[\n  {joined}\n ]" if joined else "[]"


def from_json(text: str, kinds: Iterable[type[Any]]) -> Book:
    """Read what `to_json` wrote; `kinds` are the figures that are known.

    Raises:
        ValueError: It is of another format.
    """
    read = json.loads(text)
    if read.get("format") != FORMAT:
        raise ValueError(f"figures of format {read.get('format')}, expected {FORMAT}")
    by_part = {kind.part: kind for kind in kinds}
    return Book(
        read["environment"],
        read["options"],
        read["peers"],
        [msgspec.convert(each, by_part[each["part"]]) for each in read["figures"] if each["part"] in by_part],
        [Failure(**each) for each in read["failures"]],
    )
