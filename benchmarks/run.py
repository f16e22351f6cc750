"""The run: which systems, which parts, in which order; a system that fails is noted and does not end it."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from benchmarks import throughput
from benchmarks.broker import broker
from benchmarks.discovery import Entry, entries, find_peers, install
from benchmarks.figures import Book, Failure, Figure
from benchmarks.machine import environment
from benchmarks.models import KINDS
from benchmarks.peer import NotRunnableError, Peer
from benchmarks.records import fill
from benchmarks.summary import costs
from benchmarks.tables import cost_lines
from benchmarks.topics import Topics

QUICK_PEERS = ("bare-relay", "bare-loop", "java-loop", "worker", "worker-fast")
_MODELS = ("bytes", *KINDS)
_DELIVERIES = ("at_least_once", "exactly_once")
PARTS = ("throughput",)


def main(arguments: list[str]) -> int:
    """`python -m benchmarks run`. Returns 1 where nothing could be measured."""
    options = _options(arguments)
    peers, broken = find_peers()
    book = Book(environment(), {"arguments": arguments}, path=options.out)
    for folder, reason in broken.items():
        book.fail(Failure("install", folder, "", "", reason))
    wanted = list(entries(peers, options.models, options.only, options.deliveries))
    ready = _installed(book, list(dict.fromkeys(entry.peer for entry in wanted)))
    wanted = [entry for entry in wanted if entry.peer in ready]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-bench-")))
        say("starting Kafka" if options.kafka is None else f"using Kafka at {options.kafka}")
        topics = Topics(stack.enter_context(broker(folder, options.kafka)))
        run = Run(book, topics, options, wanted)
        for part in options.parts:
            getattr(run, part)()
    print("\n".join(cost_lines(costs(book.of(throughput.Throughput)))))
    for failure in book.failures:
        print(f"{failure.part}: {failure.peer} {failure.model} {failure.delivery}: {failure.reason}")
    say(f"figures: {options.out}")
    return 0 if book.figures else 1


class Run:
    """The parts, one method each; figures go to the book as they come."""

    def __init__(self, book: Book, topics: Topics, options: argparse.Namespace, wanted: list[Entry]) -> None:
        self._book, self._topics, self._options, self._wanted = book, topics, options, wanted

    def throughput(self) -> None:
        """Rounds over all systems on one backlog."""
        window = throughput.SIZES[self._options.records]
        with self._topics.new("backlog") as source:
            say(f"writing {window.backlog:,} records")
            fill(self._topics.bootstrap, source, window.backlog)
            failed: set[Entry] = set()
            for round_ in range(self._options.runs):
                turn = self._wanted if round_ % 2 == 0 else self._wanted[::-1]
                for entry in turn:
                    if entry not in failed and not self._try(
                        "throughput",
                        entry,
                        lambda entry=entry, round_=round_: throughput.measure(
                            entry, self._topics, source, window, round_
                        ),
                        lambda found: f"{found.cpu_us:.2f} us CPU a record, {found.rate:,} a second",
                    ):
                        failed.add(entry)

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
    parser.add_argument("--models", type=_one_of(KINDS), help=f"of {','.join(KINDS)} (default all, with --quick tree)")
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
    options.parts = options.parts or ["throughput"]
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
