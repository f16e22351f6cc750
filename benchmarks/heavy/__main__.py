"""`python -m benchmarks heavy [one] [ten] [whole] [sharing] [--quick]`: what heavy models cost, as tables and as raw figures."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.broker import broker
from benchmarks.heavy import scoring, sharing, whole
from benchmarks.machine import environment
from benchmarks.topics import Topics

_RESULTS = Path(__file__).parent / "results"
PARTS = ("one", "ten", "whole", "sharing")


def main(arguments: list[str]) -> int:
    """Measure the parts that are named, all by default; each writes its figures when it is done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks heavy", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"of {', '.join(PARTS)}; all by default"
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, and no hand-written forms")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this broker instead of starting one")
    parser.add_argument("--into", type=Path, default=_RESULTS, help="folder of the figures")
    options = parser.parse_args(arguments)
    for part in options.parts or PARTS:
        figures = _measure(part, options)
        options.into.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"environment": environment(), "figures": figures}, indent=1)
        (options.into / f"{part}.json").write_text(text + "\n")
        print(json.dumps(figures, indent=1))
    return 0


def _measure(part: str, options: argparse.Namespace) -> dict[str, object]:
    if part in ("one", "ten"):
        quick = scoring.Options(rounds=3, seconds=0.5, forms=False)
        return scoring.measure(part, quick if options.quick else scoring.Options(rounds=6, seconds=0.5, forms=True))
    with (
        tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder,
        broker(Path(folder), options.kafka, quick_compile=part == "sharing") as bootstrap,
    ):
        topics = Topics(bootstrap)
        if part == "whole":
            return whole.measure(topics, 60 if options.quick else 400)
        return sharing.measure(topics, *((2, 4.0) if options.quick else (4, 8.0)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
