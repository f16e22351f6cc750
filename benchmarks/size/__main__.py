"""`python -m benchmarks.size`: how costs grow with size. A table on standard output, raw figures in `results/`.

The part in this process takes two minutes and needs nothing; `--workers` starts real workers on a Kafka as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LOG_RECORDS = (1_000, 10_000, 100_000)
SNAPSHOT_RECORDS = 58_000
"""So many records of `control_log` make 10,000 versions."""
MODELS = (1, 10, 100, 1_000)


def main(arguments: list[str]) -> None:
    """Measure, print, and keep the raw figures."""
    options = _options(arguments)
    if "batches" in options.only:
        from benchmarks.size.batches import rows

        _print_title("CPU us a record", "best", "median", "to the smallest")
        _keep("batches", _printed(rows()))
    if "log" in options.only:
        _keep("log", _log(options.quick))
    if options.workers:
        _keep("workers", _workers(options.kafka, options.models, options.records))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.size", description=__doc__)
    parser.add_argument("--only", nargs="+", default=["batches", "log"], choices=["batches", "log", "nothing"])
    parser.add_argument("--quick", action="store_true", help="no control log of 100,000 records")
    parser.add_argument("--workers", action="store_true", help="real workers with 1 to 1,000 models")
    parser.add_argument("--models", type=int, nargs="+", default=list(MODELS), help="of each worker")
    parser.add_argument("--records", type=int, default=40_000, help="that a worker scores, twice")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this broker instead of starting one")
    return parser.parse_args(arguments)


def _printed(rows: Any) -> list[dict[str, Any]]:
    smallest: dict[str, float] = {}
    found = []
    for what, size, best, median in rows:
        ratio = best / smallest.setdefault(what, best)
        print(f"{what:44} {size:>8,} {best:10.2f} {median:10.2f} {ratio:10.2f}", flush=True)
        found.append(
            {
                "what": what,
                "size": size,
                "best_us": round(best, 4),
                "median_us": round(median, 4),
                "ratio": round(ratio, 3),
            }
        )
    return found


def _print_title(*columns: str) -> None:
    print(f"{columns[0]:53}" + "".join(f" {column:>10}" for column in columns[1:]), flush=True)


def _log(is_quick: bool) -> dict[str, Any]:
    from benchmarks.size.starting import reading, snapshot

    _print_title("control log, CPU us a record", "decode", "fold", "seconds")
    readings = []
    for count in LOG_RECORDS[: 2 if is_quick else 3]:
        found, _ = reading(count)
        seconds = (found.decode_us + found.fold_us) * count / 1e6
        print(f"{'records':44} {count:>8,} {found.decode_us:10.1f} {found.fold_us:10.1f} {seconds:10.2f}", flush=True)
        readings.append(asdict(found))
    count = SNAPSHOT_RECORDS // (10 if is_quick else 1)
    cost = snapshot(reading(count, 1)[1], count)
    print(
        f"snapshot of {cost.versions:,} versions, {cost.records:,} records: {cost.megabytes:.2f} MB, "
        f"written in {cost.write_seconds:.2f} s, read in {cost.read_seconds:.2f} s"
    )
    return {"readings": readings, "snapshot": asdict(cost)}


def _workers(kafka: str | None, models: Sequence[int], records: int) -> list[dict[str, float]]:
    from benchmarks.broker import broker
    from benchmarks.size.workers import measure
    from benchmarks.topics import Topics

    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-size-")))
        topics = Topics(stack.enter_context(broker(folder, kafka)))
        for count in models:
            one = measure(topics, count, records, folder / str(count)).as_dict()
            print("  ".join(f"{name} {value:g}" for name, value in one.items()), flush=True)
            found.append(one)
    return found


def _keep(name: str, figures: Sequence[Any] | Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    load = os.getloadavg()[0]
    document = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": round(load, 1),
        "figures": figures,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
