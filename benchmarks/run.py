"""The run: which systems, which parts, in which order; a system that fails is noted and does not end it."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from benchmarks import kill, latency, soak, start, swaps, throughput
from benchmarks.broker import broker
from benchmarks.discovery import Entry, entries, find_peers, install
from benchmarks.figures import Book, Failure, Figure, Scaling, SeveralTypes, Throughput
from benchmarks.machine import environment
from benchmarks.models import DATA_TYPE, KINDS
from benchmarks.peer import NotRunnableError, Peer
from benchmarks.records import data_types, fill, wine_json, wine_values
from benchmarks.tables import all_lines
from benchmarks.topics import Topics
from benchmarks.words import account, cost_words, delay_words, swap_words

QUICK_PEERS = ("bare-relay", "bare-loop", "java-loop", "worker")
_MODELS = ("bytes", *KINDS)
_DELIVERIES = ("at_least_once", "exactly_once")
JSON_SHARE = 10  # those who need JSON are slow, and a request of it is three times the size of a record
SCALING_PEERS = ("worker", "java-loop")
TYPED_PEERS = ("worker", "java-loop")
TYPES = 4
OURS = ("worker",)
PARTS = ("start", "throughput", "types", "latency", "swap", "kill", "scaling", "soak")
Measured = TypeVar("Measured")
_OF_DELAYS = frozenset({"latency", "swap"})
_BASELINE = Entry(Peer(latency.BASELINE, "", ("",), lambda _: None, lambda _: ()), "", "at_least_once")


def main(arguments: list[str]) -> int:
    """`python -m benchmarks run`. Returns 1 where nothing could be measured."""
    options = _options(arguments)
    # So that what was started is stopped: without a handler SIGTERM would end this process alone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers, broken = find_peers()
    book = Book(environment(), {"arguments": without_file(arguments)}, path=options.out)
    for folder, reason in broken.items():
        book.fail(Failure("install", folder, "", "", reason))
    wanted = list(entries(peers, options.models, options.only, options.deliveries))
    ready = _installed(book, list(dict.fromkeys(entry.peer for entry in wanted)))
    wanted = [entry for entry in wanted if entry.peer in ready]
    for of_delays, parts in groupby(options.parts, key=_OF_DELAYS.__contains__):
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            say("starting Kafka" if options.kafka is None else f"using Kafka at {options.kafka}")
            with broker(Path(folder), options.kafka, quick_compile=of_delays) as bootstrap:
                run = Run(book, Topics(bootstrap), options, wanted)
                if of_delays and options.kafka is None:
                    run.warm_kafka()
                for part in parts:
                    getattr(run, part)()
    print("\n".join(all_lines(book)))
    say(f"figures: {options.out}")
    return 0 if book.figures else 1


class Run:
    """The parts, one method each; figures go to the book as they come."""

    def __init__(self, book: Book, topics: Topics, options: argparse.Namespace, wanted: list[Entry]) -> None:
        self._book, self._topics, self._options, self._wanted = book, topics, options, wanted

    def start(self) -> None:
        """Every line of the comparison, once."""
        for entry in self._wanted:
            self._try(
                "start",
                entry,
                partial(start.measure, entry, self._topics),
                lambda found: (
                    f"first result after {found.start_seconds} s, {account(found)}, {found.mean_bytes} bytes a result"
                ),
            )

    def throughput(self) -> None:
        """Rounds over all systems on one backlog."""
        self._rounds("throughput", Throughput, self._wanted, (1,))

    def scaling(self) -> None:
        """One and two processes of those systems that share work on this machine by themselves."""
        wanted = [entry for entry in self._one_model() if entry.peer.name in SCALING_PEERS]
        self._rounds("scaling", Scaling, wanted, (1, 2))

    def types(self) -> None:
        """Several data types in one stream, for systems that give each a model of its own."""
        wanted = [entry for entry in self._wanted if entry.model and entry.peer.name in TYPED_PEERS]
        self._rounds("types", SeveralTypes, wanted, (1,), data_types(TYPES))

    def warm_kafka(self) -> None:
        """Kafka compiles its own code in its first seconds of work, on the cores that are measured: not in a system's time."""
        say("warming Kafka up")
        try:
            latency.measure_baseline(self._topics, max(latency.RATES), 8 if self._options.quick else 15)
        except Exception as error:
            self._book.fail(
                Failure("latency", latency.BASELINE, "", "", f"warming up: {type(error).__name__}: {error}")
            )

    def latency(self) -> None:
        """Rounds over the baseline and all systems, at every rate."""
        for rate in latency.RATES:
            wanted = [entry for entry in self._one_model() if rate <= latency.SLOW_RATE or not entry.peer.is_slow]
            self._in_turn([_BASELINE, *wanted], partial(self._latency, rate))

    def _latency(self, rate: int, entry: Entry, round_: int) -> bool:
        seconds = 6.0 if self._options.quick else 20.0

        def measure() -> latency.Latency:
            if entry is _BASELINE:
                return replace(latency.measure_baseline(self._topics, rate, seconds), round=round_)
            return replace(latency.measure(entry, self._topics, rate, seconds), round=round_)

        return self._try("latency", entry, measure, delay_words)

    def swap(self) -> None:
        """Swaps under load, for systems that can be given another model."""
        count = 4 if self._options.quick else 20
        for entry in self._one_model():
            if entry.model and latency.can_swap(entry):
                self._try("swap", entry, partial(swaps.measure, entry, self._topics, count), swap_words)

    def kill(self) -> None:
        """`kill -9`: our worker several times, the others once."""
        for entry in self._one_model():
            count = 5 if entry.peer.name in OURS and not self._options.quick else 1
            self._try(
                "kill",
                entry,
                partial(kill.measure, entry, self._topics, count),
                lambda found: f"{account(found)}, back after {found.back_seconds} s",
            )

    def soak(self) -> None:
        """The long run of our worker."""
        records, count, rate = (300_000, 20, 10_000) if self._options.quick else (10_000_000, 500, 14_000)
        for entry in self._one_model():
            if entry.peer.name in OURS:
                self._try(
                    "soak",
                    entry,
                    partial(soak.measure, entry, self._topics, records, count, rate),
                    lambda found: (
                        f"{account(found)}, {found.swaps} swaps, {found.memory[0][3]} to {found.memory[-1][3]} MB"
                    ),
                )

    def _rounds(
        self,
        part: str,
        kind: type[Throughput],
        wanted: list[Entry],
        processes: tuple[int, ...],
        types: Sequence[str] = (DATA_TYPE,),
    ) -> None:
        window = throughput.SIZES[self._options.records]
        with self._topics.new("backlog") as source, self._topics.new("backlog-json") as json_source:
            say(f"writing {window.backlog:,} records")
            fill(self._topics.bootstrap, source, window.backlog, wine_values(types=types))
            if any(entry.peer.wire == "v2-json" for entry in wanted):
                fill(self._topics.bootstrap, json_source, window.backlog // JSON_SHARE, wine_json())
            sources = {"protobuf": source, "v2-json": json_source}
            runs = [(entry, count) for entry in wanted for count in processes]

            def one(run: tuple[Entry, int], round_: int) -> bool:
                entry, count = run
                topic = sources[entry.peer.wire]
                measure = partial(throughput.measure, entry, self._topics, topic, window, round_, count, kind, types)
                return self._try(part, entry, measure, cost_words)

            self._in_turn(runs, one)

    def _in_turn(self, runs: Sequence[Measured], measure: Callable[[Measured, int], bool]) -> None:
        """Rounds, every second one backwards; what failed once is left out of those that follow."""
        failed: set[Measured] = set()
        for round_ in range(self._options.runs):
            for run in runs if round_ % 2 == 0 else runs[::-1]:
                if run not in failed and not measure(run, round_):
                    failed.add(run)

    def _one_model(self) -> list[Entry]:
        """One line for each system and delivery: that of the first model, of the bytes only if it has no model."""
        found: dict[tuple[str, str], Entry] = {}
        for entry in sorted(self._wanted, key=lambda entry: not entry.model):
            found.setdefault((entry.peer.name, entry.delivery), entry)
        return list(found.values())

    def _try(self, part: str, entry: Entry, measure: Callable[[], Figure], words: Callable[..., str]) -> bool:
        begin = time.monotonic()
        try:
            figure = measure()
        except KeyboardInterrupt:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self._book.fail(Failure(part, entry.peer.name, entry.model, entry.delivery, reason[:1_000]))
            say(f"{part} {entry.name}: {reason[-700:]}")
            return False
        self._book.add(figure)
        say(f"{part} {entry.name}: {words(figure)} ({time.monotonic() - begin:.0f} s)")
        return True


def without_file(arguments: Sequence[str]) -> list[str]:
    """Arguments that say what was measured, without where it is kept: that is nobody else's."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out")
    return parser.parse_known_args(arguments)[1]


def _installed(book: Book, peers: list[Peer]) -> list[Peer]:
    ready = []
    for peer in peers:
        try:
            install(peer)
        except NotRunnableError as error:
            book.fail(Failure("install", peer.name, "", "", str(error)))
            say(f"{peer.name} cannot be used here: {error}")
            continue
        book.peers[peer.name] = peer.title
        ready.append(peer)
    return ready


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks run", description=(__doc__ or "").strip())
    parser.add_argument("--quick", action="store_true", help="some systems, one model, one short round: two minutes")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT", help="systems of this name, or with this in their name"
    )
    parser.add_argument("--runs", type=int, help="rounds (default 3, with --quick 1)")
    parser.add_argument(
        "--models", type=_one_of(_MODELS), help=f"of {','.join(_MODELS)} (default all, with --quick bytes,tree)"
    )
    parser.add_argument("--deliveries", type=_one_of(_DELIVERIES), help=f"of {','.join(_DELIVERIES)} (default both)")
    parser.add_argument("--parts", type=_one_of(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--records", choices=list(throughput.SIZES), help="how long a run is (default full)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this broker instead of starting one")
    parser.add_argument("--out", type=Path, help="file for the figures (default .benchmarks/<time>.json)")
    options = parser.parse_args(arguments)
    options.only = options.only or (list(QUICK_PEERS) if options.quick else [])
    options.runs = options.runs or (1 if options.quick else 3)
    options.models = options.models or (["bytes", "tree"] if options.quick else list(_MODELS))
    options.deliveries = options.deliveries or list(_DELIVERIES[:1] if options.quick else _DELIVERIES)
    options.parts = options.parts or (["start", "throughput"] if options.quick else list(PARTS[:-1]))
    options.records = options.records or ("small" if options.quick else "full")
    options.out = options.out or Path(".benchmarks") / f"{datetime.now():%Y-%m-%d-%H%M%S}.json"
    return options


def _one_of(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return names

    return read


def say(text: str) -> None:
    """Progress, apart from the figures on standard output."""
    print(text, file=sys.stderr, flush=True)
