"""`python -m benchmarks`: all systems in one run on one Kafka. Figures on standard output, progress on standard error."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import latency, throughput
from benchmarks.catalogue import QUICK, SYSTEMS, say
from benchmarks.records import fill
from benchmarks.topics import PARTITIONS, Topics
from sluice.stack import jars
from sluice.stack.kafka import Broker, RunningBroker, new_cluster_id
from sluice.stack.ports import free_port

_LATENCY_SYSTEM = "worker:tensorflow"


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-bench-")))
        topics = Topics(options.kafka or _own_broker(stack, folder))
        chosen = [system for system in SYSTEMS if _is_chosen(system.name, options)]
        costs = _throughputs(stack, topics, chosen, options, folder)
        waits = _latencies(topics, options, folder)
    _print_table(costs, waits)
    if options.json:
        figures = {cost.system: cost.as_dict() for cost in costs}
        print(json.dumps({"throughput": figures, "latency": [wait.as_dict() for wait in waits]}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short run of each of the main systems, under two minutes"
    )
    parser.add_argument("--json", action="store_true", help="one last line with all figures")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this broker instead of starting one")
    parser.add_argument("--runs", type=int, default=0, help="runs of each system (default 3, with --quick 1)")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="TEXT", help="only systems whose name contains one of these"
    )
    parser.add_argument("--no-latency", action="store_true", help="throughput only")
    parser.add_argument("--no-throughput", action="store_true", help="latency only")
    return parser.parse_args()


def _is_chosen(name: str, options: argparse.Namespace) -> bool:
    if options.only:
        return any(text in name for text in options.only)
    return not options.quick or name in QUICK


def _own_broker(stack: ExitStack, folder: Path) -> str:
    say("starting Kafka")
    jars.fetch(jars.jar_folder(), jars.locked_jars())
    port = free_port()
    broker = RunningBroker(Broker(folder / "kafka", port, free_port(avoid=[port]), new_cluster_id()))
    broker.start()
    stack.callback(broker.stop)
    return broker.bootstrap


def _throughputs(stack: ExitStack, topics: Topics, chosen, options, folder: Path) -> list[throughput.Throughput]:
    if options.no_throughput:
        return []
    window, slow = (
        (throughput.QUICK, throughput.SLOW_QUICK) if options.quick else (throughput.FULL, throughput.SLOW_FULL)
    )
    source = stack.enter_context(topics.new("backlog"))
    say(f"writing {window.backlog:,} records")
    fill(topics.bootstrap, source, PARTITIONS, window.backlog)
    found = []
    for system in chosen:
        start = time.perf_counter()
        runs = options.runs or (1 if options.quick else 3)
        cost = throughput.measure(system, topics, source, slow if system.is_slow else window, runs, folder)
        say(
            f"{system.name}: {cost.cpu_us} us CPU a record, {cost.rate:,} a second ({time.perf_counter() - start:.0f} s)"
        )
        found.append(cost)
    return found


def _latencies(topics: Topics, options, folder: Path) -> list[latency.Latency]:
    if options.no_latency:
        return []
    system = next(system for system in SYSTEMS if system.name == _LATENCY_SYSTEM)
    found = []
    for rate in (500, 5_000):
        seconds = 4.0 if options.quick else 10.0
        wait = latency.measure(system, topics, rate, seconds, folder, swap_to=latency.SWAPS[system.name])
        say(f"{system.name} at {rate:,}/s: p50 {wait.p50} ms, p99 {wait.p99} ms, worst {wait.worst} ms")
        found.append(wait)
    return found


def _print_table(costs: list[throughput.Throughput], waits: list[latency.Latency]) -> None:
    print(f"{'system':32} {'CPU us/record':>14} {'records/s':>11} {'MB':>6} {'load':>6}")
    for cost in costs:
        print(f"{cost.system:32} {cost.cpu_us:14.2f} {cost.rate:11,} {cost.resident_mb:6} {cost.load_average:6.1f}")
    if waits:
        title = "latency, one swap in the middle"
        print(f"\n{title:32} {'rate':>7} {'p50 ms':>8} {'p99':>8} {'worst':>8} {'at swap':>8} {'lost':>6}")
    for wait in waits:
        at_swap = "-" if wait.worst_at_swap is None else f"{wait.worst_at_swap:.1f}"
        lost = wait.sent - wait.received
        print(
            f"{wait.system:32} {wait.rate:7,} {wait.p50:8.1f} {wait.p99:8.1f} {wait.worst:8.1f} {at_swap:>8} {lost:6}"
        )


if __name__ == "__main__":
    main()
