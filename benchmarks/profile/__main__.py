"""`python -m benchmarks profile`: CPU microseconds a record of each stage of the worker, on a backlog."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.broker import broker
from benchmarks.discovery import Entry, find_peers
from benchmarks.launch import Site, site
from benchmarks.machine import Watch
from benchmarks.profile.stages import STAGES
from benchmarks.profile.worker import SNAPSHOT
from benchmarks.records import data_types, fill, wine_values
from benchmarks.throughput import SIZES
from benchmarks.topics import Topics

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str]) -> int:
    """Measure one model; the table on standard output, the figures in a file."""
    options = _options(arguments)
    window = SIZES[options.records]
    with tempfile.TemporaryDirectory(prefix="sluice-profile-") as folder, broker(Path(folder), options.kafka) as where:
        topics = Topics(where)
        with topics.new("backlog") as source:
            types = data_types(options.types)
            fill(where, source, window.backlog, wine_values(types=types))
            with site(_entry(options), topics, source, types=types) as run:
                run.start()
                first = run.wait_for(window.warm, 240)
                before, watch = _snapshot(run, 0), Watch()
                last = run.wait_for(first + window.measured, 240)
                after, weather = _snapshot(run, 1), watch.weather()
    figures = _figures(before, after, last - first) | {
        "model": options.model,
        "delivery": options.delivery,
        "types": options.types,
        "records": last - first,
        "load_average": weather.load_average,
    }
    print(table(figures))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile", description=__doc__)
    parser.add_argument("--model", default="tree", help="tree, linear, forest or graph")
    parser.add_argument("--delivery", default="at_least_once", help="or exactly_once")
    parser.add_argument("--types", type=int, default=1, help="data types in the stream, each with a model of its own")
    parser.add_argument("--records", default="small", choices=SIZES, help="how long the run is")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this broker instead of starting one")
    parser.add_argument("--out", type=Path, help="file for the figures")
    return parser.parse_args(arguments)


def _entry(options: argparse.Namespace) -> Entry:
    peers, _ = find_peers()
    worker = next(peer for peer in peers if peer.name == "worker")
    clocked = replace(worker, command=lambda _folder: [sys.executable, "-m", "benchmarks.profile.worker"])
    return Entry(clocked, options.model, options.delivery)


def _snapshot(run: Site, number: int) -> dict[str, Any]:
    path = run.folder / "state" / f"profile-{number}.json"
    os.kill(run.tree.pid, SNAPSHOT)
    while not path.exists():
        run.tree.check()
        time.sleep(0.01)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _figures(before: Mapping[str, Any], after: Mapping[str, Any], records: int) -> dict[str, Any]:
    """Microseconds a record of all stages, of the rest of the loop's thread, and of all other threads."""

    def us(group: str, name: str) -> float:
        return (after[group][name] - before[group].get(name, 0.0)) / records * 1e6

    stages = {name: us("stages", name) for name, _ in STAGES}
    loop = (after["loop"] - before["loop"]) / records * 1e6
    threads = {name: us("threads", name) for name in after["threads"] if name != "loop"}
    batches = after["calls"]["decode"] - before["calls"]["decode"]
    return {
        "us": {name: round(value, 4) for name, value in stages.items()}
        | {"event loop, Faust, the rest": round(loop - sum(stages.values()), 4)}
        | {f"thread {name}": round(value, 4) for name, value in sorted(threads.items()) if value >= 0.005},
        "total_us": round((after["process"] - before["process"]) / records * 1e6, 4),
        "records_in_a_batch": round(records / max(1, batches)),
    }


def table(figures: Mapping[str, Any]) -> str:
    """The figures as a Markdown table."""
    total = figures["total_us"]
    lines = ["| stage | CPU us a record | share |", "|---|---:|---:|"]
    lines += [f"| {name} | {us:.3f} | {us / total:.0%} |" for name, us in figures["us"].items() if us >= 0.0005]
    lines.append(f"| **all of the process** | **{total:.2f}** | |")
    batch = f"{figures['records_in_a_batch']:,} records in a batch"
    return "\n".join(
        [
            *lines,
            "",
            f"{figures['model']}, {figures['delivery']}, {figures['types']} data types, {figures['records']:,} records, {batch}.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
